import type { Journal } from './database.ts';
import type { Run } from './runs.ts';
import { statement } from './statement.ts';

const findBackupId = statement<{ backupId: string }>()((db, { backupId }) =>
  db.selectFrom('run').select('id').where('backup_id', '=', backupId),
);

/** Is the id that of any run in this journal? */
export function isKnownBackupId(journal: Journal, backupId: string): boolean {
  return findBackupId(journal).get({ backupId }) !== undefined;
}

/** @returns the first whole second from `now` on whose backup id is free here and on the remote */
export function freeInstant(journal: Journal, now: Date, takenIds: ReadonlySet<string>): Date {
  for (let ms = now.getTime() - (now.getTime() % 1000); ; ms += 1000) {
    const id = backupIdAt(new Date(ms));
    if (!takenIds.has(id) && !findBackupId(journal).get({ backupId: id })) return new Date(ms);
  }
}

const setBackupId = statement<{ id: number; backupId: string }>()((db, { id, backupId }) =>
  db.updateTable('run').set({ backup_id: backupId }).where('id', '=', id),
);

/**
 * Gives the run the next id that is free here and on the remote: another machine, which began in the same second, has
 * published a backup under its own.
 * @param isTaken on the remote
 */
export async function renameRun(
  journal: Journal,
  run: Run,
  isTaken: (backupId: string) => Promise<boolean>,
): Promise<string> {
  const takenIds = new Set<string>();
  for (;;) {
    const backupId = backupIdAt(freeInstant(journal, run.startedAt, takenIds));
    if (await isTaken(backupId)) takenIds.add(backupId);
    else {
      setBackupId(journal).run({ id: run.id, backupId });
      return backupId;
    }
  }
}

/** @returns `YYYYMMDD_HHMMSS`, UTC */
export function backupIdAt(instant: Date): string {
  const digits = instant.toISOString().replace(/\D/g, '');
  return `${digits.slice(0, 8)}_${digits.slice(8, 14)}`;
}

export function isBackupId(text: string): boolean {
  return /^\d{8}_\d{6}$/.test(text);
}
