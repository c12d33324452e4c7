import { DamagedError } from '../errors.ts';
import { HEADER_BYTES } from '../format/envelope.ts';
import { chunkId, type RepositoryKeys } from '../format/keys.ts';
import { openFrame, packKey } from '../format/pack.ts';
import type { Compression, PackEntry } from '../format/pack-directory.ts';
import type { ByteRange } from '../remote/remote.ts';
import { abortable } from '../waiting.ts';
import { packName, type Repository } from './repository.ts';

/** Where a chunk lies in a pack, as the journal tells it. */
export interface Frame {
  readonly id: Buffer;
  /** The frame's number in the pack. */
  readonly position: number;
  readonly offset: number;
  readonly storedSize: number;
  readonly size: number;
  readonly compression: number;
}

export interface PackReference {
  /** SHA-256 of the pack. */
  readonly name: Buffer;
  readonly size: number;
}

/** A chunk that is what its id says, or the reason why it cannot be had. */
export type OpenedFrame<F extends Frame = Frame> =
  | { readonly frame: F; readonly chunk: Buffer; readonly damage: null }
  | { readonly frame: F; readonly chunk: null; readonly damage: DamagedError };

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the length of each answer of the remote. */
  readonly onFetched?: (bytes: number) => void;
}

/** Fetching so much that nobody needs takes less time than another request. */
const GAP_BYTES = 256 * 1024;
/** An answer is held whole, and another one is on its way. A pack of the usual 16 MiB is four. */
const RANGE_BYTES = 4 * 1024 * 1024;
/** From this share of a pack on, it is fetched whole. */
const MOST = 3 / 4;
const HEADER_RANGE: ByteRange = { offset: 0, length: HEADER_BYTES };

/**
 * Fetches frames of one pack, near ones together, and opens and verifies each.
 * @param frames in ascending order; their chunks come in this order too
 * @throws RemoteError @throws the signal's reason
 */
export async function* readFrames<F extends Frame>(
  repository: Repository,
  pack: PackReference,
  frames: readonly F[],
  options: ReadOptions = {},
): AsyncGenerator<OpenedFrame<F>, void, void> {
  for await (const span of fetchSpans(repository, pack, frames, options)) {
    if (span.bytes === null) {
      yield* damaged(span.frames, span.damage);
      continue;
    }
    yield* openSpan(repository.keys, span);
    free(span.bytes);
  }
}

/** Fetches what {@link readFrames} opens: one answer of the remote after the other. */
export async function* fetchSpans<F extends Frame>(
  repository: Repository,
  pack: PackReference,
  frames: readonly F[],
  options: ReadOptions = {},
): AsyncGenerator<SealedSpan<F> | LostSpan<F>, void, void> {
  const name = packName(pack.name.toString('hex'));
  const spans = spansOf(frames, pack.size);
  let isOver = false;
  const onFetched = (bytes: number) => {
    if (!isOver) options.onFetched?.(bytes);
  };
  const fetch = (range: ByteRange) => fetchRange(repository, name, range, { ...options, onFetched });
  const isApart = spans[0]!.range.offset > 0;
  let begun = Promise.all([fetch(spans[0]!.range), isApart ? fetch(HEADER_RANGE) : null]);
  let header: Buffer | null = null;
  try {
    for (const [index, span] of spans.entries()) {
      const [bytes, apart] = await begun;
      const next = spans[index + 1];
      if (next !== undefined) {
        begun = Promise.all([fetch(next.range), null]); // on its way while this one is used
        begun.catch(() => {}); // thrown when its turn comes
      }
      // A copy, so that the first answer need not be held until the last.
      if (index === 0) header = isApart ? apart : bytes && Buffer.from(bytes.subarray(0, HEADER_BYTES));
      if (bytes !== null && header !== null) yield { ...span, name, header, bytes };
      else {
        const damage = new DamagedError(`read ${name}: it is not on the remote`);
        yield { frames: span.frames, bytes: null, damage };
      }
    }
  } finally {
    isOver = true; // what was asked for ahead comes to nobody any more
  }
}

interface Span<F extends Frame> {
  readonly range: ByteRange;
  readonly frames: readonly F[];
}

/** A stretch of a pack, as the remote has given it. */
export interface SealedSpan<F extends Frame> extends Span<F> {
  readonly name: string;
  /** The pack's. */
  readonly header: Buffer;
  readonly bytes: Buffer;
}

/** What cannot be had. */
interface LostSpan<F extends Frame> {
  readonly frames: readonly F[];
  readonly bytes: null;
  readonly damage: DamagedError;
}

/** Cuts what is needed into answers: the pack's header, whose salt its key comes from, belongs to the first where it is near. */
function spansOf<F extends Frame>(frames: readonly F[], packSize: number): Span<F>[] {
  const needed = frames.reduce((sum, { storedSize }) => sum + storedSize, 0);
  if (packSize <= RANGE_BYTES && needed >= packSize * MOST) {
    return [{ range: { offset: 0, length: packSize }, frames }];
  }
  const spans: Span<F>[] = [];
  let [from, start, end] = [0, 0, HEADER_BYTES];
  frames.forEach(({ offset, storedSize }, index) => {
    const isFar = offset - end > GAP_BYTES;
    const isFull = index > from && offset + storedSize - start > RANGE_BYTES;
    if (isFar || isFull) {
      if (index > from) {
        spans.push({ range: { offset: start, length: end - start }, frames: frames.slice(from, index) });
      }
      [from, start] = [index, offset];
    }
    end = offset + storedSize;
  });
  spans.push({ range: { offset: start, length: end - start }, frames: frames.slice(from) });
  return spans;
}

async function fetchRange(
  { remote }: Repository,
  name: string,
  range: ByteRange,
  { signal, onFetched }: ReadOptions,
): Promise<Buffer | null> {
  const bytes = await abortable(() => remote.get(name, range), signal);
  onFetched?.(bytes?.length ?? 0);
  return bytes;
}

/** Opens and verifies the frames of a stretch of a pack, each when it is asked for. */
export function* openSpan<F extends Frame>(
  keys: RepositoryKeys,
  { name, header, bytes, range, frames }: SealedSpan<F>,
): Generator<OpenedFrame<F>> {
  let key: ReturnType<typeof packKey>;
  try {
    key = packKey(keys, header, name);
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    yield* damaged(frames, error);
    return;
  }
  for (const frame of frames) {
    const { id, position, storedSize, size } = frame;
    const compression = frame.compression as Compression;
    const offset = frame.offset - range.offset;
    try {
      const sealed = bytes.subarray(offset, offset + storedSize);
      const entry = { id, compression, offset, storedSize, size };
      yield { frame, chunk: openChunk(keys, key, position, entry, sealed), damage: null };
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      yield { frame, chunk: null, damage: new DamagedError(`read ${name}: ${error.message}`) };
    }
  }
}

/**
 * @param key the pack's
 * @param position the frame's number in the pack
 * @throws DamagedError unless it is the chunk its id names
 */
export function openChunk(
  keys: RepositoryKeys,
  key: ReturnType<typeof packKey>,
  position: number,
  entry: PackEntry,
  sealed: Uint8Array,
): Buffer {
  const chunk = openFrame(key, position, entry, sealed);
  // The seal proves that the writer gave it this id; this, that the writer was right.
  if (chunkId(keys, chunk).equals(entry.id)) return chunk;
  throw new DamagedError(
    `open chunk ${entry.id.toString('hex')}: its bytes were damaged when they were stored`,
  );
}

export function* damaged<F extends Frame>(
  frames: readonly F[],
  damage: DamagedError,
): Generator<OpenedFrame<F>> {
  for (const frame of frames) yield { frame, chunk: null, damage };
}

/**
 * Gives memory back at once. Left to the garbage collector, some hundred megabytes would wait for it while chunks go by
 * at full speed.
 * @param bytes nobody's any more; what is only a part of a larger buffer is left alone
 */
export function free({ buffer, byteLength }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
