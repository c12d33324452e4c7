import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { SkylockError } from '../errors.ts';
import type { ChunkSizes } from '../format/chunker.ts';
import type { MasterKey } from '../format/keys.ts';
import type { PathRange } from '../journal/uploading.ts';
import { createArrivals, ownCopy } from '../repository/arrivals.ts';
import { startThread } from '../repository/thread.ts';
import { type FlatBatch, unflattenBatch } from './flat-batch.ts';
import type { Batch } from './pack.ts';
import type { Slab } from './slabs.ts';
import type { ThreadFailure } from './thread-journal.ts';

/** What the threads are begun with. */
export interface PackerOptions {
  readonly journalFile: string;
  /** The run's own in that journal. */
  readonly claim: string;
  /** Numbers in the journal. */
  readonly journalRepository: number;
  readonly sourceSet: number;
  readonly master: MasterKey;
  readonly chunkSizes: ChunkSizes;
  /** The size of packs to begin with, and the largest it may become. */
  readonly packBytes: number;
  readonly largestPackBytes: number;
  /** Packs that may exist at once to begin with: built, waiting, in flight. */
  readonly packs: number;
  readonly compressOverBytes: number;
}

export interface ThreadOptions extends PackerOptions {
  /** To the other of the two threads. */
  readonly link: MessagePort;
}

export type ToReader =
  | { readonly type: 'read'; readonly range: PathRange }
  /** What was asked for until now is to be packed to its end. */
  | { readonly type: 'end' }
  | { readonly type: 'stop' };

/** To the packer. */
export type FromReader = { readonly type: 'slab'; readonly slab: Slab } | { readonly type: 'end' };

/** To the reader: the memory of a slab comes back. */
export interface SlabEmptied {
  readonly buffer: SharedArrayBuffer;
}

export type ToPacker =
  | { readonly type: 'stop' }
  /** The batch is in the journal; its pack's memory comes back, with the size and number that packs should have from now on. */
  | {
      readonly type: 'settled';
      readonly number: number;
      readonly buffer: SharedArrayBuffer | null;
      readonly packBytes: number;
      readonly packs: number;
    };

export type FromPacker =
  | { readonly type: 'batch'; readonly batch: FlatBatch }
  | { readonly type: 'done' }
  | ThreadFailure;

/**
 * Reads and names the chunks of files in one thread, drops, compresses and seals them in a second, while this one sends.
 * Slabs and packs pass from thread to thread without being copied.
 */
export interface Packer {
  /** The pending files in this range may be read and packed from now on, as far as there is memory for them. */
  readAhead(range: PathRange): void;
  /** The batches of all files that were given to {@link readAhead} and not asked for yet. */
  batches(): AsyncGenerator<Batch, void, void>;
  /** To be called once the batch is in the journal, with the size and number that packs should have from now on. */
  settle(batch: Batch, next: { readonly packBytes: number; readonly packs: number }): void;
  stop(): Promise<void>;
}

/** @returns a packer whose threads start with the first files that they have something to do with */
export function createPacker(options: PackerOptions): Packer {
  let threads: Threads | null = null;
  return {
    readAhead({ after, upTo }) {
      threads ??= startThreads(options);
      // Of very many files thousands of these may be waiting.
      threads.tellReader({ type: 'read', range: { after: ownCopy(after), upTo: ownCopy(upTo) } });
    },
    async *batches() {
      if (threads === null) return;
      threads.tellReader({ type: 'end' });
      for (;;) {
        const message = await threads.next();
        if (message.type === 'done') return;
        if (message.type === 'failed') throw new SkylockError(message.message, { hints: message.hints });
        yield unflattenBatch(message.batch);
      }
    },
    settle({ number, pack }, next) {
      const buffer = pack === null ? null : (pack.bytes.buffer as SharedArrayBuffer);
      threads?.tellPacker({ type: 'settled', number, buffer, ...next });
    },
    async stop() {
      await threads?.stop();
    },
  };
}

interface Threads {
  tellReader(message: ToReader): void;
  tellPacker(message: ToPacker): void;
  /** What they tell, in order. @throws Error when one of them has ended */
  next(): Promise<FromPacker>;
  stop(): Promise<void>;
}

function startThreads(options: PackerOptions): Threads {
  const arrived = createArrivals<FromPacker | Error>();
  const { port1, port2 } = new MessageChannel();
  const start = <Message>(url: URL, link: MessagePort) =>
    startThread<Message, FromPacker>(url, {
      workerData: { ...options, link } satisfies ThreadOptions,
      transfer: [link],
      youngGenerationMb: 8, // as in bin/skylock
      onAnswer: arrived.push,
      onEnd: arrived.push,
    });
  const reader = start<ToReader>(new URL('./reader-thread', import.meta.url), port1);
  const packer = start<ToPacker>(new URL('./packer-thread', import.meta.url), port2);
  return {
    tellReader: reader.tell,
    tellPacker: packer.tell,
    async next() {
      await arrived.wait();
      const message = arrived.take()!;
      if (message instanceof Error) throw message;
      return message;
    },
    async stop() {
      await Promise.all([reader.stop(), packer.stop()]);
    },
  };
}
