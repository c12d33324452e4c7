/**
 * What the journal costs a file, and the state file's export the whole: does to a journal of its own what a backup of
 * 100,000 new files does, and prints the times. `journal-work.ts <folder> <seconds the backup takes>`
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { createLedger } from '../../../lib/backup/ledger.ts';
import type { Batch, EndedFile, Piece } from '../../../lib/backup/pack.ts';
import { plan } from '../../../lib/backup/plan.ts';
import type { Found } from '../../../lib/backup/scan.ts';
import { RAW } from '../../../lib/format/pack-directory.ts';
import { openJournal } from '../../../lib/journal/database.ts';
import { isKnownChunk } from '../../../lib/journal/packs.ts';
import { rememberRepository } from '../../../lib/journal/repositories.ts';
import { claimRun, completeRun } from '../../../lib/journal/runs.ts';
import { openStateFile } from '../../../lib/journal/state-file.ts';
import { uploadedEntries } from '../../../lib/journal/uploaded-entries.ts';
import { pendingFiles } from '../../../lib/journal/uploading.ts';
import { entryAt, HERE, hash } from '../../journal/fixture.ts';

const FILES = 100_000;
/** A pack's worth of small files: how many of them are recorded in one transaction. */
const FILES_A_PACK = 2000;
const CHUNK_BYTES = 3000n;
const DIRECTORY_BYTES_A_CHUNK = 41;

const [folder = '', seconds = '10'] = process.argv.slice(2);
const now = () => new Date();
const source = Buffer.from('/home/ann/Documents');
const paths = Array.from({ length: FILES }, (_, number) =>
  Buffer.from(`${source}/${String(number).padStart(6, '0')}`),
);

const { journal } = await openJournal(join(folder, 'journal.db'), { now: now() });
const journalRepository = rememberRepository(journal, 'benchmark', 'file:///backups');

let journalMs = 0;
const timed = async <T>(work: () => T | Promise<T>): Promise<T> => {
  const startedAt = performance.now();
  const result = await work();
  journalMs += performance.now() - startedAt;
  return result;
};

const claim = {
  journalRepository,
  matchKey: hash('sources'),
  sourcePaths: [source],
  host: 'here',
  owner: HERE,
  now: now(),
};
const run = await timed(() => claimRun(journal, { ...claim, uuid: randomUUID(), takenIds: new Set() }));
// Saved as often as in a run of so many seconds: once a second.
const state = openStateFile(journal, run, { folder: join(folder, 'resume_state'), sourcePaths: [source] });
const saved = { wallMs: 0, cpuMs: 0 };
const save = async (work: () => Promise<void>) => {
  const [startedAt, cpu] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  saved.wallMs += performance.now() - startedAt;
  saved.cpuMs += (user + system) / 1000;
};
await save(() => state.rewrite());
const found: Found[] = paths.map((path) => ({
  type: 'entry',
  entry: entryAt(path, { size: CHUNK_BYTES }),
  source: 0,
}));
const deps = { journal, run, progress: () => {}, signal: new AbortController().signal, now };
const { uploadedFiles } = await timed(() => plan(found, [source], deps));
state.notePlanned(uploadedFiles);
const saves = Math.max(1, Math.round(Number(seconds)));

const ledger = createLedger(journal, run, { now, onFailed: () => {} });
const savesUntil = (files: number) => Math.floor((files * saves) / FILES);
const pending = pendingFiles(journal, run.sourceSet);
for (let number = 1; ; number += 1) {
  const batch = await timed(() => nextBatch(pending, number));
  if (batch === null) break;
  const { completed } = await timed(() => {
    ledger.expect(batch);
    return ledger.settle(batch);
  });
  state.noteUploaded(completed);
  const uploaded = number * FILES_A_PACK;
  if (savesUntil(uploaded) > savesUntil(uploaded - FILES_A_PACK)) await save(() => state.save());
}
await timed(() => {
  let listed = 0;
  for (const { chunks } of uploadedEntries(journal, run.sourceSet)) listed += chunks.length;
  if (listed !== FILES) throw new Error(`${listed} of ${FILES} files are uploaded`);
  completeRun(journal, run);
});
await save(() => state.remove());
journal.close();
process.stdout.write(
  `${JSON.stringify({ journalMsAFile: journalMs / FILES, saves, savedWallMs: saved.wallMs, savedCpuMs: saved.cpuMs })}\n`,
);

/** The next files as the packer would give them: looked for, not found, put into a pack. */
function nextBatch(files: ReturnType<typeof pendingFiles>, batchNumber: number): Batch | null {
  const batch = { pieces: [] as Piece[], ended: [] as EndedFile[] };
  const chunks: Buffer[] = [];
  for (let count = 0; count < FILES_A_PACK; count += 1) {
    const next = files.next();
    if (next.done) break;
    const { id: entry, path, size } = next.value;
    const file = { entry, path, sizeBytes: Number(size), attempt: 1 };
    const chunk = hash(`chunk of ${entry}`);
    if (isKnownChunk(journal, journalRepository, chunk)) throw new Error('a chunk was known before');
    chunks.push(chunk);
    batch.pieces.push({ file, position: 0, chunk, sizeBytes: file.sizeBytes, needs: batchNumber });
    batch.ended.push({ file, chunks: 1, bytes: file.sizeBytes, torn: false });
  }
  if (chunks.length === 0) return null;
  return {
    number: batchNumber,
    pack: packOf(chunks, batchNumber),
    ...batch,
    changed: [],
    failed: [],
    path: null,
  };
}

function packOf(ids: readonly Buffer[], packNumber: number): NonNullable<Batch['pack']> {
  const size = Number(CHUNK_BYTES);
  return {
    name: hash(`pack ${packNumber}`).toString('hex'),
    bytes: Buffer.alloc(size),
    entries: ids.map((id, index) => ({ id, compression: RAW, size, offset: size * index, storedSize: size })),
    directory: Buffer.alloc(DIRECTORY_BYTES_A_CHUNK * ids.length),
  };
}
