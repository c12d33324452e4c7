/** The reader's thread: `read → chunk → address → slabs`. See `packer.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { createChunker } from '../format/chunker.ts';
import { repositoryKeys } from '../format/keys.ts';
import type { Journal } from '../journal/database.ts';
import { durablePrefix } from '../journal/pieces.ts';
import { type PendingFile, pendingFiles } from '../journal/uploading.ts';
import { bufferOf, createArrivals } from '../repository/arrivals.ts';
import { createBufferPool } from './buffer-pool.ts';
import { createCompressor } from './compressor.ts';
import type { FromReader, SlabEmptied, ThreadOptions, ToReader } from './packer.ts';
import { readFiles } from './read.ts';
import { createSlabMemory, slabBytes } from './slabs.ts';
import { withThreadJournal } from './thread-journal.ts';
import { takeTurns } from './turns.ts';

/** One is packed, one waits, one is filled, and one is there for what does not fit into that. */
const SLABS = 4;

const options = workerData as ThreadOptions;
const { journalRepository, sourceSet, master, chunkSizes, compressOverBytes, link } = options;
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
    durablePrefix: ({ id, begun }: PendingFile) =>
      begun ? durablePrefix(journal, journalRepository, id) : { chunks: 0, bytes: 0 },
    now: () => new Date(),
  };
  const { memory, fill } = createSlabMemory({
    keys,
    takeBuffer: buffers.take,
    compress: createCompressor(compressOverBytes),
    isAhead: buffers.isDry,
  });
  for (;;) {
    await asked.wait();
    const { files, isEnded } = filesAsked(journal);
    const slabs = fill(readFiles(files, reading, memory));
    for await (const slab of takeTurns(slabs, { ready: buffers.ready, during: journal.snapshot })) {
      tell({ type: 'slab', slab });
    }
    if (isEnded()) tell({ type: 'end' });
  }
}

/** One range after another, as long as they are there already: a slab that is ended for each would be small. */
function filesAsked(journal: Journal) {
  let ended = false;
  const files = function* () {
    for (let message = asked.take(); message !== undefined; message = asked.take()) {
      ended = message.type === 'end';
      if (message.type !== 'read') return;
      const range = { after: bufferOf(message.range.after), upTo: bufferOf(message.range.upTo) };
      yield* pendingFiles(journal, sourceSet, range);
    }
  };
  return { files: files(), isEnded: () => ended };
}

function tell(message: FromReader): void {
  link.postMessage(message);
}
