import { UsageError } from '../errors.ts';
import { BACKUP_ID } from '../format/backup-header.ts';

/** @throws UsageError unless `text` is written like a backup id */
export function requireBackupId(text: string): string {
  if (BACKUP_ID.test(text)) return text;
  throw new UsageError(`read backup id: '${text}' is none`, {
    hints: ["An id looks like 20251107_142030; see 'skylock list' and 'skylock resume-status'."],
  });
}
