import { constants } from 'node:fs';
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { RemoteError, systemErrorCode } from '../../errors.ts';

/**
 * @returns a function that makes a folder and the missing ones above it, each durable in its parent before the promise
 * resolves, for every caller. What was made once is not made again: when the disk is unmounted meanwhile, writing on
 * has to fail, not to begin a new repository on the disk below.
 */
export function folderMaker(): (path: string) => Promise<void> {
  const made = new Map<string, Promise<void>>();
  const makeFolder = (path: string): Promise<void> => {
    const making = made.get(path) ?? make(path);
    made.set(path, making);
    making.catch(() => made.delete(path));
    return making;
  };
  const make = async (path: string) => {
    try {
      await mkdir(path, 0o700).catch(async (error: unknown) => {
        if (systemErrorCode(error) !== 'ENOENT') throw error;
        await makeFolder(dirname(path));
        await mkdir(path, 0o700);
      });
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw error;
    }
    // Also for one that is there: who made it may have been killed before this line.
    await syncFolder(dirname(path));
  };
  return makeFolder;
}

/** A name is durable when its folder is: fsync(2) of the file alone does not do it. */
export async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    await folder.sync().finally(() => folder.close());
  } catch (error) {
    // Some file systems (FUSE, network mounts) cannot sync a folder, and a folder above the root may not be ours to read.
    if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'EACCES'].includes(systemErrorCode(error) ?? '')) throw error;
  }
}

/**
 * @returns a function that remembers the disk the root lies on once it was seen, and throws when the root is gone or lies on
 * another one: after a disk was unmounted, writing on would begin a new repository on the disk below.
 * @throws RemoteError
 */
export function rootKeeper(root: string): () => Promise<void> {
  let known: bigint | null = null;
  return async () => {
    const found = await diskOf(root);
    known ??= found;
    if (found === known) return;
    throw new RemoteError(`use ${root}: the folder of the repository is gone`, {
      retryable: false,
      hints: ['If it lies on a disk that was unmounted meanwhile, mount it and run the same command again.'],
    });
  };
}

/** @returns the number of the device, or `null` when there is no such folder. Inodes change by themselves on some mounts. */
async function diskOf(path: string): Promise<bigint | null> {
  try {
    return (await stat(path, { bigint: true })).dev;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return null;
    throw error;
  }
}
