import { PACK_OVERHEAD_BYTES } from '../format/pack.ts';
import type { Journal } from '../journal/database.ts';
import { isKnownChunk } from '../journal/packs.ts';
import type { Progress } from '../progress.ts';
import type { Repository } from '../repository/repository.ts';
import { createBufferPool } from './buffer-pool.ts';
import { createKnownChunks } from './known.ts';
import { type Batch, packChunks } from './pack.ts';
import type { ReadItem } from './read.ts';
import { takeTurns } from './turns.ts';
import { upload } from './upload.ts';

/** What is read goes through here to the remote: files first, then the manifest. */
export interface Uploader {
  /**
   * Packs what is read and puts the packs.
   * @param expect called with each batch before it is put, in the order of their numbers
   * @param settle called with each batch once its pack is durable; it records that
   * @throws InterruptedError when the signal was given
   */
  upload(
    items: Iterable<ReadItem>,
    settle: (batch: Batch) => void,
    expect?: (batch: Batch) => void,
  ): Promise<void>;
  /** Bytes of packs that were put. */
  sentBytes(): number;
}

export interface UploaderDeps {
  readonly journal: Journal;
  readonly repository: Repository;
  readonly journalRepository: number;
  readonly lanes: number;
  readonly compressOverBytes: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** A pack's size: what a lane sends in some seconds, and what a kill may cost it. */
const PACK_BYTES = 16 * 1024 * 1024;
/** Beside the packs in flight one is being built, and one more lets that go on while a lane changes packs. */
const SPARE_BUFFERS = 2;

export function createUploader(deps: UploaderDeps): Uploader {
  const { journal, repository, journalRepository, lanes, compressOverBytes, progress, signal } = deps;
  const { keys, config, remote } = repository;
  const known = createKnownChunks((id) => isKnownChunk(journal, journalRepository, id));
  const buffers = createBufferPool(
    lanes + SPARE_BUFFERS,
    PACK_BYTES + config.chunker.max + PACK_OVERHEAD_BYTES,
  );
  let nextNumber = 1;
  let sentBytes = 0;

  return {
    sentBytes: () => sentBytes,
    upload(items, settle, expect = () => {}) {
      const batches = packChunks(items, {
        keys,
        known,
        takeBuffer: buffers.take,
        targetBytes: () => PACK_BYTES,
        compressOverBytes,
        firstNumber: nextNumber,
      });
      return upload(takeTurns(batches, buffers.ready), {
        remote,
        lanes,
        progress,
        signal,
        expect(batch) {
          nextNumber = batch.number + 1;
          expect(batch);
        },
        settle(batch) {
          settle(batch);
          known.settle(batch.number); // the journal knows its chunks from here on
          if (batch.pack === null) return;
          sentBytes += batch.pack.bytes.length;
          buffers.giveBack(batch.pack.bytes);
        },
      });
    },
  };
}
