/** The packer's thread: `read → chunk → address → (known? drop) → compress → seal → pack`. See `packer.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { SkylockError } from '../errors.ts';
import { createChunker } from '../format/chunker.ts';
import { repositoryKeys } from '../format/keys.ts';
import { PACK_OVERHEAD_BYTES } from '../format/pack.ts';
import { type Journal, openJournal } from '../journal/database.ts';
import { isKnownChunk } from '../journal/packs.ts';
import { durablePrefix } from '../journal/pieces.ts';
import { pendingFiles } from '../journal/uploading.ts';
import { createBufferPool } from './buffer-pool.ts';
import { createKnownChunks } from './known.ts';
import { packChunks } from './pack.ts';
import type { FromPacker, PackerOptions, ToPacker } from './packer.ts';
import { readFiles } from './read.ts';
import { takeTurns } from './turns.ts';

const options = workerData as PackerOptions;
const port = parentPort!;
const journal = await open();
const keys = repositoryKeys(options.master);
const buffers = createBufferPool(
  options.packs,
  options.largestPackBytes + options.chunkSizes.max + PACK_OVERHEAD_BYTES,
);
const known = createKnownChunks((id) => isKnownChunk(journal, options.repository, id));

let { packBytes } = options;
let stopping = false;

port.on('message', (message: ToPacker) => {
  if (message.type === 'start') void run(message.firstNumber);
  else if (message.type === 'stop') {
    stopping = true;
    journal.close();
    port.close(); // the last thing that keeps the thread alive
  } else {
    packBytes = message.packBytes;
    known.settle(message.number); // the journal knows its chunks from here on
    buffers.limit(message.packs);
    if (message.buffer !== null) buffers.giveBack(Buffer.from(message.buffer));
  }
});

async function open(): Promise<Journal> {
  try {
    return (await openJournal(options.journalFile, { now: new Date() })).journal;
  } catch (error) {
    if (error instanceof SkylockError) tell({ type: 'failed', message: error.message, hints: error.hints });
    throw error;
  }
}

async function run(firstNumber: number): Promise<void> {
  try {
    const items = readFiles(pendingFiles(journal, options.sourceSet), {
      chunker: createChunker(keys.gear, options.chunkSizes),
      durablePrefix: (entry) => durablePrefix(journal, options.repository, entry),
      now: () => new Date(),
    });
    const batches = packChunks(items, {
      keys,
      known,
      takeBuffer: buffers.take,
      targetBytes: () => packBytes,
      compressOverBytes: options.compressOverBytes,
      firstNumber,
    });
    for await (const batch of takeTurns(batches, turn, journal.snapshot)) {
      tell({ type: 'batch', batch }, batch.pack === null ? [] : [batch.pack.bytes.buffer as ArrayBuffer]);
    }
    tell({ type: 'done' });
  } catch (error) {
    if (!(error instanceof SkylockError)) throw error; // a bug: it reaches the other thread with its stack
    tell({ type: 'failed', message: error.message, hints: error.hints });
  }
}

/** Before each batch: waits for memory, and for ever once the thread is to end. */
async function turn(): Promise<void> {
  await buffers.ready();
  if (stopping) await new Promise(() => {});
}

function tell(message: FromPacker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}
