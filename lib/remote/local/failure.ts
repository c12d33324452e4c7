import { RemoteError, systemErrorCode } from '../../errors.ts';

/** What the file system's code means to a person, and whether it may be different a little later. */
const MEANINGS: Readonly<Record<string, { reason: string; hints?: readonly string[]; retryable?: true }>> = {
  ENOSPC: {
    reason: 'no space is left on the disk',
    hints: ['Free space on it, then run the same command again: what is stored already is kept.'],
  },
  EDQUOT: {
    reason: 'the disk quota is used up',
    hints: ['Free space, or have the quota raised, then run the same command again.'],
  },
  EACCES: {
    reason: 'permission denied',
    hints: ['The folder of the repository has to be readable and writable for the user who runs skylock.'],
  },
  EPERM: {
    reason: 'operation not permitted',
    hints: ['The folder of the repository has to belong to the user who runs skylock.'],
  },
  EROFS: { reason: 'the file system is read-only', hints: ['Mount it writable.'] },
  ENOENT: {
    reason: 'the folder of the repository is gone',
    hints: ['If it lies on a disk that was unmounted meanwhile, mount it and run the same command again.'],
  },
  ENOTDIR: { reason: 'a file stands where a folder should be' },
  EISDIR: { reason: 'a folder stands where the object should be' },
  ELOOP: { reason: 'a symlink stands where the object should be' },
  ENAMETOOLONG: { reason: 'the name is too long for this file system' },
  EFBIG: { reason: 'the file is too large for this file system' },
  EIO: {
    reason: 'the disk reports an input/output error',
    hints: ['The disk, its cable or its mount may be broken: look at the system log before going on.'],
  },
  ENODEV: { reason: 'the disk is gone', hints: ['Connect and mount it again.'] },
  ENXIO: { reason: 'the disk is gone', hints: ['Connect and mount it again.'] },
  ENOTCONN: { reason: 'the mount is gone', hints: ['Mount it again.'] },
  ETIMEDOUT: { reason: 'the mounted server does not answer', retryable: true },
  EHOSTDOWN: { reason: 'the mounted server does not answer', retryable: true },
  EHOSTUNREACH: { reason: 'the mounted server does not answer', retryable: true },
  ESTALE: { reason: 'the mounted server has lost its place', retryable: true },
  EAGAIN: { reason: 'the system is short of resources', retryable: true },
  EBUSY: { reason: 'the file is busy', retryable: true },
  EMFILE: { reason: 'too many files are open', retryable: true },
  ENFILE: { reason: 'too many files are open', retryable: true },
};

/** @returns a RemoteError for what the file system said; anything else, an abort's reason among it, as it is. */
export function localFailure(what: string, error: unknown): unknown {
  const code = systemErrorCode(error);
  const isOfTheSystem = code !== undefined && /^E[A-Z0-9]+$/.test(code) && !(error instanceof RemoteError);
  if (!isOfTheSystem) return error;
  const { reason = (error as Error).message, hints = [], retryable = false } = MEANINGS[code] ?? {};
  return new RemoteError(`${what}: ${reason} (${code})`, { retryable, hints, cause: error });
}
