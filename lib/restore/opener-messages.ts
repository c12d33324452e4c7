/** What passes between the main thread of a restore and those that open chunks and write files, and back. */
import { DamagedError } from '../errors.ts';
import { CHUNK_ID_BYTES } from '../format/keys.ts';
import { bufferOf } from '../repository/arrivals.ts';
import type { Frame, OpenedFrame, SealedSpan } from '../repository/chunks.ts';
import { EntryError } from './failure.ts';
import type { FileToWrite } from './part-files.ts';

export interface FrameToOpen extends Frame {
  /** The file that is to be written when the chunk is opened, which is all of it. */
  readonly whole: FileToWrite | null;
}

/** A chunk, or why it cannot be had; or, of one that is a whole file, what became of that. */
export type Opened<F extends Frame> =
  | (OpenedFrame<F> & { readonly written: null })
  | { readonly frame: F; readonly chunk: null; readonly damage: null; readonly written: Written };

export interface Written {
  /** Why the file could not be written, or `null`. */
  readonly failure: Error | null;
  /** Why its owner could not be set, or `null`. */
  readonly refused: string | null;
}

export type ToOpener =
  | { readonly type: 'span'; readonly number: number; readonly span: PassedSpan }
  /** Asks for the next chunks of a span; what comes after files alone comes unasked. */
  | { readonly type: 'more'; readonly number: number }
  | { readonly type: 'stop' };

/** What became of some frames that follow one another; what is not said of one went well. */
export interface FromOpener {
  readonly number: number;
  /** How many frames this is about. */
  readonly frames: number;
  /** The chunks of those that are no files, one after the other, each as long as its frame says. */
  readonly bytes: Uint8Array;
  /** By the frame's place among these. */
  readonly damage: ReadonlyMap<number, string>;
  readonly failures: ReadonlyMap<number, PassedFailure>;
  readonly refused: ReadonlyMap<number, string>;
}

/** An error as it passes threads: what tells one from another would be lost. */
export interface PassedFailure {
  readonly message: string;
  /** Of a system call that has failed; else it is an {@link EntryError}. */
  readonly system: { readonly code: string; readonly errno: number } | null;
}

/** A span as it passes threads: thousands of frames as objects would take longer to pass than to open. */
export interface PassedSpan {
  readonly name: string;
  readonly header: Uint8Array;
  readonly bytes: Uint8Array;
  /** Where `bytes` begins in the pack. */
  readonly offset: number;
  readonly ids: Uint8Array;
  readonly numbers: Float64Array;
  /** Of the files, one after the other. */
  readonly paths: Uint8Array;
}

/** Of each frame, in this order; a file that is to be written has a path of some bytes. */
const FRAME_NUMBERS = ['position', 'offset', 'storedSize', 'size', 'compression'] as const;
const FILE_NUMBERS = ['mode', 'uid', 'gid', 'mtimeUs'] as const;
const NUMBERS = FRAME_NUMBERS.length + 1 + FILE_NUMBERS.length;

export function passedSpan({ name, header, bytes, range, frames }: SealedSpan<FrameToOpen>): PassedSpan {
  const isWhole = bytes.length === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer;
  const numbers = new Float64Array(frames.length * NUMBERS);
  let at = 0;
  for (const frame of frames) {
    for (const field of FRAME_NUMBERS) numbers[at++] = frame[field];
    const { whole } = frame;
    numbers[at++] = whole?.path.length ?? 0;
    for (const field of FILE_NUMBERS) numbers[at++] = whole?.[field] ?? 0;
  }
  return {
    name,
    header: new Uint8Array(header),
    bytes: isWhole ? bytes : new Uint8Array(bytes),
    offset: range.offset,
    ids: Buffer.concat(frames.map(({ id }) => id)),
    numbers,
    paths: Buffer.concat(frames.flatMap(({ whole }) => whole?.path ?? [])),
  };
}

/** The mirror of {@link passedSpan}. */
export function sealedSpan(passed: PassedSpan): SealedSpan<FrameToOpen> {
  const { name, header, bytes, offset, numbers } = passed;
  const [ids, paths] = [bufferOf(passed.ids), bufferOf(passed.paths)];
  let pathEnd = 0;
  const frames = Array.from({ length: numbers.length / NUMBERS }, (_, index): FrameToOpen => {
    const [position, from, storedSize, size, compression, pathLength, mode, uid, gid, mtimeUs] =
      numbers.subarray(index * NUMBERS);
    const path = paths.subarray(pathEnd, pathEnd + pathLength!);
    pathEnd += pathLength!;
    return {
      id: ids.subarray(index * CHUNK_ID_BYTES, (index + 1) * CHUNK_ID_BYTES),
      position: position!,
      offset: from!,
      storedSize: storedSize!,
      size: size!,
      compression: compression!,
      whole:
        pathLength === 0 ? null : { path, size: size!, mode: mode!, uid: uid!, gid: gid!, mtimeUs: mtimeUs! },
    };
  });
  return {
    name,
    header: bufferOf(header),
    bytes: bufferOf(bytes),
    range: { offset, length: bytes.length },
    frames,
  };
}

export function openedFrames<F extends FrameToOpen>(
  frames: readonly F[],
  { bytes, damage, failures, refused }: FromOpener,
): Opened<F>[] {
  const all = bufferOf(bytes);
  let start = 0;
  return frames.map((frame, index): Opened<F> => {
    const reason = damage.get(index);
    if (reason !== undefined) return { frame, chunk: null, damage: new DamagedError(reason), written: null };
    if (frame.whole !== null) {
      const written = { failure: failureOf(failures.get(index)), refused: refused.get(index) ?? null };
      return { frame, chunk: null, damage: null, written };
    }
    const chunk = all.subarray(start, start + frame.size);
    start += frame.size;
    return { frame, chunk, damage: null, written: null };
  });
}

/** @returns what {@link failureOf} makes an error of again, or `null` when it is a bug */
export function passedFailure(error: unknown): PassedFailure | null {
  const { message, code, errno } = error as Error & { code?: string; errno?: number };
  if (error instanceof EntryError) return { message, system: null };
  return typeof errno === 'number' ? { message, system: { code: code ?? '', errno } } : null;
}

function failureOf(passed: PassedFailure | undefined): Error | null {
  if (passed === undefined) return null;
  const { message, system } = passed;
  return system === null ? new EntryError(message) : Object.assign(new Error(message), system);
}
