import { Readable } from 'node:stream';
import { RemoteError } from '../../errors.ts';
import { type ByteRange, MAX_GET_BYTES } from '../remote.ts';
import { connectionFailure } from './failures.ts';
import { watchSilence } from './silence.ts';
import type { Slots } from './slots.ts';

export interface Exchange {
  /** For messages: `put packs/ab/…`. */
  readonly doing: string;
  readonly method: 'GET' | 'PUT' | 'DELETE' | 'MKCOL' | 'MOVE' | 'PROPFIND';
  /** Absolute on the server, not encoded. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly onSent?: (sentBytes: number) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  /** Where the answer came from: another URL than was asked when the server redirected. */
  readonly url: string;
  readonly chunks: AsyncIterable<Buffer>;
}

/** How a request goes out: the `webdav` client's `customRequest`, which gives answers of 400 and more as well. */
export type Send = (
  request: Exchange,
  body: Readable | null,
  signal: AbortSignal,
) => Promise<Omit<Answer, 'chunks'> & { readonly body: Readable | null }>;

/** Between two pieces an abort is seen, and the line is seen to be alive. */
const PIECE_BYTES = 64 * 1024;
/** An answer nobody wants is read to its end up to here, so that its connection can be used again. */
const DRAIN_BYTES = 64 * 1024;
const DRAIN_MS = 1000;

/**
 * Sends one request, has `read` take the answer, and leaves the connection free for the next or closes it.
 *
 * @throws RemoteError, or the signal's reason
 */
export async function exchange<T>(
  send: Send,
  request: Exchange,
  { slots, silenceMs, closing }: { slots: Slots; silenceMs: number; closing: AbortSignal },
  read: (answer: Answer) => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const signals = [closing, ...(request.signal === undefined ? [] : [request.signal])];
  const release = await slots.take(AbortSignal.any(signals));
  const watch = watchSilence(request.doing, silenceMs, [...signals, ended.signal]);
  const body = request.body === undefined ? null : bodyOf(request.body, request.onSent, watch);
  try {
    const { status, headers, url, body: stream } = await send(request, body, watch.signal);
    watch.heard();
    try {
      return await read({ status, headers, url, chunks: chunksOf(stream, watch.heard) });
    } finally {
      // A server that answered before it had read everything, or that sends on and on, is left.
      if (body?.readableEnded === false || !(await isDrained(stream))) ended.abort();
    }
  } catch (error) {
    ended.abort();
    for (const signal of signals) signal.throwIfAborted();
    throw error instanceof RemoteError ? error : (watch.silence() ?? connectionFailure(request.doing, error));
  } finally {
    watch.end();
    release();
  }
}

/**
 * @param range of the object; the answer is the whole object (HTTP 200) or that part of it (206)
 * @throws RemoteError when there are more than `maxBytes`, before they are held
 */
export async function readPart(
  doing: string,
  answer: Answer,
  range: ByteRange = { offset: 0, length: Number.POSITIVE_INFINITY },
  maxBytes: number = MAX_GET_BYTES,
): Promise<Buffer> {
  let skipBytes = answer.status === 206 ? 0 : range.offset;
  if (answer.status === 206) requireOffset(doing, answer, range.offset);
  const lengthOfAll = Number(answer.headers.get('content-length') ?? Number.NaN);
  const expected = Math.min(lengthOfAll - skipBytes, range.length);
  const tooLarge = () =>
    new RemoteError(`${doing}: the answer is larger than any object of a repository`, { retryable: false });
  if (expected > maxBytes) throw tooLarge();
  const parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer.chunks) {
    const part = chunk.subarray(skipBytes).subarray(0, range.length - length);
    skipBytes -= Math.min(skipBytes, chunk.length);
    length += part.length;
    if (length > maxBytes) throw tooLarge();
    parts.push(part);
    if (length === range.length) break;
  }
  if (length < expected) throw new RemoteError(`${doing}: the answer ended early`, { retryable: true });
  return Buffer.concat(parts, length);
}

/** RFC 9110, section 14.4 */
function requireOffset(doing: string, answer: Answer, offset: number): void {
  const contentRange = answer.headers.get('content-range') ?? '';
  if (Number(/^bytes (\d+)-\d+\//.exec(contentRange)?.[1] ?? Number.NaN) === offset) return;
  throw new RemoteError(`${doing}: the server gives another part than was asked for`, { retryable: false });
}

/** A piece is told of as sent when the connection asks for the next. */
function bodyOf(
  bytes: Uint8Array,
  onSent: ((sentBytes: number) => void) | undefined,
  watch: { heard(): void; allSent(): void },
): Readable {
  let offset = 0;
  return new Readable({
    highWaterMark: PIECE_BYTES,
    read() {
      watch.heard();
      onSent?.(offset);
      const piece = bytes.subarray(offset, offset + PIECE_BYTES);
      offset += piece.length;
      if (piece.length > 0) this.push(piece);
      else {
        watch.allSent();
        this.push(null);
      }
    },
  });
}

async function* chunksOf(stream: Readable | null, heard: () => void): AsyncGenerator<Buffer> {
  // Left open when a reader stops early, so that the rest can be drained.
  for await (const chunk of stream?.iterator({ destroyOnReturn: false }) ?? []) {
    heard();
    yield chunk as Buffer;
  }
}

async function isDrained(stream: Readable | null): Promise<boolean> {
  if (stream === null || stream.readableEnded) return true;
  let left = DRAIN_BYTES;
  const timer = setTimeout(() => stream.destroy(), DRAIN_MS);
  try {
    for await (const chunk of stream) {
      left -= (chunk as Buffer).length;
      if (left < 0) return false;
    }
    return true;
  } catch {
    return false; // what was read of the answer is what mattered
  } finally {
    clearTimeout(timer);
  }
}
