import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { SkylockError } from '../errors.ts';
import type { ChunkSizes } from '../format/chunker.ts';
import type { MasterKey } from '../format/keys.ts';
import type { Batch, EndedFile, Piece } from './pack.ts';
import type { FileInHand } from './read.ts';

/** What the packer's thread is begun with. */
export interface PackerOptions {
  readonly journalFile: string;
  /** Numbers in the journal. */
  readonly repository: number;
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

export type ToPacker =
  | { readonly type: 'start'; readonly firstNumber: number }
  | { readonly type: 'stop' }
  /** The batch is in the journal; its pack's memory comes back, with the size and number that packs should have from now on. */
  | {
      readonly type: 'settled';
      readonly number: number;
      readonly buffer: ArrayBuffer | null;
      readonly packBytes: number;
      readonly packs: number;
    };

export type FromPacker =
  | { readonly type: 'batch'; readonly batch: Batch }
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly message: string; readonly hints: readonly string[] };

/**
 * Reads, chunks, compresses and seals the pending files in a thread of its own, while this one sends. Packs pass from
 * thread to thread without being copied.
 */
export interface Packer {
  /** The batches of all files that are pending now. */
  batches(firstNumber: number): AsyncGenerator<Batch, void, void>;
  /** To be called once the batch is in the journal, with the size and number that packs should have from now on. */
  settle(batch: Batch, next: { readonly packBytes: number; readonly packs: number }): void;
  stop(): Promise<void>;
}

/** A thread that waits for a disk that does not answer is not waited for. */
const PATIENCE_MS = 5000;

export function startPacker(options: PackerOptions): Packer {
  const worker = new Worker(threadFile(), { workerData: options, stdout: false, stderr: false });
  const arrived: FromPacker[] = [];
  let wake = () => {};
  let broken: Error | null = null;
  worker.on('message', (message: FromPacker) => {
    arrived.push(message);
    wake();
  });
  worker.on('error', (error: Error) => {
    broken = error;
    wake();
  });
  const exited = new Promise<void>((resolve) => {
    worker.on('exit', () => {
      broken ??= new Error('the thread that packs has ended');
      wake();
      resolve();
    });
  });

  const next = async (): Promise<FromPacker> => {
    for (;;) {
      const message = arrived.shift();
      if (message) return message;
      if (broken) throw broken;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const tell = (message: ToPacker, transfer: ArrayBuffer[] = []) => worker.postMessage(message, transfer);

  return {
    async *batches(firstNumber) {
      tell({ type: 'start', firstNumber });
      for (;;) {
        const message = await next();
        if (message.type === 'done') return;
        if (message.type === 'failed') throw new SkylockError(message.message, { hints: message.hints });
        yield withBuffers(message.batch);
      }
    },
    settle({ number, pack }, next) {
      const buffer = pack === null ? null : (pack.bytes.buffer as ArrayBuffer);
      tell({ type: 'settled', number, buffer, ...next }, buffer === null ? [] : [buffer]);
    },
    async stop() {
      // Asked first: a thread that is terminated while it sets up zstd takes the whole process with it.
      tell({ type: 'stop' });
      await Promise.race([exited, sleep(PATIENCE_MS, undefined, { ref: false })]);
      await worker.terminate();
    },
  };
}

/** Beside this file, in the sources as in what is built from them. */
function threadFile(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return fileURLToPath(new URL(`./packer-thread.${extension}`, import.meta.url));
}

/** Passing threads turns every Buffer into a plain Uint8Array. */
function withBuffers(batch: Batch): Batch {
  const files = new Map<FileInHand, FileInHand>();
  const file = (from: FileInHand): FileInHand => {
    const known = files.get(from) ?? { ...from, path: buffer(from.path) };
    files.set(from, known);
    return known;
  };
  const { pack, path } = batch;
  return {
    ...batch,
    pack: pack && {
      ...pack,
      bytes: buffer(pack.bytes),
      entries: pack.entries.map((entry) => ({ ...entry, id: buffer(entry.id) })),
      directory: buffer(pack.directory),
    },
    pieces: batch.pieces.map((piece: Piece) => ({
      ...piece,
      file: file(piece.file),
      chunk: buffer(piece.chunk),
    })),
    changed: batch.changed.map(({ file: one, entry }) => ({
      file: file(one),
      entry: { ...entry, path: buffer(entry.path) },
    })),
    ended: batch.ended.map((ended: EndedFile) => ({ ...ended, file: file(ended.file) })),
    failed: batch.failed.map((failure) => ({ ...failure, file: file(failure.file) })),
    path: path && buffer(path),
  };
}

function buffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
