import { posix } from 'node:path';
import type { Stats } from 'ssh2';
import { RemoteError } from '../../errors.ts';
import { type ByteRange, MAX_GET_BYTES, type PutOptions } from '../remote.ts';
import type { SftpChannel } from './channel.ts';
import { noSpace, requestFailure, STATUS, statusOf } from './failures.ts';
import { inFolder, makeAhead, statPath } from './folders.ts';
import { closeFile, download, readOnce, upload } from './transfer.ts';

/** How long an upload that was given up may take to clear its traces away before the channel is thrown out instead. */
const CLEAR_MS = 2000;

/** Servers without posix-rename: so often may another put of the same name come in between. */
const REPLACE_ATTEMPTS = 5;

export interface PutPlace {
  /** A path nobody else uses. */
  readonly temporary: string;
  readonly path: string;
  /** Folders that are known to be there; those of a put are added. */
  readonly folders: Set<string>;
}

/** Puts an object by way of a temporary one. @param doing for messages: `put packs/ab/…` */
export async function putFile(
  channel: SftpChannel,
  doing: string,
  place: PutPlace,
  bytes: Uint8Array,
  options: PutOptions,
): Promise<void> {
  await fillTemporary(channel, doing, place, bytes, options);
  await nameTemporary(channel, doing, place, bytes.length);
}

/** The first half of a put: the object is whole and durable, under its temporary name. When it fails nothing is left. */
export async function fillTemporary(
  channel: SftpChannel,
  doing: string,
  place: PutPlace,
  bytes: Uint8Array,
  options: PutOptions,
): Promise<void> {
  const { temporary, folders } = place;
  const { needed, mayMake } = foldersOf(place);
  const state = { closed: false };
  let handle: Buffer | null = null;
  try {
    makeAhead(
      channel,
      needed.filter((one) => !folders.has(one)),
    );
    handle = await inFolder(channel, posix.dirname(temporary), mayMake, () =>
      channel.request<Buffer>((sftp, done) => sftp.open(temporary, 'wx', 0o600, done)),
    );
    const storedBytes = await upload(channel, handle, bytes, options, state);
    if (storedBytes !== bytes.length) {
      const reason = `the server holds ${storedBytes} of ${bytes.length} bytes`;
      throw new RemoteError(`${doing}: ${reason}`, { retryable: true });
    }
    options.signal?.throwIfAborted();
  } catch (error) {
    const failure = await explain(channel, doing, posix.dirname(temporary), bytes.length, error);
    if (handle !== null) await clear(channel, state.closed ? null : handle, temporary);
    throw failure;
  }
}

/** The second half: it gets its name, or is removed. @param sizeBytes the object's */
export async function nameTemporary(
  channel: SftpChannel,
  doing: string,
  place: PutPlace,
  sizeBytes: number,
): Promise<void> {
  const { temporary, path, folders } = place;
  const { needed, mayMake } = foldersOf(place);
  try {
    // Second order: only now, whole and durable, does it get its name.
    await inFolder(channel, posix.dirname(path), mayMake, () => replace(channel, temporary, path));
    for (const one of needed) folders.add(one);
  } catch (error) {
    const failure = await explain(channel, doing, posix.dirname(temporary), sizeBytes, error);
    await clear(channel, null, temporary);
    throw failure;
  }
}

/** The folders of a put below the repository's, those above first, and which may be made. */
function foldersOf({ temporary, path, folders }: PutPlace) {
  const folder = posix.dirname(path);
  const root = posix.dirname(posix.dirname(temporary));
  const below = [posix.dirname(temporary), posix.dirname(folder), folder];
  const needed = below.filter((one) => one.length > root.length);
  // The first put may be that of a new repository.
  const isNew = folders.size === 0;
  return { needed, mayMake: (one: string) => isNew || one.length > root.length };
}

/** @returns `null` when absent or no file. */
export async function getFile(
  channel: SftpChannel,
  doing: string,
  path: string,
  range: ByteRange | undefined,
): Promise<Buffer | null> {
  let handle: Buffer;
  try {
    handle = await channel.request<Buffer>((sftp, done) => sftp.open(path, 'r', done));
  } catch (error) {
    if (statusOf(error) === STATUS.noSuchFile || (await isNoFile(channel, path, error))) return null;
    throw requestFailure(doing, error);
  }
  try {
    const { offset, length } = range ?? { offset: 0, length: Number.POSITIVE_INFINITY };
    if (length > 0 && length <= channel.maxReadBytes) {
      // What is asked for is as long as it may be, and what is there often shorter: its size saves a look for more.
      const [stats, bytes] = await Promise.all([
        fstat(channel, handle),
        readOnce(channel, handle, offset, length),
      ]);
      if (stats.isFile() && bytes.length >= Math.min(length, stats.size - offset)) return bytes;
    }
    // A range that is small enough says how much to ask for, and costs one round trip less than the whole.
    if (length <= MAX_GET_BYTES) return await download(channel, handle, offset, length);
    const stats = await fstat(channel, handle);
    if (!stats.isFile()) return null;
    const present = Math.min(length, Math.max(0, stats.size - offset));
    if (present > MAX_GET_BYTES) throw tooLarge(doing, present);
    const bytes = await download(channel, handle, offset, present);
    if (bytes.length === present) return bytes;
    throw new RemoteError(`${doing}: it became shorter meanwhile`, { retryable: true });
  } catch (error) {
    if (await isNoFile(channel, path, error)) return null;
    throw requestFailure(doing, error);
  } finally {
    // Nobody waits for the answer: what could be read has been read.
    closeFile(channel, handle).catch(() => {});
  }
}

/** That it is not there is fine. */
export async function removeFile(channel: SftpChannel, doing: string, path: string): Promise<void> {
  try {
    await channel.request((sftp, done) => sftp.unlink(path, done as () => void));
  } catch (error) {
    if (statusOf(error) === STATUS.noSuchFile || (await isNoFile(channel, path, error))) return;
    throw requestFailure(doing, error);
  }
}

function fstat(channel: SftpChannel, handle: Buffer): Promise<Stats> {
  return channel.request<Stats>((sftp, done) => sftp.fstat(handle, done));
}

/** Did a request fail because there is no file, though the server would not say so? */
async function isNoFile(channel: SftpChannel, path: string, error: unknown): Promise<boolean> {
  if (statusOf(error) === null) return false;
  try {
    return (await statPath(channel, path))?.isFile() !== true;
  } catch {
    return false; // then the first error stands
  }
}

/** Gives `temporary` its name: in one step where the server offers that, else by way of moving the old object aside. */
async function replace(channel: SftpChannel, temporary: string, path: string): Promise<void> {
  if (channel.offers('posix-rename@openssh.com')) {
    await channel.request((sftp, done) => sftp.ext_openssh_rename(temporary, path, done as () => void));
    return;
  }
  const rename = (from: string, to: string) =>
    channel.request((sftp, done) => sftp.rename(from, to, done as () => void));
  const aside: string[] = [];
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        await rename(temporary, path);
        break;
      } catch (error) {
        const status = statusOf(error);
        const final = status === null || status === STATUS.noSuchFile || status === STATUS.permissionDenied;
        if (final || attempt === REPLACE_ATTEMPTS) throw error;
      }
      // That there is nothing to move is fine: then it was something else, or another put was faster.
      const old = `${temporary}-${attempt}`;
      if (
        await rename(path, old).then(
          () => true,
          () => false,
        )
      )
        aside.push(old);
    }
  } catch (error) {
    const last = aside.pop();
    if (last !== undefined) await rename(last, path).catch(() => {}); // what failed is worth telling, not this
    throw error;
  } finally {
    for (const old of aside) await removeFile(channel, `remove ${old}`, old).catch(() => {});
  }
}

/** Finds out what a server without words for a full disk means by 'Failure'. */
async function explain(
  channel: SftpChannel,
  doing: string,
  folder: string,
  bytes: number,
  error: unknown,
): Promise<unknown> {
  if (statusOf(error) === STATUS.failure && channel.offers('statvfs@openssh.com')) {
    const space = await channel
      .request<{ f_bavail: number; f_frsize: number; f_favail: number; f_files: number }>((sftp, done) =>
        sftp.ext_openssh_statvfs(folder, done),
      )
      .catch(() => null); // the folder itself may be what is missing
    const full = space !== null && space.f_bavail * space.f_frsize < bytes;
    const outOfFiles = space !== null && space.f_files > 0 && space.f_favail === 0;
    if (full || outOfFiles) return noSpace(doing, error);
  }
  return requestFailure(doing, error);
}

/** Removes an upload that came to nothing; a channel that is still busy with it after a while is thrown out. */
async function clear(channel: SftpChannel, handle: Buffer | null, temporary: string): Promise<void> {
  const giveUp = setTimeout(() => {
    channel.end(new RemoteError('clear away an upload: the server is too slow', { retryable: true }));
  }, CLEAR_MS);
  try {
    if (handle !== null) await closeFile(channel, handle);
    await channel.request((sftp, done) => sftp.unlink(temporary, done as () => void));
  } catch {
    // It stays in the folder for temporary objects, under this process's token, and does no harm there.
  } finally {
    clearTimeout(giveUp);
  }
}

function tooLarge(doing: string, bytes: number): RemoteError {
  return new RemoteError(`${doing}: ${bytes} bytes are more than any object may hold`, {
    retryable: false,
    hints: ['This is not what Skylock has put there. Is it the right folder?'],
  });
}
