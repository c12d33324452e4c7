import { SkylockError, systemErrorCode } from '../errors.ts';

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOENT: 'there is no such file',
  ENOTDIR: 'a part of its path is no folder',
  EISDIR: 'it is a folder',
  ELOOP: 'its symlinks go in a circle',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
};

/** @param doing `read password file /…`; @returns a {@link SkylockError}; any other error that is none of the system's as it is */
export function fileError(doing: string, error: unknown, hints: readonly string[] = []): unknown {
  const code = systemErrorCode(error);
  if (code === undefined || error instanceof SkylockError) return error;
  return new SkylockError(`${doing}: ${REASONS[code] ?? code}`, { hints, cause: error });
}
