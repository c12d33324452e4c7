import { posix } from 'node:path';
import type { FileEntryWithStats, Stats } from 'ssh2';
import { RemoteError } from '../../errors.ts';
import { isName } from '../name.ts';
import type { RemoteObject } from '../remote.ts';
import type { Page } from '../walk.ts';
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

/**
 * @param root of the names, without a trailing `/`; @param folder one of them, empty for the root
 * @param count told of names as they come in; throws when there are too many
 * @returns what lies in the folder; nothing when there is none
 */
export async function readFolder(
  channel: SftpChannel,
  root: string,
  folder: string,
  count: (names: number) => void,
): Promise<Page> {
  const path = `${root}/${folder}`.replace(/\/$/, '') || '/';
  const page = { objects: [] as RemoteObject[], folders: [] as string[] };
  let handle: Buffer;
  try {
    handle = await channel.request<Buffer>((sftp, done) => sftp.opendir(path, done));
  } catch (error) {
    if (statusOf(error) === STATUS.noSuchFile) return page;
    const stats = statusOf(error) === STATUS.failure ? await statPath(channel, path) : undefined;
    if (stats === null || stats?.isDirectory() === false) return page;
    throw error;
  }
  // A handle asks for the next part of the folder; ssh2's types know only of paths.
  const nextPart = () =>
    channel.request<FileEntryWithStats[]>((sftp, done) => sftp.readdir(handle as unknown as string, done));
  const add = ({ filename, attrs }: FileEntryWithStats) => {
    const name = folder === '' ? filename : `${folder}/${filename}`;
    if (filename.includes('/') || !isName(name)) return; // other files may lie beside ours
    if (attrs.isFile()) page.objects.push({ name, sizeBytes: attrs.size });
    else if (attrs.isDirectory()) page.folders.push(name);
  };
  try {
    for (;;) {
      // Most folders are one part: that it was the last is asked in the same breath.
      for (const part of await Promise.allSettled([nextPart(), nextPart()])) {
        if (part.status === 'rejected') {
          if (statusOf(part.reason) === STATUS.endOfFile) return page;
          throw part.reason;
        }
        count(Math.max(1, part.value.length)); // a server that goes on with nothing comes to an end as well
        part.value.forEach(add);
      }
    }
  } finally {
    // The answer does not matter: what could be read has been read.
    channel.request((sftp, done) => sftp.close(handle, done as () => void)).catch(() => {});
  }
}
