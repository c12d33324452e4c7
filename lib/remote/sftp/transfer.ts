import { abortable } from '../../waiting.ts';
import type { PutOptions } from '../remote.ts';
import type { SftpChannel } from './channel.ts';
import { writeFrom } from './write.ts';

/**
 * Bytes asked for or sent and not yet answered, on one channel: the 2 MiB that OpenSSH's window lets through in one
 * round trip, and as much again ready to follow.
 */
const IN_FLIGHT_BYTES = 4 * 1024 * 1024;

/** A request on its way to be sent, and how much of the budget it takes until it is answered. */
interface Request {
  readonly bytes: number;
  readonly send: () => Promise<unknown>;
}

/**
 * Sends requests one after another without waiting for their answers, up to {@link IN_FLIGHT_BYTES} at a time.
 * @throws what the first of them to fail was rejected with, or the signal's reason; no more are sent then
 */
async function pipeline(requests: Iterable<Request>, signal?: AbortSignal): Promise<void> {
  const pending = new Set<Promise<unknown>>();
  let inFlight = 0;
  let failed = false;
  let failure: unknown;
  for (const { bytes, send } of requests) {
    while (inFlight > 0 && inFlight + bytes > IN_FLIGHT_BYTES && !failed) {
      await abortable(() => Promise.race(pending), signal);
    }
    signal?.throwIfAborted();
    if (failed) break;
    inFlight += bytes;
    const answered = send()
      .catch((error: unknown) => {
        failure = failed ? failure : error;
        failed = true;
      })
      .finally(() => {
        inFlight -= bytes;
        pending.delete(answered);
      });
    pending.add(answered);
  }
  if (!failed) await abortable(() => Promise.all(pending), signal);
  if (failed) throw failure;
}

/** What became of the handle: a server may give a closed one's number to another file at once. */
export interface Upload {
  closed: boolean;
}

/**
 * Fills a file that was just opened, makes it durable where the server offers that, asks for its size and closes it:
 * all in one go, as the server works off a file's requests in order (draft-ietf-secsh-filexfer-02, section 6.1).
 * @returns the size the server says the file has, in bytes
 */
export async function upload(
  channel: SftpChannel,
  handle: Buffer,
  bytes: Uint8Array,
  { signal, onSent }: PutOptions,
  state: Upload,
): Promise<number> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pieceBytes = channel.maxWriteBytes;
  let sentBytes = 0;
  let storedBytes = -1;
  const write = (offset: number, length: number): Request => ({
    bytes: length,
    send: async () => {
      const piece = buffer.subarray(offset, offset + length);
      await channel.request((sftp, done) =>
        writeFrom(sftp, handle, piece, offset, done as (error?: Error | null) => void),
      );
      sentBytes += length;
      if (signal?.aborted !== true) onSent?.(sentBytes);
    },
  });
  function* requests(): Generator<Request> {
    for (let offset = 0; offset < buffer.length; offset += pieceBytes) {
      yield write(offset, Math.min(pieceBytes, buffer.length - offset));
    }
    if (channel.offers('fsync@openssh.com')) {
      yield {
        bytes: 0,
        send: () => channel.request((sftp, done) => sftp.ext_openssh_fsync(handle, done as () => void)),
      };
    }
    yield {
      bytes: 0,
      send: async () => {
        const { size } = await channel.request<{ size: number }>((sftp, done) => sftp.fstat(handle, done));
        storedBytes = size;
      },
    };
    yield {
      bytes: 0,
      send: () => {
        state.closed = true;
        return closeFile(channel, handle);
      },
    };
  }
  if (buffer.length === 0) onSent?.(0);
  await pipeline(requests(), signal);
  return storedBytes;
}

/** @returns the `length` bytes from `offset`, or as many as the file holds. */
export async function download(
  channel: SftpChannel,
  handle: Buffer,
  offset: number,
  length: number,
): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  const pieceBytes = channel.maxReadBytes;
  let end = length;
  const read = async (from: number, to: number): Promise<void> => {
    // A server may give less than it was asked for, and gives nothing at the end of the file.
    for (let position = from; position < to; ) {
      const count = await channel.request<number>((sftp, done) =>
        sftp.read(handle, buffer, position, to - position, offset + position, done),
      );
      if (count === 0) end = Math.min(end, position);
      if (count === 0) return;
      position += count;
    }
  };
  function* requests(): Generator<Request> {
    for (let from = 0; from < length && from < end; from += pieceBytes) {
      const to = Math.min(from + pieceBytes, length);
      yield { bytes: to - from, send: () => read(from, to) };
    }
  }
  await pipeline(requests());
  return end < length ? buffer.subarray(0, end) : buffer;
}

/** @returns what the server gives for one request: `length` bytes, or fewer */
export async function readOnce(
  channel: SftpChannel,
  handle: Buffer,
  offset: number,
  length: number,
): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  const count = await channel.request<number>((sftp, done) =>
    sftp.read(handle, buffer, 0, length, offset, done),
  );
  return buffer.subarray(0, count);
}

export function closeFile(channel: SftpChannel, handle: Buffer): Promise<void> {
  return channel.request((sftp, done) => sftp.close(handle, done as () => void));
}
