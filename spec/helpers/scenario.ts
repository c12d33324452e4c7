import { hash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { type BackupRequest, type BackupSummary, backUp } from '../../lib/backup/backup.ts';
import { canonicalSources } from '../../lib/backup/sources.ts';
import type { BackupHeader } from '../../lib/format/backup-header.ts';
import { decodeBackupHeader } from '../../lib/format/backup-header.ts';
import { openObject } from '../../lib/format/envelope.ts';
import { masterKeyFrom, type RepositoryKeys, repositoryKeys } from '../../lib/format/keys.ts';
import { decodeManifest, type Entry, splitChunkIds } from '../../lib/format/manifest.ts';
import { openFrame, packKey } from '../../lib/format/pack.ts';
import type { PackEntry } from '../../lib/format/pack-directory.ts';
import { decodePackIndex } from '../../lib/format/pack-index.ts';
import { encodeRepositoryConfig, type RepositoryConfig } from '../../lib/format/repository-config.ts';
import { type Journal, openJournal } from '../../lib/journal/database.ts';
import { identifyProcess, type Owner } from '../../lib/journal/owner.ts';
import { rememberRepository } from '../../lib/journal/repositories.ts';
import type { ProgressEvent } from '../../lib/progress.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { CONFIG_NAME, type Repository } from '../../lib/repository/repository.ts';
import { withFolder } from './temporary.ts';
import { type Fact, factsOf, factsOfContent } from './tree.ts';

/** The repository of every scenario: chunks of some KiB, so that a small tree has many of them. */
const CONFIG: RepositoryConfig = {
  repositoryId: '00000000-1111-4222-8333-444444444444',
  chunker: { min: 1024, avg: 2048, max: 8192 },
  manifestChunker: { min: 256, avg: 1024, max: 4096 },
};
/** Small as well, so that a small tree fills many packs. */
export const PACK_BYTES = 32 * 1024;
export const LANES = 3;

export const HERE: Owner = identifyProcess(process.pid)!;

export function scenarioKeys(): RepositoryKeys {
  return repositoryKeys(masterKeyFrom(new Uint8Array(32).fill(7)));
}

export function repositoryAt(remote: Remote): Repository {
  return { remote, config: CONFIG, keys: scenarioKeys() };
}

/** A machine with a journal and state files of its own, sources to back up, and a remote that is not part of it. */
export interface Machine {
  readonly folder: string;
  /** What is backed up unless told; empty at first. */
  readonly source: string;
  readonly stateFolder: string;
  readonly journalFile: string;
  /** What is durable on the remote, by name. */
  readonly objects: Map<string, Buffer>;
  /** Backs up as one process does: opens the journal, and closes it whatever happens. */
  backUp(options?: MachineOptions): Promise<BackupSummary & { readonly events: readonly ProgressEvent[] }>;
  /** Lends the journal while no backup has it open. */
  withJournal<T>(use: (journal: Journal, repository: number) => Promise<T> | T): Promise<T>;
}

export interface MachineOptions {
  readonly sources?: readonly string[];
  /** What stands between the program and the objects. */
  readonly remote?: Remote;
  readonly signal?: AbortSignal;
  readonly now?: () => Date;
  readonly onEvent?: (event: ProgressEvent) => void;
  readonly request?: Partial<BackupRequest>;
}

export async function withMachine<T>(use: (machine: Machine) => Promise<T>): Promise<T> {
  return withFolder((folder) => use(machineIn(folder, new Map())));
}

/** @param objects the remote's: two machines may share them */
export function machineIn(folder: string, objects: Map<string, Buffer>): Machine {
  objects.set(CONFIG_NAME, encodeRepositoryConfig(CONFIG, scenarioKeys()));
  const source = join(folder, 'source');
  const stateFolder = join(folder, 'data', 'resume_state');
  const journalFile = join(folder, 'data', 'journal.db');
  mkdirSync(source, { recursive: true });
  const withJournal: Machine['withJournal'] = async (lend) => {
    const { journal } = await openJournal(journalFile, { now: new Date() });
    try {
      return await lend(journal, rememberRepository(journal, CONFIG.repositoryId, 'memory:'));
    } finally {
      journal.close();
    }
  };
  return {
    folder,
    source,
    stateFolder,
    journalFile,
    objects,
    withJournal,
    backUp: (options = {}) =>
      withJournal(async (journal, journalRepository) => {
        const events: ProgressEvent[] = [];
        const summary = await backUp(
          {
            sourcePaths: canonicalSources(options.sources ?? [source], folder),
            ownFolders: [join(folder, 'data')],
            stateFolder,
            lanes: LANES,
            packBytes: PACK_BYTES,
            compressOverBytes: 0,
            host: 'here',
            owner: HERE,
            program: 'skylock 0.0.0',
            ...options.request,
          },
          {
            journal,
            repository: repositoryAt(options.remote ?? memoryRemote(objects)),
            journalRepository,
            progress(event) {
              events.push(event);
              options.onEvent?.(event);
            },
            signal: options.signal ?? new AbortController().signal,
            now: options.now ?? (() => new Date()),
          },
        );
        return { ...summary, events };
      }),
  };
}

interface KnownPack {
  readonly name: Buffer;
  readonly size: number;
}

/**
 * What the journal calls durable is durable: every pack it knows is whole on the remote, every chunk of an uploaded file
 * is in one of them, and the files in the state file of the unfinished run are exactly those.
 * @returns the unfinished backup's id, or `null` when there is none; then there is no state file either
 */
export async function assertHonest(machine: Machine): Promise<string | null> {
  return machine.withJournal((journal) => {
    const rows = <Row>(query: string) => journal.sqlite.prepare(query).all() as Row[];
    for (const { name, size } of rows<KnownPack>('SELECT name, size FROM pack')) {
      const hex = name.toString('hex');
      assert.is(machine.objects.get(`packs/${hex.slice(0, 2)}/${hex}`)?.length, size, `pack ${hex}`);
    }
    const broken = rows<{ path: Buffer }>(
      `SELECT DISTINCT entry.path FROM entry JOIN entry_chunk ON entry_chunk.entry = entry.id
       LEFT JOIN chunk ON chunk.id = entry_chunk.chunk WHERE entry.state = 'uploaded' AND chunk.id IS NULL`,
    );
    assert.equal(
      broken.map(({ path }) => path.toString()),
      [],
      'uploaded files with a chunk that is nowhere',
    );

    const [run] = rows<{
      backup_id: string;
      source_set: number;
      total_files: number | null;
      owner_pid: number;
    }>(`SELECT backup_id, source_set, total_files, owner_pid FROM run WHERE state <> 'complete'`);
    const stateFiles = existsSync(machine.stateFolder) ? readdirSync(machine.stateFolder) : [];
    if (run === undefined) {
      assert.equal(stateFiles, []);
      return null;
    }
    assert.is(run.owner_pid, null, 'nobody owns it');
    assert.equal(
      stateFiles.filter((name) => name.endsWith('.json')),
      [`${run.backup_id}.json`],
    );
    const state = JSON.parse(readFileSync(join(machine.stateFolder, `${run.backup_id}.json`), 'utf8'));
    const uploaded = rows<{ path: Buffer }>(
      `SELECT path FROM entry WHERE type = 'file' AND state = 'uploaded' AND source_set = ${run.source_set}`,
    );
    const isPlanned = run.total_files !== null;
    assert.equal(
      state.uploaded_files.toSorted(),
      isPlanned ? uploaded.map(({ path }) => path.toString()).sort() : [],
    );
    assert.is(state.total_files, run.total_files ?? 0);
    assert.is(state.backup_id, run.backup_id);
    return run.backup_id;
  });
}

/** A backup as it can be had from the remote alone. */
export interface ReadBack {
  readonly header: BackupHeader;
  /** By path, one character a byte. */
  readonly entries: ReadonlyMap<string, Entry>;
  /** Of the files. */
  readonly contents: ReadonlyMap<string, Buffer>;
}

/**
 * Reads a whole backup by means of `lib/format` alone, every chunk of every file verified. Knows nothing of a journal and
 * shares no code with the way down.
 * @throws when any of it is missing or is not what it should be
 */
export async function readBack(
  { remote, keys }: Pick<Repository, 'remote' | 'keys'>,
  backupId: string,
  kind: 'backup' | 'checkpoint' = 'backup',
): Promise<ReadBack> {
  const name = `${kind === 'backup' ? 'backups' : 'resume'}/${backupId}`;
  const sealed = await remote.get(name);
  if (sealed === null) throw new Error(`there is no ${name}`);
  const header = decodeBackupHeader(openObject(keys, kind, name, sealed), name);
  const readChunk = chunkReader(remote, keys, await readIndexes(remote, keys));

  const readAll = async (ids: Buffer): Promise<Buffer> => {
    const chunks: Buffer[] = [];
    for (const id of splitChunkIds(ids)) chunks.push(await readChunk(id));
    return Buffer.concat(chunks);
  };
  const manifest = await readAll(header.manifest.chunks);
  assert.is(manifest.length, header.manifest.sizeBytes);

  const entries = new Map<string, Entry>();
  const contents = new Map<string, Buffer>();
  for await (const entry of decodeManifest([manifest])) {
    const path = entry.path.toString('latin1');
    entries.set(path, entry);
    if (entry.type !== 'file') continue;
    const content = await readAll(entry.chunks);
    assert.is(content.length, entry.size, `size of ${path}`);
    contents.set(path, content);
  }
  const files = [...contents.values()];
  assert.is(header.files, files.length);
  assert.is(
    header.bytes,
    files.reduce((sum, { length }) => sum + length, 0),
  );
  return { header, entries, contents };
}

interface Place {
  readonly pack: string;
  readonly packSizeBytes: number;
  readonly index: number;
  readonly entry: PackEntry;
}

/** @returns every place of a chunk, by its id in hexadecimal */
async function readIndexes(remote: Remote, keys: RepositoryKeys): Promise<Map<string, Place[]>> {
  const places = new Map<string, Place[]>();
  for await (const { name } of remote.list('index/')) {
    const bytes = (await remote.get(name))!;
    assert.is(name, `index/${hash('sha256', bytes)}`);
    for (const pack of decodePackIndex(openObject(keys, 'index', name, bytes), name)) {
      pack.entries.forEach((entry, index) => {
        const id = entry.id.toString('hex');
        const place = { pack: pack.name, packSizeBytes: pack.sizeBytes, index, entry };
        places.set(id, [...(places.get(id) ?? []), place]);
      });
    }
  }
  return places;
}

/** Whoever reads the indexes alone is led to no pack that is not there: another machine has nothing else. */
export async function assertIndexesTrue(repository: Pick<Repository, 'remote' | 'keys'>): Promise<void> {
  for (const [pack, sizeBytes] of await indexedPacks(repository)) {
    const found = await repository.remote.stat(`packs/${pack.slice(0, 2)}/${pack}`);
    assert.is(found?.sizeBytes, sizeBytes, `an index names pack ${pack}`);
  }
}

/** @returns the sizes of the packs that indexes name, by SHA-256 in hexadecimal */
export async function indexedPacks({
  remote,
  keys,
}: Pick<Repository, 'remote' | 'keys'>): Promise<Map<string, number>> {
  const places = [...(await readIndexes(remote, keys)).values()].flat();
  return new Map(places.map(({ pack, packSizeBytes }) => [pack, packSizeBytes]));
}

function chunkReader(
  remote: Remote,
  keys: RepositoryKeys,
  places: Map<string, Place[]>,
): (id: Buffer) => Promise<Buffer> {
  let packName = '';
  let pack: Buffer | null = null;
  return async (id) => {
    for (const { pack: name, packSizeBytes, index, entry } of places.get(id.toString('hex')) ?? []) {
      if (name !== packName) pack = await remote.get(`packs/${name.slice(0, 2)}/${name}`);
      packName = name;
      if (pack?.length !== packSizeBytes) continue; // lost; what was sent again lies in another
      assert.is(hash('sha256', pack), name, 'a pack is named by its SHA-256');
      const frame = pack.subarray(entry.offset, entry.offset + entry.storedSize);
      return openFrame(packKey(keys, pack), index, entry, frame);
    }
    throw new Error(`no pack holds chunk ${id.toString('hex')}`);
  };
}

/** The backup on the remote holds exactly what lies at `roots` now, byte by byte. */
export async function assertHolds(
  repository: Pick<Repository, 'remote' | 'keys'>,
  backupId: string,
  roots: readonly string[],
): Promise<void> {
  const { entries, contents } = await readBack(repository, backupId);
  const found = new Map([...entries].map(([path, entry]) => [path, factOf(entry, contents.get(path))]));
  const expected = new Map(roots.flatMap((root) => [...factsOf(root)]));
  assert.equal([...found.keys()], [...expected.keys()].sort(byBytes), 'the paths of the backup');
  for (const [path, fact] of expected) assert.equal(found.get(path), fact, path);
}

/** A manifest's entry as {@link factsOf} would have found it. */
export function factOf(entry: Entry, content: Buffer | undefined): Fact {
  const common = { mode: entry.mode, mtimeUs: entry.mtimeNs / 1000n };
  switch (entry.type) {
    case 'file':
      return { type: 'file', ...common, ...factsOfContent(content!) };
    case 'symlink':
      return { type: 'symlink', ...common, target: entry.target.toString('latin1') };
    case 'folder':
      return { type: 'folder', ...common };
    default:
      return { type: 'other', ...common };
  }
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
