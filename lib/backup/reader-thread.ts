/** The reader's thread: `read → chunk → address → slabs`. See `packer.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { createChunker } from '../format/chunker.ts';
import { repositoryKeys } from '../format/keys.ts';
import type { Journal } from '../journal/database.ts';
import { durablePrefix } from '../journal/pieces.ts';
import { pendingFiles } from '../journal/uploading.ts';
import { bufferOf, createArrivals } from '../repository/arrivals.ts';
import { createBufferPool } from './buffer-pool.ts';
import type { FromReader, SlabEmptied, ThreadOptions, ToReader } from './packer.ts';
import { readFiles } from './read.ts';
import { createSlabMemory, slabBytes } from './slabs.ts';
import { withThreadJournal } from './thread-journal.ts';
import { takeTurns } from './turns.ts';

/** One is filled, one waits, one is packed. */
const SLABS = 3;

const options = workerData as ThreadOptions;
const { journalRepository, sourceSet, master, chunkSizes, link } = options;
const port = parentPort!;
const keys = repositoryKeys(master);
const buffers = createBufferPool(SLABS, slabBytes(chunkSizes));
const asked = createArrivals<ToReader>();
const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();

port.on('message', (message: ToReader) => (message.type === 'stop' ? stop() : asked.push(message)));
link.on('message', ({ buffer }: SlabEmptied) => buffers.giveBack(Buffer.from(buffer)));

await withThreadJournal(
  options,
  (failure) => port.postMessage(failure),
  (journal) => Promise.race([read(journal), stopped]),
);
link.close();
port.close(); // the last thing that keeps the thread alive

async function read(journal: Journal): Promise<void> {
  const reading = {
    chunker: createChunker(keys.gear, chunkSizes),
    durablePrefix: (entry: bigint) => durablePrefix(journal, journalRepository, entry),
    now: () => new Date(),
  };
  const { memory, fill } = createSlabMemory(keys, buffers.take);
  for (;;) {
    await asked.wait();
    const message = asked.take()!;
    if (message.type === 'end') tell(message);
    if (message.type !== 'read') continue;
    const range = { after: bufferOf(message.range.after), upTo: bufferOf(message.range.upTo) };
    const items = readFiles(pendingFiles(journal, sourceSet, range), reading, memory);
    for await (const slab of takeTurns(fill(items), { ready: buffers.ready, during: journal.snapshot })) {
      tell({ type: 'slab', slab });
    }
  }
}

function tell(message: FromReader): void {
  link.postMessage(message);
}
