import { getSystemErrorMessage } from 'node:util';
import { DamagedError, SkylockError, systemErrorCode } from '../errors.ts';

/** One entry cannot be restored; the others can. The message is the reason, for a line that begins with the entry's path. */
export class EntryError extends SkylockError {}

/** What no other entry would get round either. */
const FATAL: Readonly<Record<string, readonly [reason: string, hint: string]>> = {
  ENOSPC: ['the disk is full', 'Make room and run the same command again: it goes on where it was.'],
  EDQUOT: ['the disk quota is used up', 'Make room and run the same command again: it goes on where it was.'],
  EROFS: ['the disk is read-only', 'Name a folder that can be written with --target.'],
  EMFILE: ['too many files are open', "Allow more with 'ulimit -n' and run the same command again."],
  ENFILE: ['too many files are open', 'Close other programs and run the same command again.'],
};

/**
 * Why an entry could not be restored, for people.
 * @param shownPath where it was to be
 * @throws SkylockError when it stops the whole restore; anything that is not about this entry as it is
 */
export function reasonOf(error: unknown, shownPath: string): string {
  if (error instanceof EntryError || error instanceof DamagedError) return error.message;
  const fatal = FATAL[systemErrorCode(error) ?? ''];
  if (fatal !== undefined) {
    throw new SkylockError(`write ${shownPath}: ${fatal[0]}`, { hints: [fatal[1]], cause: error });
  }
  const errno = (error as { errno?: unknown } | null)?.errno;
  if (typeof errno !== 'number') throw error;
  return getSystemErrorMessage(errno);
}
