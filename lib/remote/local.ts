import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, opendir, realpath, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { RemoteError, systemErrorCode } from '../errors.ts';
import { localFailure } from './local/failure.ts';
import { folderMaker, rootKeeper, syncFolder } from './local/folders.ts';
import { isName, requireName, requirePrefix } from './name.ts';
import { type ByteRange, MAX_GET_BYTES, type Remote, type RemoteObject, TEMPORARY_FOLDER } from './remote.ts';
import type { RemoteSettings } from './settings.ts';
import { temporaryName } from './temporary.ts';

/** Between two pieces an abort is seen and progress is told. */
const PIECE_BYTES = 1024 * 1024;

/**
 * A folder of this machine, or of one that is mounted: the reference for what the contract of a remote means.
 * Folders are made with mode 0700 and files with 0600. No symlink below `root` is followed.
 */
export async function openLocal(
  root: string,
  settings: Pick<RemoteSettings, 'temporaryToken'>,
): Promise<Remote> {
  const closing = new AbortController();
  const closed = new RemoteError(`use ${root}: the remote is closed`, { retryable: false });
  const pathOf = (name: string) => {
    requireName(name);
    return join(root, name);
  };
  /** Translates what the file system says, and fails the calls of a closed remote. */
  const attempt = async <T>(what: string, action: () => Promise<T>): Promise<T> => {
    closing.signal.throwIfAborted();
    try {
      await refuseOtherRoot();
      return await action();
    } catch (error) {
      throw localFailure(what, error);
    }
  };
  const makeFolder = folderMaker();
  const refuseOtherRoot = rootKeeper(root);

  return {
    url: root,

    async put(name, bytes, { signal, onSent, beforeNaming } = {}) {
      const path = pathOf(name);
      const stop = AbortSignal.any([closing.signal, ...(signal === undefined ? [] : [signal])]);
      const temporary = join(root, temporaryName(settings.temporaryToken));
      await attempt(`put ${name} into ${root}`, async () => {
        stop.throwIfAborted();
        await makeFolder(dirname(temporary));
        try {
          await writeWhole(temporary, bytes, stop, onSent);
          await beforeNaming?.();
          await makeFolder(dirname(path));
          await refuseSymlinks(root, path);
          stop.throwIfAborted();
          await rename(temporary, path).catch((error: unknown) => refuseGone(temporary, error));
        } catch (error) {
          await unlink(temporary).catch(() => {}); // the first error is the one to tell
          throw error;
        }
        await syncFolder(dirname(path));
      });
    },

    async get(name, range) {
      const path = pathOf(name);
      return attempt(`get ${name} from ${root}`, async () => {
        const file = await openObject(root, path);
        if (file === null) return null;
        try {
          return await readPart(file, name, range);
        } finally {
          await file.close();
        }
      });
    },

    async *list(prefix) {
      requirePrefix(prefix);
      closing.signal.throwIfAborted();
      try {
        await refuseOtherRoot();
        yield* listFolder(root, prefix.replace(/\/$/, ''), prefix === '');
      } catch (error) {
        throw localFailure(`list ${join(root, prefix)}`, error);
      }
    },

    async stat(name) {
      const path = pathOf(name);
      return attempt(`look up ${name} in ${root}`, async () => {
        const found = await absentAsNull(lstat(path));
        if (found === null || !found.isFile()) return null;
        await refuseSymlinks(root, path);
        return { name, sizeBytes: found.size };
      });
    },

    async sha256(names) {
      const hashes = new Map<string, string>();
      for (const name of names) {
        const path = pathOf(name);
        const sha256 = await attempt(`read ${name} in ${root}`, () => hashFile(root, path, closing.signal));
        if (sha256 !== null) hashes.set(name, sha256);
      }
      return hashes;
    },

    async remove(name) {
      const path = pathOf(name);
      await attempt(`remove ${name} from ${root}`, async () => {
        const found = await absentAsNull(lstat(path));
        if (found === null || !found.isFile()) return;
        await refuseSymlinks(root, path);
        await absentAsNull(unlink(path));
      });
    },

    async close() {
      closing.abort(closed);
    },
  };
}

/** Writes a new file, durable when this resolves. */
async function writeWhole(
  path: string,
  bytes: Uint8Array,
  stop: AbortSignal,
  onSent: ((sentBytes: number) => void) | undefined,
): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    let sentBytes = 0;
    do {
      const { bytesWritten } = await file.write(
        bytes,
        sentBytes,
        Math.min(PIECE_BYTES, bytes.length - sentBytes),
      );
      sentBytes += bytesWritten;
      onSent?.(sentBytes);
      stop.throwIfAborted();
    } while (sentBytes < bytes.length);
    await file.sync();
    const { size } = await file.stat();
    if (size !== bytes.length) {
      throw new RemoteError(`write ${path}: ${size} of ${bytes.length} bytes arrived`, { retryable: true });
    }
  } finally {
    await file.close();
  }
}

/** Not the folder, as a failed rename may look like, but the object itself is gone: somebody took it for dead. */
async function refuseGone(temporary: string, error: unknown): Promise<never> {
  const isGone =
    systemErrorCode(error) === 'ENOENT' && (await absentAsNull(lstat(dirname(temporary)))) !== null;
  if (!isGone) throw error;
  throw new RemoteError(`rename ${temporary}: it is gone`, { retryable: true, cause: error });
}

/** The root may be reached through symlinks, what lies below it may not: a link could lead anywhere. */
async function refuseSymlinks(root: string, path: string): Promise<void> {
  const [realRoot, realFolder] = await Promise.all([realpath(root), realpath(dirname(path))]);
  if (realFolder === join(realRoot, dirname(path).slice(root.length))) return;
  throw new RemoteError(`follow ${dirname(path)}: a symlink leads out of the repository`, {
    retryable: false,
    hints: ['Mount or move the folder instead of linking to it.'],
  });
}

/** @returns `null` when nothing is there, or a folder is */
async function openObject(root: string, path: string): Promise<FileHandle | null> {
  // O_NONBLOCK: to open a FIFO someone has put there would wait for ever.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await absentAsNull(open(path, flags));
  if (file === null) return null;
  try {
    await refuseSymlinks(root, path);
    if ((await file.stat()).isFile()) return file;
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  return null;
}

/** @returns `null` when it is absent or cannot be read to its end */
async function hashFile(root: string, path: string, stop: AbortSignal): Promise<string | null> {
  let file: FileHandle | null = null;
  try {
    file = await openObject(root, path);
    if (file === null) return null;
    const sha256 = createHash('sha256');
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    for (;;) {
      stop.throwIfAborted();
      const { bytesRead } = await file.read(piece, 0, piece.length, null);
      if (bytesRead === 0) return sha256.digest('hex');
      sha256.update(piece.subarray(0, bytesRead));
    }
  } catch (error) {
    if (['EIO', 'EACCES', 'EPERM'].includes(systemErrorCode(error) ?? '')) return null;
    throw error;
  } finally {
    await file?.close();
  }
}

async function readPart(file: FileHandle, name: string, range: ByteRange | undefined): Promise<Buffer> {
  const { size } = await file.stat();
  const offset = Math.min(range?.offset ?? 0, size);
  const length = Math.min(range?.length ?? size, size - offset);
  if (length > MAX_GET_BYTES) {
    throw new RemoteError(`get ${name}: it is larger than any object of a repository (${length} bytes)`, {
      retryable: false,
    });
  }
  const bytes = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
    if (bytesRead === 0) throw new RemoteError(`get ${name}: the file ended early`, { retryable: true });
    filled += bytesRead;
  }
  return bytes;
}

async function* listFolder(
  root: string,
  folder: string,
  skipsTemporary: boolean,
): AsyncIterable<RemoteObject> {
  const entries = await absentAsNull(opendir(join(root, folder)));
  if (entries === null) return;
  for await (const entry of entries) {
    const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (!isName(name)) continue; // a stray file, such as a file manager leaves
    if (entry.isDirectory()) {
      if (!(skipsTemporary && name === TEMPORARY_FOLDER)) yield* listFolder(root, name, false);
    } else if (entry.isFile()) {
      const found = await absentAsNull(lstat(join(root, name)));
      if (found !== null) yield { name, sizeBytes: found.size };
    }
  }
}

/** ENOTDIR: a file stands where a folder would be, so below it there is nothing. */
async function absentAsNull<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
}
