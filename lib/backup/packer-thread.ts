/** The packer's thread: `slabs → (known? drop) → compress → seal → packs`. See `packer.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { repositoryKeys } from '../format/keys.ts';
import { PACK_OVERHEAD_BYTES } from '../format/pack.ts';
import type { Journal } from '../journal/database.ts';
import { isKnownChunk } from '../journal/packs.ts';
import { createArrivals } from '../repository/arrivals.ts';
import { createBatchLimit } from './batch-limit.ts';
import { createBufferPool } from './buffer-pool.ts';
import { flattenBatch } from './flat-batch.ts';
import { createKnownChunks } from './known.ts';
import { packChunks } from './pack.ts';
import type { FromPacker, FromReader, SlabEmptied, ThreadOptions, ToPacker } from './packer.ts';
import { type AddressedItem, slabItems } from './slabs.ts';
import { withThreadJournal } from './thread-journal.ts';
import { takeTurns } from './turns.ts';

const options = workerData as ThreadOptions;
const { journalRepository, master, chunkSizes, compressOverBytes, link } = options;
const port = parentPort!;
const keys = repositoryKeys(master);
const buffers = createBufferPool(
  options.packs,
  options.largestPackBytes + chunkSizes.max + PACK_OVERHEAD_BYTES,
);
const limit = createBatchLimit(options.packs);
const read = createArrivals<FromReader>();
let { packBytes } = options;
const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
let settle = (_batch: number) => {};

port.on('message', (message: ToPacker) => {
  if (message.type === 'stop') return stop();
  packBytes = message.packBytes;
  settle(message.number);
  limit.settled(message.packs);
  buffers.limit(message.packs);
  if (message.buffer !== null) buffers.giveBack(Buffer.from(message.buffer));
});
link.on('message', read.push);

await withThreadJournal(options, tell, (journal) => Promise.race([pack(journal), stopped]));
link.close();
port.close(); // the last thing that keeps the thread alive

async function pack(journal: Journal): Promise<void> {
  const known = createKnownChunks((id) => isKnownChunk(journal, journalRepository, id));
  settle = known.settle; // the journal knows its chunks from then on
  const ready = async () => {
    await limit.ready();
    await buffers.ready();
  };
  const turns = { ready, arrival: read.wait, during: journal.snapshot };
  for (let firstNumber = 1; ; ) {
    const batches = packChunks(itemsUntilEnd(), {
      keys,
      known,
      takeBuffer: buffers.take,
      targetBytes: () => packBytes,
      compressOverBytes,
      firstNumber,
    });
    for await (const batch of takeTurns(batches, turns)) {
      firstNumber = batch.number + 1;
      limit.made();
      tell({ type: 'batch', batch: flattenBatch(batch) });
    }
    tell({ type: 'done' });
  }
}

/** What the reader gives until all that it was asked for has come. */
function* itemsUntilEnd(): Generator<AddressedItem | null> {
  for (;;) {
    const message = read.take();
    if (message?.type === 'end') return;
    if (message === undefined) yield null;
    else {
      yield* slabItems(message.slab);
      const emptied: SlabEmptied = { buffer: message.slab.bytes.buffer as SharedArrayBuffer };
      link.postMessage(emptied);
    }
  }
}

function tell(message: FromPacker): void {
  port.postMessage(message);
}
