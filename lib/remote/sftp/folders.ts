import { posix } from 'node:path';
import type { FileEntryWithStats, Stats } from 'ssh2';
import { RemoteError } from '../../errors.ts';
import type { SftpChannel } from './channel.ts';
import { STATUS, statusOf } from './failures.ts';

/** @returns `null` when nothing is there. */
export async function statPath(channel: SftpChannel, path: string): Promise<Stats | null> {
  try {
    return await channel.request<Stats>((sftp, done) => sftp.stat(path, done));
  } catch (error) {
    // Below a file there is nothing either; OpenSSH says so by the status, ProFTPD in words.
    const absent = statusOf(error) === STATUS.noSuchFile || /not a directory/i.test((error as Error).message);
    if (absent) return null;
    throw error;
  }
}

/**
 * Asks for folders that may be missing, those above first, and waits for no answer: a server works requests off in order, so
 * what is asked for next finds them. One that is there already, or cannot be made, shows in that.
 */
export function makeAhead(channel: SftpChannel, folders: readonly string[]): void {
  for (const folder of folders) {
    channel.request((sftp, done) => sftp.mkdir(folder, { mode: 0o700 }, done as () => void)).catch(() => {});
  }
}

/**
 * Does something in `folder`, and once more after making the folder when it failed in the way in which it fails without it.
 * Servers are not of one mind: some say that there is no such file, some only that it failed.
 * @param mayMake of that folder or one above it; where one is missing that may not be made, it fails for good
 */
export async function inFolder<T>(
  channel: SftpChannel,
  folder: string,
  mayMake: (folder: string) => boolean,
  action: () => Promise<T>,
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const status = statusOf(error);
    if (status !== STATUS.noSuchFile && status !== STATUS.failure) throw error;
    if (status === STATUS.failure && (await statPath(channel, folder)) !== null) throw error;
    await makeFolder(channel, folder, mayMake);
    return action();
  }
}

/** Makes a folder (mode 0700) and those above it; that somebody else makes them at the same moment is fine. */
async function makeFolder(
  channel: SftpChannel,
  folder: string,
  mayMake: (folder: string) => boolean,
): Promise<void> {
  if (!mayMake(folder)) {
    // To begin a repository that is gone anew, on the disk below perhaps, would hide that.
    throw new RemoteError(`make folder ${folder}: the folder of the repository is gone`, {
      retryable: false,
      hints: ['If it lies on a disk that was unmounted meanwhile, mount it and run the same command again.'],
    });
  }
  const make = () => channel.request((sftp, done) => sftp.mkdir(folder, { mode: 0o700 }, done as () => void));
  const there = async (error: unknown): Promise<boolean> => {
    const stats = statusOf(error) === null ? null : await statPath(channel, folder);
    if (stats !== null && !stats.isDirectory()) {
      throw new RemoteError(`make folder ${folder}: a file of this name is in the way`, {
        retryable: false,
      });
    }
    return stats !== null;
  };
  try {
    return await make();
  } catch (error) {
    if (await there(error)) return;
    const above = posix.dirname(folder);
    if (above === folder || statusOf(error) === null) throw error;
    await makeFolder(channel, above, mayMake);
  }
  try {
    await make();
  } catch (error) {
    if (!(await there(error))) throw error;
  }
}

/** @returns what lies in a folder; nothing when there is none. */
export async function readFolder(channel: SftpChannel, folder: string): Promise<FileEntryWithStats[]> {
  let handle: Buffer;
  try {
    handle = await channel.request<Buffer>((sftp, done) => sftp.opendir(folder, done));
  } catch (error) {
    if (statusOf(error) === STATUS.noSuchFile) return [];
    const stats = statusOf(error) === STATUS.failure ? await statPath(channel, folder) : undefined;
    if (stats === null || stats?.isDirectory() === false) return [];
    throw error;
  }
  // A handle asks for the next part of the folder; ssh2's types know only of paths.
  const nextPart = () =>
    channel.request<FileEntryWithStats[]>((sftp, done) => sftp.readdir(handle as unknown as string, done));
  const entries: FileEntryWithStats[] = [];
  try {
    for (;;) {
      // Most folders are one part: that it was the last is asked in the same breath.
      for (const part of await Promise.allSettled([nextPart(), nextPart()])) {
        if (part.status === 'fulfilled') entries.push(...part.value);
        else if (statusOf(part.reason) === STATUS.endOfFile) return entries;
        else throw part.reason;
      }
    }
  } finally {
    // The answer does not matter: what could be read has been read.
    channel.request((sftp, done) => sftp.close(handle, done as () => void)).catch(() => {});
  }
}
