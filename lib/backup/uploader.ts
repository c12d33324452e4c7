import { PACK_OVERHEAD_BYTES } from '../format/pack.ts';
import type { Journal } from '../journal/database.ts';
import { isKnownChunk } from '../journal/packs.ts';
import type { Run } from '../journal/runs.ts';
import { noteLanes } from '../journal/totals.ts';
import type { PathRange } from '../journal/uploading.ts';
import type { Progress } from '../progress.ts';
import type { Repository } from '../repository/repository.ts';
import { createBufferPool } from './buffer-pool.ts';
import { createKnownChunks } from './known.ts';
import { createLanes, steadyLanes } from './lanes.ts';
import { createPace, steadyPace } from './pace.ts';
import { type Batch, packChunks } from './pack.ts';
import { createPacker } from './packer.ts';
import type { AddressedItem } from './slabs.ts';
import { takeTurns } from './turns.ts';
import { type UploadDeps, upload } from './upload.ts';

export interface BatchHandlers {
  /** Called with each batch before it is put, in the order of their numbers. */
  readonly expect?: (batch: Batch) => void;
  /** Called with each batch once its pack is durable; it records that. */
  readonly settle: (batch: Batch) => void;
}

/** What is read goes through here to the remote: first the files, then the manifest. */
export interface Uploader {
  /** The pending files in this range, of so many bytes as far as is known, may be read and packed from now on. */
  readAhead(range: PathRange, bytes?: number): void;
  /** The files that were given to {@link readAhead}. @throws InterruptedError when the signal was given */
  uploadFiles(handlers: BatchHandlers): Promise<void>;
  /**
   * Chunks that this thread makes: a manifest's. May go on beside the files, on a lane of its own.
   * @throws InterruptedError when the signal was given
   */
  uploadChunks(items: Iterable<AddressedItem>, handlers: BatchHandlers): Promise<void>;
  /** Bytes of packs that were put. */
  sentBytes(): number;
  /** Ends the threads that read and pack, whatever they are at. No more files are uploaded; chunks may still be. */
  endReading(): Promise<void>;
}

export interface UploaderDeps {
  readonly journal: Journal;
  readonly repository: Repository;
  readonly run: Run;
  /** Packs that are sent at once to begin with. */
  readonly lanes: number;
  /** So many where that brings more: as to begin with unless told. */
  readonly mostLanes?: number;
  /** Packs of one size; without it they follow the throughput of the lanes. */
  readonly packBytes?: number | undefined;
  readonly compressOverBytes: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Beside the packs in flight one is being built, and one more lets that go on while a lane changes packs. */
const SPARE_BUFFERS = 2;
/** A manifest is small beside the files; its packs go on one lane. */
const MANIFEST_PACK_BYTES = 4 * 1024 * 1024;

export function startUploader(deps: UploaderDeps): Uploader {
  const { journal, repository, run, compressOverBytes, progress, signal } = deps;
  const firstPacks = deps.lanes + SPARE_BUFFERS;
  const pace = deps.packBytes === undefined ? createPace(firstPacks) : steadyPace(deps.packBytes);
  const lanes = createLanes({
    first: deps.lanes,
    most: deps.mostLanes ?? deps.lanes,
    smallestPackBytes: pace.smallestBytes,
    largestPackBytes: pace.largestBytes,
    now: () => performance.now(),
    onChange(count) {
      // In this order: what was told once, resume-status says as well.
      noteLanes(journal, run, count);
      progress({ type: 'lanes', lanes: count });
    },
  });
  const packs = () => lanes.count() + SPARE_BUFFERS;
  const { keys, config, remote } = repository;
  let sentBytes = 0;
  /** Of files that were found to be pending, and the puts that the remote was told of. */
  let [expectedBytes, preparedPuts] = [0, 1];

  const packer = createPacker({
    journalFile: journal.file,
    claim: run.claims.at(-1)!,
    journalRepository: run.journalRepository,
    sourceSet: run.sourceSet,
    master: keys.master,
    chunkSizes: config.chunker,
    packBytes: pace.packBytes(packs()),
    largestPackBytes: pace.largestBytes,
    packs: packs(),
    compressOverBytes,
  });

  const put = (
    batches: AsyncIterator<Batch>,
    handlers: Required<BatchHandlers>,
    own: Pick<UploadDeps, 'lanes' | 'progress' | 'onPut'>,
  ) =>
    upload(batches, {
      remote,
      signal,
      ...own,
      expect: handlers.expect,
      settle(batch) {
        sentBytes += batch.pack?.bytes.length ?? 0;
        handlers.settle(batch);
      },
    });

  return {
    sentBytes: () => sentBytes,
    endReading: packer.stop,

    readAhead(range, bytes = 0) {
      expectedBytes += bytes;
      const puts = Math.min(lanes.count(), Math.ceil(expectedBytes / pace.smallestBytes));
      if (puts > preparedPuts) remote.prepare?.(puts);
      preparedPuts = Math.max(preparedPuts, puts);
      packer.readAhead(range);
    },

    uploadFiles({ expect = () => {}, settle }) {
      const handlers = {
        expect,
        settle(batch: Batch) {
          settle(batch);
          packer.settle(batch, { packBytes: pace.packBytes(packs()), packs: packs() });
        },
      };
      return put(packer.batches(), handlers, { lanes, progress, onPut: pace.observe });
    },

    uploadChunks(items, { expect = () => {}, settle }) {
      const known = createKnownChunks((id) => isKnownChunk(journal, run.journalRepository, id));
      const size = MANIFEST_PACK_BYTES + config.manifestChunker.max + PACK_OVERHEAD_BYTES;
      const buffers = createBufferPool(1 + SPARE_BUFFERS, size);
      const batches = packChunks(items, {
        keys,
        known,
        takeBuffer: buffers.take,
        targetBytes: () => Math.min(pace.packBytes(packs()), MANIFEST_PACK_BYTES),
        compressOverBytes: 0,
        firstNumber: 1,
      });
      const handlers = {
        expect,
        settle(batch: Batch) {
          settle(batch);
          known.settle(batch.number);
          if (batch.pack !== null) buffers.giveBack(batch.pack.bytes);
        },
      };
      // Nobody is told of this lane: what it sends is no file of theirs.
      return put(takeTurns(batches, { ready: buffers.ready }), handlers, {
        lanes: steadyLanes(1),
        progress: () => {},
      });
    },
  };
}
