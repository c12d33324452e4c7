import type { MasterKey } from '../format/keys.ts';
import { type Arrivals, bufferOf, createArrivals } from '../repository/arrivals.ts';
import { free, type SealedSpan } from '../repository/chunks.ts';
import { startThread } from '../repository/thread.ts';
import { abortable } from '../waiting.ts';
import {
  type FrameToOpen,
  type FromOpener,
  type Opened,
  openedFrames,
  passedSpan,
  type ToOpener,
} from './opener-messages.ts';
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
   * @param span its bytes are not the caller's any more
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

export interface OpenerOptions {
  readonly master: MasterKey;
  readonly root: TargetRoot;
  readonly overwrite: Overwrite;
  /** Only root can give files away. */
  readonly asRoot: boolean;
  /** This process's, of `partTag`. */
  readonly tag: string;
}

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

/** The parts follow one another. The bytes of each are a copy, though one may be all there is: no buffer can go to two threads. */
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
      bytes: bufferOf(new Uint8Array(bytes.subarray(from, from + length))),
      range: { offset: start, length },
    };
  });
}
