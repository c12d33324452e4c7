import { PACK_OVERHEAD_BYTES } from '../format/pack.ts';
import type { Journal } from '../journal/database.ts';
import { isKnownChunk } from '../journal/packs.ts';
import type { Run } from '../journal/runs.ts';
import type { Progress } from '../progress.ts';
import type { Repository } from '../repository/repository.ts';
import { createBufferPool } from './buffer-pool.ts';
import { createKnownChunks } from './known.ts';
import { createPace, steadyPace } from './pace.ts';
import { type Batch, packChunks } from './pack.ts';
import { startPacker } from './packer.ts';
import type { ReadItem } from './read.ts';
import { takeTurns } from './turns.ts';
import { upload } from './upload.ts';

export interface BatchHandlers {
  /** Called with each batch before it is put, in the order of their numbers. */
  readonly expect?: (batch: Batch) => void;
  /** Called with each batch once its pack is durable; it records that. */
  readonly settle: (batch: Batch) => void;
}

/** What is read goes through here to the remote: first the files, then the manifest. */
export interface Uploader {
  /** Every file the journal has as pending. @throws InterruptedError when the signal was given */
  uploadFiles(handlers: BatchHandlers): Promise<void>;
  /** Chunks that this thread makes. @throws InterruptedError when the signal was given */
  uploadChunks(items: Iterable<ReadItem>, handlers: BatchHandlers): Promise<void>;
  /** Bytes of packs that were put. */
  sentBytes(): number;
  stop(): Promise<void>;
}

export interface UploaderDeps {
  readonly journal: Journal;
  readonly repository: Repository;
  readonly run: Run;
  readonly lanes: number;
  /** Packs of one size; without it they follow the throughput of the lanes. */
  readonly packBytes?: number | undefined;
  readonly compressOverBytes: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Beside the packs in flight one is being built, and one more lets that go on while a lane changes packs. */
const SPARE_BUFFERS = 2;

export function startUploader(deps: UploaderDeps): Uploader {
  const { journal, repository, run, lanes, compressOverBytes, progress, signal } = deps;
  const packs = lanes + SPARE_BUFFERS;
  const pace = deps.packBytes === undefined ? createPace(packs) : steadyPace(deps.packBytes);
  const { keys, config, remote } = repository;
  let nextNumber = 1;
  let sentBytes = 0;

  // Begun here and not when it is first needed: a thread takes a moment to start, and the scan lies between.
  const packer = startPacker({
    journalFile: journal.file,
    repository: run.repository,
    sourceSet: run.sourceSet,
    master: keys.master,
    chunkSizes: config.chunker,
    packBytes: pace.packBytes(),
    largestPackBytes: pace.largestBytes,
    buffers: packs,
    compressOverBytes,
  });

  const send = (
    batches: AsyncIterator<Batch>,
    { expect, settle }: BatchHandlers,
    afterwards: (batch: Batch) => void,
  ) =>
    upload(batches, {
      remote,
      lanes,
      progress,
      signal,
      expect(batch) {
        nextNumber = batch.number + 1;
        expect?.(batch);
      },
      onPut: pace.observe,
      settle(batch) {
        sentBytes += batch.pack?.bytes.length ?? 0;
        settle(batch);
        afterwards(batch);
      },
    });

  return {
    sentBytes: () => sentBytes,
    stop: packer.stop,
    uploadFiles: (handlers) =>
      send(packer.batches(nextNumber), handlers, (batch) => packer.settle(batch, pace.packBytes())),
    uploadChunks(items, handlers) {
      const known = createKnownChunks((id) => isKnownChunk(journal, run.repository, id));
      const largestBytes = pace.largestBytes + config.chunker.max + PACK_OVERHEAD_BYTES;
      const buffers = createBufferPool(packs, largestBytes);
      const batches = packChunks(items, {
        keys,
        known,
        takeBuffer: buffers.take,
        targetBytes: pace.packBytes,
        compressOverBytes: 0,
        firstNumber: nextNumber,
      });
      return send(takeTurns(batches, buffers.ready), handlers, ({ number, pack }) => {
        known.settle(number);
        if (pack !== null) buffers.giveBack(pack.bytes);
      });
    },
  };
}
