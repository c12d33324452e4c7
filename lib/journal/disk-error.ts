import { SkylockError, systemErrorCode } from '../errors.ts';

/** What SQLite and the file system may answer, and what a person can do about it. */
const ANSWERS: readonly { readonly codes: RegExp; readonly reason: string; readonly hint: string }[] = [
  {
    codes: /^(SQLITE_FULL|ENOSPC|EDQUOT)$/,
    reason: 'the disk is full',
    hint: 'Make room and run the same command again: it goes on where it was.',
  },
  {
    codes: /^(SQLITE_READONLY.*|EROFS)$/,
    reason: 'the disk is read-only',
    hint: 'Set XDG_DATA_HOME to a folder that can be written.',
  },
  {
    codes: /^(SQLITE_CANTOPEN.*|SQLITE_PERM|SQLITE_AUTH|EACCES|EPERM)$/,
    reason: 'permission denied',
    hint: 'Look at the owner and the mode of that file and its folder.',
  },
  {
    codes: /^(SQLITE_BUSY.*|SQLITE_LOCKED.*|SQLITE_PROTOCOL)$/,
    reason: 'another process keeps it locked',
    hint: 'Wait for the other skylock to end and run the command again.',
  },
  {
    codes: /^(SQLITE_CORRUPT.*|SQLITE_NOTADB)$/,
    reason: 'it is damaged',
    hint: 'Run the same command again: the damaged file is moved aside, and what it knew is on the remote.',
  },
  {
    codes: /^(SQLITE_IOERR.*|EIO)$/,
    reason: 'input/output error',
    hint: 'Look at the disk; what is on the remote is safe.',
  },
  {
    codes: /^(EISDIR|ERR_FS_EISDIR|ENOTDIR|EEXIST|ENOENT|ELOOP|ENAMETOOLONG)$/,
    reason: 'something else is in its place, or in that of its folder',
    hint: 'Move it away, or set XDG_DATA_HOME to another folder.',
  },
];

/**
 * Translates what SQLite and the file system throw, once, into what a person can act on.
 * @param action verb and object: `write journal /home/…`
 * @returns anything it does not know as it is: a bug, or an error that was translated already
 */
export function diskError(action: string, error: unknown): unknown {
  const code = isDamage(error) ? 'SQLITE_CORRUPT' : systemErrorCode(error);
  const answer = code === undefined ? undefined : ANSWERS.find(({ codes }) => codes.test(code));
  if (answer === undefined) return error;
  return new SkylockError(`${action}: ${answer.reason}`, { hints: [answer.hint], cause: error });
}

/** Does the error say that the database's bytes are not what SQLite wrote? */
export function isDamage(error: unknown): boolean {
  const code = systemErrorCode(error) ?? '';
  return /^(SQLITE_CORRUPT.*|SQLITE_NOTADB)$/.test(code) || (code === 'SQLITE_ERROR' && lacksSchema(error));
}

/** Tables and columns that are always there: their names are bytes in the file too. */
function lacksSchema(error: unknown): boolean {
  return /^no such (table|column|index)|has no column named|^malformed database|^unsupported file format/.test(
    (error as Error).message,
  );
}
