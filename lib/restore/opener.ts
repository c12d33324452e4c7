import { DamagedError } from '../errors.ts';
import { CHUNK_ID_BYTES, type MasterKey } from '../format/keys.ts';
import { type Arrivals, bufferOf, createArrivals } from '../repository/arrivals.ts';
import { type Frame, free, type OpenedFrame, type SealedSpan } from '../repository/chunks.ts';
import { startThread } from '../repository/thread.ts';
import { abortable } from '../waiting.ts';
import { EntryError } from './failure.ts';
import type { FileToWrite } from './part-files.ts';
import type { Overwrite } from './place.ts';
import type { TargetRoot } from './target.ts';

/**
 * Decrypts, unpacks and verifies chunks in threads of their own, and writes the files that consist of one, while this
 * thread fetches, and writes the others.
 */
export interface Opener {
  /** Starts the threads, which takes a while, unless that was done: there will be something to open. */
  begin(): void;
  /**
   * Opens the frames of a stretch of a pack.
   * @param span its bytes are a thread's from here on, until all of it was asked for or the thread ends
   * @returns what became of the frames, in their order, some at a time; chunks are good until the next ones are asked for
   * @throws the signal's reason, without waiting for what the thread is at
   */
  open<F extends FrameToOpen>(
    span: SealedSpan<F>,
    signal?: AbortSignal,
  ): AsyncGenerator<Opened<F>[], void, void>;
  /** What was begun is done to its end. */
  stop(): Promise<void>;
}

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

export interface OpenerOptions {
  readonly master: MasterKey;
  readonly root: TargetRoot;
  readonly overwrite: Overwrite;
  /** Only root can give files away. */
  readonly asRoot: boolean;
  /** This process's, of `partTag`. */
  readonly tag: string;
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
/** Opening and writing take longer than all the rest of a restore. */
const THREADS = 2;
/** From so many frames on, a span is divided among the threads: they are small, and copying them is little of the work. */
const DIVIDED_FRAMES = 64;
/** With a larger chunk in it, it is not: each part may hold one that is opened, and a few kilobytes may unfold to megabytes. */
const DIVIDED_CHUNK_BYTES = 1024 * 1024;

/** An opener that has no threads until there is something to open. */
export function createOpener(options: OpenerOptions, count: number = THREADS): Opener {
  let started: readonly OpenerThread[] | null = null;
  const threads = () => {
    started ??= Array.from({ length: count }, () => startOpener(options));
    return started;
  };
  return {
    begin: () => void threads(),
    async *open(span, signal) {
      const opened = divided(span, count).map((part) =>
        threads()
          .reduce((least, one) => (one.spans() < least.spans() ? one : least))
          .open(part, signal),
      );
      if (opened.length > 1) free(span.bytes);
      for (const part of opened) yield* part;
    },
    stop: async () => void (await Promise.all((started ?? []).map((thread) => thread.stop()))),
  };
}

interface OpenerThread extends Omit<Opener, 'begin'> {
  /** How many it is about to open. */
  spans(): number;
}

function startOpener(options: OpenerOptions): OpenerThread {
  /** Of each span that is being opened. */
  const inboxes = new Map<number, Arrivals<FromOpener | Error>>();
  let broken: Error | null = null;
  const { tell, stop } = startThread<ToOpener, FromOpener>(new URL('./opener-thread', import.meta.url), {
    workerData: options,
    youngGenerationMb: 4, // what it makes is passed on at once: room for more would only be filled
    onAnswer: (answer) => inboxes.get(answer.number)?.push(answer),
    onEnd(error) {
      broken ??= error;
      for (const inbox of inboxes.values()) inbox.push(error);
    },
  });
  let spans = 0;

  return {
    spans: () => inboxes.size,

    open<F extends FrameToOpen>(span: SealedSpan<F>, signal?: AbortSignal) {
      if (broken) throw broken;
      spans += 1;
      const number = spans;
      const inbox = createArrivals<FromOpener | Error>();
      inboxes.set(number, inbox);
      const passed = passedSpan(span);
      tell({ type: 'span', number, span: passed }, [passed.bytes.buffer as ArrayBuffer]);
      tell({ type: 'more', number });
      const answers = async function* () {
        try {
          for (let done = 0; done < span.frames.length; ) {
            await abortable(() => inbox.wait(), signal);
            const answer = inbox.take()!;
            if (answer instanceof Error) throw answer;
            if (answer.bytes.length > 0) tell({ type: 'more', number }); // opened while these are used
            yield openedFrames(span.frames.slice(done, done + answer.frames), answer);
            free(bufferOf(answer.bytes));
            done += answer.frames;
          }
        } finally {
          inboxes.delete(number);
        }
      };
      return answers();
    },

    stop,
  };
}

/** The parts follow one another. What is passed of their bytes is a copy: no buffer can go to two threads. */
function divided<F extends FrameToOpen>(span: SealedSpan<F>, count: number): SealedSpan<F>[] {
  const { frames, bytes, range } = span;
  const isSmall = frames.every(({ size }) => size <= DIVIDED_CHUNK_BYTES);
  if (frames.length < DIVIDED_FRAMES || !isSmall) return [span];
  const each = Math.ceil(frames.length / count);
  return Array.from({ length: count }, (_, index) => {
    const own = frames.slice(index * each, (index + 1) * each);
    const [start, last] = [own[0]!.offset, own.at(-1)!];
    const length = last.offset + last.storedSize - start;
    const from = start - range.offset;
    return {
      ...span,
      frames: own,
      bytes: bytes.subarray(from, from + length),
      range: { offset: start, length },
    };
  });
}

function passedSpan({ name, header, bytes, range, frames }: SealedSpan<FrameToOpen>): PassedSpan {
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

/** The mirror of what {@link Opener.open} passes to the thread. */
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

function openedFrames<F extends FrameToOpen>(
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
