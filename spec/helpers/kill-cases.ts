/** What the kill matrix is made of: repositories that are alike, the moments of a run, and what must hold whenever one was killed. */
import { hash } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import * as assert from 'uvu/assert';
import { wrapMasterKey } from '../../lib/format/key-file.ts';
import { masterKeyFrom, repositoryKeys } from '../../lib/format/keys.ts';
import { encodeRepositoryConfig } from '../../lib/format/repository-config.ts';
import { openLocal } from '../../lib/remote/local.ts';
import type { Repository } from '../../lib/repository/repository.ts';
import { packName } from '../../lib/repository/repository.ts';
import { type Place, REPOSITORY_PASSWORD } from './cli-places.ts';
import { type Machine, readState } from './program.ts';
import { assertHolds, indexedPacks } from './scenario.ts';

/** Small chunks and one key for all, so that every run cuts the same files into the same packs. */
const CONFIG = {
  repositoryId: '00000000-1111-4222-8333-444444444444',
  chunker: { min: 16 * 1024, avg: 64 * 1024, max: 256 * 1024 },
  manifestChunker: { min: 1024, avg: 4096, max: 16 * 1024 },
};
const KEYS = repositoryKeys(masterKeyFrom(new Uint8Array(32).fill(9)));

/** What a new repository holds. The password costs little to try: it is tried in every run. */
const settings = (async () => {
  const keyFile = await wrapMasterKey(KEYS.master, REPOSITORY_PASSWORD, {
    repositoryId: CONFIG.repositoryId,
    createdAt: new Date(0),
    label: 'spec',
    parameters: { memoryKib: 8 * 1024, passes: 1, lanes: 1 },
  });
  return {
    'skylock.json': encodeRepositoryConfig(CONFIG, KEYS),
    [`keys/${hash('sha256', keyFile).slice(0, 16)}.json`]: keyFile,
  };
})();

/** @returns a place of its own for one case, with a new repository, below `place` */
export async function newRepository(place: Place, name: string): Promise<Place> {
  const root = join(place.root, name);
  const above = [place.root, dirname(place.root)].find((folder) => existsSync(folder))!;
  const { uid, gid } = statSync(above); // the server may be another user than we are
  const own = (path: string) => chownSync(path, uid, gid);
  const makeFolder = (path: string) => {
    if (existsSync(path)) return;
    makeFolder(dirname(path));
    mkdirSync(path);
    own(path);
  };
  for (const [object, bytes] of Object.entries(await settings)) {
    const path = join(root, object);
    makeFolder(dirname(path));
    writeFileSync(path, bytes);
    own(path);
  }
  const url = `${place.url}/${name}`;
  return { ...place, url, root, env: { ...place.env, SKYLOCK_REMOTE: url } };
}

/** What lies there, looked at from this machine. */
export async function repositoryAt({ root }: Place): Promise<Repository> {
  return { remote: await openLocal(root, { temporaryToken: 'spec' }), config: CONFIG, keys: KEYS };
}

/** The environment of a program whose moments are written to `log`, and which is killed at one of them. */
export function watchedProgram(log: string, killAt?: string): Record<string, string> {
  return {
    NODE_OPTIONS: `--import ${join(import.meta.dirname, 'kill-preload.ts')}`,
    KILL_LOG: log,
    ...(killAt === undefined ? {} : { KILL_AT: killAt }),
  };
}

export function momentsIn(log: string): string[] {
  return existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n') : [];
}

/**
 * The moments at which a kill can make a difference: where nothing lies between the end of one step and the beginning of
 * the next, they are one.
 */
export function differentMoments(moments: readonly string[]): string[] {
  const different = moments.filter((moment, index) => {
    if (moment.startsWith('without ')) return false;
    return moment.startsWith('after ') || !/^(after|without) /.test(moments[index - 1] ?? '');
  });
  return [...new Set(different)];
}

/** What has to be true after a kill, before anything else runs, while `source` is as it was: nobody says more than is so. */
export async function assertNothingFalse(machine: Machine, place: Place, source: string): Promise<void> {
  const repository = await repositoryAt(place);
  for (const backupId of namesIn(place, 'backups')) await assertHolds(repository, backupId, [source]);
  await assertHonest(machine, place);
  const { complete, uploaded } = readJournal(machine);
  for (const file of machine.stateFiles().filter((path) => path.endsWith('.json'))) {
    const state = readState(file);
    if (complete.includes(state.backup_id)) continue; // it was about to be removed
    const more = state.uploaded_files.filter((path) => !uploaded.includes(path));
    assert.equal(more, [], 'files the state file lists and the journal does not');
  }
}

/** What indexes and the journal say is so. */
export async function assertHonest(machine: Machine, place: Place): Promise<void> {
  const indexed = await indexedPacks(await repositoryAt(place));
  for (const [pack, sizeBytes] of indexed) assertPack(place, pack, sizeBytes, 'an index');
  const journal = readJournal(machine);
  for (const { name, size } of journal.packs) assertPack(place, name, size, 'the journal');
  assert.equal(journal.broken, [], 'files that count as uploaded and miss a chunk');
  const published = namesIn(place, 'backups');
  for (const backupId of journal.complete) assert.ok(published.includes(backupId), `${backupId} is complete`);
}

/**
 * What has to be true once a run has come to its end: nothing is left that nothing refers to.
 * @param options.isJournalLost uploads that died before that are nobody's, and are removed after a day
 */
export async function assertTidy(
  machine: Machine,
  place: Place,
  { isJournalLost = false } = {},
): Promise<void> {
  const indexed = await indexedPacks(await repositoryAt(place));
  const packs = namesIn(place, 'packs').flatMap((folder) => namesIn(place, `packs/${folder}`));
  assert.equal(
    packs.filter((pack) => !indexed.has(pack)),
    [],
    'packs no index names',
  );
  assert.equal(namesIn(place, 'resume'), [], 'checkpoints');
  if (!isJournalLost) assert.equal(namesIn(place, 'tmp'), [], 'temporary objects');
  assert.equal(machine.stateFiles(), [], 'state files');
}

function assertPack(place: Place, pack: string, sizeBytes: number, who: string): void {
  const path = join(place.root, packName(pack));
  assert.is(existsSync(path) ? statSync(path).size : null, sizeBytes, `${who} knows pack ${pack}`);
}

/** @returns the names in a folder of the place, none when there is no such folder */
export function namesIn({ root }: Place, folder: string): string[] {
  const path = join(root, folder);
  return existsSync(path) ? readdirSync(path).sort() : [];
}

interface JournalContent {
  readonly packs: readonly { readonly name: string; readonly size: number }[];
  readonly uploaded: readonly string[];
  /** Of these, those with a chunk that is in no pack. */
  readonly broken: readonly string[];
  /** Ids of the complete runs. */
  readonly complete: readonly string[];
}

/** Reads it without changing it: what a kill has left is for the next run to find. */
function readJournal({ journalFile }: Machine): JournalContent {
  const nothing = { packs: [], uploaded: [], broken: [], complete: [] };
  if (!existsSync(journalFile)) return nothing;
  const sqlite = new Database(journalFile, { readonly: true });
  try {
    if (sqlite.pragma('user_version', { simple: true }) === 0) return nothing;
    const column = <Value>(query: string) => sqlite.prepare(query).pluck().all() as Value[];
    return {
      packs: sqlite
        .prepare('SELECT lower(hex(name)) AS name, size FROM pack')
        .all() as JournalContent['packs'],
      uploaded: column<Buffer>(`SELECT path FROM entry WHERE type = 'file' AND state = 'uploaded'`).map(
        String,
      ),
      broken: column<Buffer>(
        `SELECT DISTINCT entry.path FROM entry JOIN entry_chunk ON entry_chunk.entry = entry.id
         LEFT JOIN chunk ON chunk.id = entry_chunk.chunk WHERE entry.state = 'uploaded' AND chunk.id IS NULL`,
      ).map(String),
      complete: column<string>(`SELECT backup_id FROM run WHERE state = 'complete'`),
    };
  } finally {
    sqlite.close();
  }
}
