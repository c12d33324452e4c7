import { DamagedError } from '../errors.ts';
import { CHUNK_ID_BYTES, type MasterKey } from '../format/keys.ts';
import { type Arrivals, bufferOf, createArrivals } from './arrivals.ts';
import { damaged, type Frame, free, type OpenedFrame, type SealedSpan } from './chunks.ts';
import { startThread } from './thread.ts';

/** Decrypts, unpacks and verifies chunks in a thread of its own, while this one fetches and writes. */
export interface Opener {
  /** Starts the thread, which takes a while, unless that was done: there will be something to open. */
  begin(): void;
  /**
   * Opens the frames of a stretch of a pack, in their order.
   * @param span its bytes are the thread's from here on, until all of it was asked for or the thread ends
   * @returns chunks that are good until the next one is asked for
   */
  open<F extends Frame>(span: SealedSpan<F>): AsyncGenerator<OpenedFrame<F>, void, void>;
  stop(): Promise<void>;
}

export interface OpenerOptions {
  readonly master: MasterKey;
}

export type ToOpener =
  | { readonly type: 'span'; readonly number: number; readonly span: PassedSpan }
  /** Asks for the next chunks of a span. */
  | { readonly type: 'more'; readonly number: number }
  | { readonly type: 'stop' };

/** Chunks one after the other, each as long as its frame says; where there is none, `damage` says why. */
export interface FromOpener {
  readonly number: number;
  /** How many frames this is about. */
  readonly frames: number;
  readonly bytes: Uint8Array;
  readonly damage: ReadonlyMap<number, string>;
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
}

/** Of each frame, in this order. */
const NUMBERS = ['position', 'offset', 'storedSize', 'size', 'compression'] as const;

/** An opener that has no thread until there is something to open. */
export function createOpener(options: OpenerOptions): Opener {
  let started: StartedOpener | null = null;
  const thread = () => {
    started ??= startOpener(options);
    return started;
  };
  return {
    begin: () => void thread(),
    open: (span) => thread().open(span),
    stop: async () => started?.stop(),
  };
}

type StartedOpener = Omit<Opener, 'begin'>;

function startOpener(options: OpenerOptions): StartedOpener {
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
    async *open<F extends Frame>(span: SealedSpan<F>) {
      if (broken) throw broken;
      spans += 1;
      const number = spans;
      const inbox = createArrivals<FromOpener | Error>();
      inboxes.set(number, inbox);
      try {
        const passed = passedSpan(span);
        tell({ type: 'span', number, span: passed }, [passed.bytes.buffer as ArrayBuffer]);
        tell({ type: 'more', number });
        for (let done = 0; done < span.frames.length; ) {
          await inbox.wait();
          const answer = inbox.take()!;
          if (answer instanceof Error) throw answer;
          tell({ type: 'more', number }); // the next ones are opened while these are used
          yield* framesOf(span.frames.slice(done, done + answer.frames), answer);
          done += answer.frames;
        }
      } finally {
        inboxes.delete(number);
      }
    },

    stop,
  };
}

function passedSpan({ name, header, bytes, range, frames }: SealedSpan<Frame>): PassedSpan {
  const isWhole = bytes.length === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer;
  return {
    name,
    header: new Uint8Array(header),
    bytes: isWhole ? bytes : new Uint8Array(bytes),
    offset: range.offset,
    ids: Buffer.concat(frames.map(({ id }) => id)),
    numbers: Float64Array.from(frames.flatMap((frame) => NUMBERS.map((name) => frame[name]))),
  };
}

/** The mirror of what {@link Opener.open} passes to the thread. */
export function sealedSpan({ name, header, bytes, offset, ids, numbers }: PassedSpan): SealedSpan<Frame> {
  const allIds = bufferOf(ids);
  const frames = Array.from({ length: numbers.length / NUMBERS.length }, (_, index): Frame => {
    const [position, from, storedSize, size, compression] = numbers.subarray(index * NUMBERS.length);
    const id = allIds.subarray(index * CHUNK_ID_BYTES, (index + 1) * CHUNK_ID_BYTES);
    return {
      id,
      position: position!,
      offset: from!,
      storedSize: storedSize!,
      size: size!,
      compression: compression!,
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

function* framesOf<F extends Frame>(
  frames: readonly F[],
  { bytes, damage }: FromOpener,
): Generator<OpenedFrame<F>> {
  const all = bufferOf(bytes);
  let start = 0;
  for (const [index, frame] of frames.entries()) {
    const reason = damage.get(index);
    if (reason !== undefined) {
      yield* damaged([frame], new DamagedError(reason));
      continue;
    }
    yield { frame, chunk: all.subarray(start, start + frame.size), damage: null };
    start += frame.size;
  }
  free(all);
}
