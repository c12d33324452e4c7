import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { BackupHeader } from '../../lib/format/backup-header.ts';
import { DATA_CHUNK_SIZES, MANIFEST_CHUNK_SIZES } from '../../lib/format/chunker.ts';
import { compressChunk } from '../../lib/format/compress.ts';
import { chunkId, repositoryKeys } from '../../lib/format/keys.ts';
import { type Entry, encodeEntry } from '../../lib/format/manifest.ts';
import { createPackBuilder, type PackBuilder } from '../../lib/format/pack.ts';
import { RAW, ZSTD } from '../../lib/format/pack-directory.ts';
import { type Journal, openJournal } from '../../lib/journal/database.ts';
import { identifyProcess } from '../../lib/journal/owner.ts';
import { insertDurablePack, isKnownChunk } from '../../lib/journal/packs.ts';
import { rememberRepository } from '../../lib/journal/repositories.ts';
import type { ProgressEvent } from '../../lib/progress.ts';
import { type MemoryRemote, memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { putBackup } from '../../lib/repository/backups.ts';
import { putIndexes } from '../../lib/repository/indexes.ts';
import { packName, type Repository } from '../../lib/repository/repository.ts';
import { type RestoreRequest, restore } from '../../lib/restore/restore.ts';
import type { RestoreSummary } from '../../lib/restore/tally.ts';
import { testMaster } from '../format/fixtures.ts';
import { withFolder } from '../helpers/temporary.ts';

export interface Bench {
  /** An empty folder that is removed afterwards. */
  readonly folder: string;
  readonly remote: MemoryRemote;
  readonly repository: Repository;
  readonly journal: Journal;
  readonly journalRepository: number;
}

/** Lends a repository without a password and a journal that knows all of it. */
export async function withBench(use: (bench: Bench) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const remote = memoryRemote();
    const config = { repositoryId: 'r', chunker: DATA_CHUNK_SIZES, manifestChunker: MANIFEST_CHUNK_SIZES };
    const repository = { remote, config, keys: repositoryKeys(testMaster()) };
    const { journal } = await openJournal(join(folder, 'journal.db'), { now: new Date(0) });
    try {
      const journalRepository = rememberRepository(journal, 'r', remote.url);
      await use({ folder, remote, repository, journal, journalRepository });
    } finally {
      journal.close();
      // Folders were restored that do not let even their owner remove what is in them.
      execFileSync('chmod', ['-R', 'u+rwX', folder]);
    }
  });
}

const FACTS = { uid: process.getuid!(), gid: process.getgid!(), ctimeNs: 0n, inode: 1n };
export const SOME_TIME = 1_700_000_000_123_456_000n;

type Facts = Partial<Pick<Entry, 'mode' | 'uid' | 'gid' | 'mtimeNs'>>;

/** An entry, and the chunks its content is cut into. */
export interface Stored {
  readonly entry: Entry;
  readonly chunks: readonly Buffer[];
}

/** @param path as text of one character a byte */
function common(path: string, mode: number, facts: Facts) {
  return { path: Buffer.from(path, 'latin1'), mode, mtimeNs: SOME_TIME, ...FACTS, ...facts };
}

export function folder(path: string, facts: Facts = {}): Stored {
  return { entry: { ...common(path, 0o755, facts), type: 'folder' }, chunks: [] };
}

/** @param content a list is cut into chunks as it is */
export function file(
  path: string,
  content: string | Buffer | readonly Buffer[],
  { link = null, ...facts }: Facts & { readonly link?: string | null } = {},
): Stored {
  const list = Buffer.isBuffer(content) || typeof content === 'string' ? [Buffer.from(content)] : content;
  const chunks = list.filter(({ length }) => length > 0);
  const size = chunks.reduce((sum, { length }) => sum + length, 0);
  const entry = { ...common(path, 0o644, facts), type: 'file', size, link, chunks: Buffer.alloc(0) } as const;
  return { entry, chunks };
}

export function symlink(path: string, target: string, facts: Facts = {}): Stored {
  const entry = {
    ...common(path, 0o777, facts),
    type: 'symlink',
    target: Buffer.from(target, 'latin1'),
  } as const;
  return { entry, chunks: [] };
}

export function special(path: string, type: 'fifo' | 'socket', facts: Facts = {}): Stored {
  return { entry: { ...common(path, 0o640, facts), type }, chunks: [] };
}

export function device(path: string, number: bigint, facts: Facts = {}): Stored {
  return { entry: { ...common(path, 0o640, facts), type: 'character_device', device: number }, chunks: [] };
}

export interface StoreOptions {
  readonly id?: string;
  /** A pack is ended when it holds so many bytes. */
  readonly packBytes?: number;
  /** Makes the manifest say what it should not. */
  readonly twist?: (entry: Entry) => Entry;
}

/** Stores a backup as `skylock backup` would: packs, indexes, manifest. Chunks that are known are not stored again. */
export async function store(
  bench: Bench,
  stored: readonly Stored[],
  { id = '20251107_142030', packBytes = 100_000, twist = (entry) => entry }: StoreOptions = {},
): Promise<BackupHeader> {
  const packer = createPacker(bench, packBytes);
  const sorted = stored.toSorted((a, b) => Buffer.compare(a.entry.path, b.entry.path));
  const lines: Buffer[] = [];
  for (const { entry, chunks } of sorted) {
    const ids: Buffer[] = [];
    for (const chunk of chunks) ids.push(await packer.add(chunk));
    const whole = entry.type === 'file' ? { ...entry, chunks: Buffer.concat(ids) } : entry;
    lines.push(encodeEntry(twist(whole)));
  }
  await packer.flush();
  const manifest = Buffer.concat(lines);
  const manifestIds: Buffer[] = [];
  for (let at = 0; at < manifest.length; at += 1000) {
    manifestIds.push(await packer.add(manifest.subarray(at, at + 1000)));
  }
  await packer.flush();
  await putIndexes(bench.repository, bench.journal, bench.journalRepository);
  const files = stored.filter(({ entry }) => entry.type === 'file');
  const header: BackupHeader = {
    backupId: id,
    state: 'complete',
    startedAt: new Date(0),
    finishedAt: new Date(0),
    host: 'here',
    sourcePaths: [],
    matchKey: '0'.repeat(64),
    files: files.length,
    folders: 0,
    bytes: 0,
    unreadable: 0,
    program: 'spec',
    claims: [],
    progress: null,
    manifest: { sizeBytes: manifest.length, chunks: Buffer.concat(manifestIds) },
  };
  await putBackup(bench.repository, header);
  return header;
}

function createPacker({ repository, journal, journalRepository, remote }: Bench, packBytes: number) {
  let builder: PackBuilder | null = null;
  const inBuilder = new Set<string>();
  const flush = async () => {
    if (builder === null) return;
    const { name, bytes, entries, directory } = builder.seal();
    builder = null;
    inBuilder.clear();
    await remote.put(packName(name), bytes);
    journal.transaction(() =>
      insertDurablePack(journal, journalRepository, {
        name: Buffer.from(name, 'hex'),
        size: bytes.length,
        chunks: entries,
        directory,
      }),
    );
  };
  return {
    flush,
    async add(chunk: Buffer): Promise<Buffer> {
      const id = chunkId(repository.keys, chunk);
      if (inBuilder.has(id.toString('hex')) || isKnownChunk(journal, journalRepository, id)) return id;
      const zstd = compressChunk(chunk);
      builder ??= createPackBuilder(repository.keys, Buffer.alloc(packBytes + chunk.length + 100_000));
      builder.add(id, zstd === null ? RAW : ZSTD, zstd ?? chunk, chunk.length);
      inBuilder.add(id.toString('hex'));
      if (builder.sizeBytes >= packBytes) await flush();
      return id;
    },
  };
}

export interface Restored extends RestoreSummary {
  readonly events: readonly ProgressEvent[];
}

/** Restores into `<folder>/target`, from `remote` in place of the bench's own where one is given. */
export async function restoreInto(
  bench: Bench,
  backup: BackupHeader,
  options: Partial<Omit<RestoreRequest, 'backup'>> & {
    readonly remote?: Remote;
    readonly signal?: AbortSignal;
    readonly onEvent?: (event: ProgressEvent) => void;
  } = {},
): Promise<Restored> {
  const { remote = bench.remote, signal = new AbortController().signal, onEvent, ...request } = options;
  const events: ProgressEvent[] = [];
  const summary = await restore(
    {
      backup,
      paths: [],
      target: join(bench.folder, 'target'),
      overwrite: 'never',
      owner: identifyProcess(process.pid)!,
      userId: process.getuid!(),
      ...request,
    },
    {
      ...bench,
      repository: { ...bench.repository, remote },
      signal,
      progress(event) {
        events.push(event);
        onEvent?.(event);
      },
    },
  );
  return { ...summary, events };
}

/** Bytes that look random and are the same everywhere. */
export function noise(length: number, seed = 'noise'): Buffer {
  const out = Buffer.alloc(length);
  for (let at = 0; at < length; at += 32) {
    createHash('sha256').update(`${seed}:${at}`).digest().copy(out, at);
  }
  return out;
}
