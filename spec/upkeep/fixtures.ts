import { hash } from 'node:crypto';
import { join } from 'node:path';
import { type BackupHeader, encodeBackupHeader } from '../../lib/format/backup-header.ts';
import { openObject, sealObject } from '../../lib/format/envelope.ts';
import { wrapMasterKey } from '../../lib/format/key-file.ts';
import { chunkId } from '../../lib/format/keys.ts';
import { type Entry, encodeEntry, splitChunkIds } from '../../lib/format/manifest.ts';
import { createPackBuilder } from '../../lib/format/pack.ts';
import { RAW } from '../../lib/format/pack-directory.ts';
import { decodePackIndex } from '../../lib/format/pack-index.ts';
import { encodeRepositoryConfig } from '../../lib/format/repository-config.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { putCheckpoint, readBackup } from '../../lib/repository/backups.ts';
import { writeIndexes } from '../../lib/repository/indexes.ts';
import { packName } from '../../lib/repository/repository.ts';
import { type RepairSummary, repair } from '../../lib/upkeep/repair.ts';
import type { Action, RepairRequest } from '../../lib/upkeep/repair-step.ts';
import { type Finding, type VerifyRequest, type VerifySummary, verify } from '../../lib/upkeep/verify.ts';
import { seededBytes } from '../format/fixtures.ts';
import {
  HERE,
  type Machine,
  readBack,
  repositoryAt,
  scenarioKeys,
  withMachine,
} from '../helpers/scenario.ts';
import { withFolder } from '../helpers/temporary.ts';
import { writeTree } from '../helpers/tree.ts';

/** A file that fills packs, ones that share what it holds, and small ones. */
const BIG = seededBytes(70_000, 'big');
const FIRST = [
  ['big', BIG],
  ['most of big', Buffer.concat([Buffer.from('new beginning'), BIG.subarray(5000)])],
  ['docs/text', 'the same line again\n'.repeat(400)],
  ['docs/empty', ''],
  ...Array.from(
    { length: 8 },
    (_, index) => [`docs/${index}`, seededBytes(600 * index + 1, `${index}`)] as const,
  ),
  ['link', { linkTo: 'docs/text' }],
] as const;
const SECOND = [
  ['docs/3', seededBytes(5_000, 'another three')],
  ['later', seededBytes(20_000, 'later')],
] as const;

/** A repository of two backups and a checkpoint, with its settings. */
export interface Stored {
  /** What was backed up lay there. */
  readonly source: string;
  /** Lies in a folder that is there. */
  readonly journalFile: string;
  readonly objects: Map<string, Buffer>;
  /** What lay there at first. */
  readonly clean: ReadonlyMap<string, Buffer>;
  readonly backupIds: readonly string[];
  /** Of each kind. */
  readonly names: (prefix: string) => string[];
  /** Puts everything on the remote back as it was. */
  readonly reset: () => void;
}

export const CHECKPOINT_ID = '20990101_000000';

/** With the machine that made it, and what is on that. */
export interface Made extends Stored {
  readonly machine: Machine;
}

let made: Pick<Stored, 'clean' | 'backupIds' | 'source'> | null = null;

/** Lends a repository whose machine is gone: made once for all who ask. */
export async function withStored(use: (stored: Stored) => Promise<void>): Promise<void> {
  if (made === null) {
    await withMade(async ({ clean, backupIds, source }) => {
      made = { clean, backupIds, source };
    });
  }
  const { clean, backupIds, source } = made!;
  await withFolder(async (folder) => {
    const objects = new Map(clean);
    await use(storedOf({ clean, backupIds, source, objects, journalFile: join(folder, 'journal.db') }));
  });
}

export async function withMade(use: (made: Made) => Promise<void>): Promise<void> {
  await withMachine(async (machine) => {
    const { objects } = machine;
    const repository = repositoryAt(memoryRemote(objects));
    const { config, keys } = repository;
    objects.set('skylock.json', encodeRepositoryConfig(config, keys));
    const keyFile = await wrapMasterKey(keys.master, 'password', {
      repositoryId: config.repositoryId,
      createdAt: new Date(0),
      label: 'first',
      parameters: { memoryKib: 8 * 1024, passes: 1, lanes: 1 },
    });
    objects.set(`keys/${hash('sha256', keyFile).slice(0, 16)}.json`, keyFile);

    writeTree(machine.source, FIRST);
    const first = await machine.backUp();
    writeTree(machine.source, SECOND);
    const second = await machine.backUp();
    const header = (await readBackup(repository, second.backupId))!;
    await putCheckpoint(repository, {
      ...header,
      backupId: CHECKPOINT_ID,
      state: 'unfinished',
      finishedAt: null,
      progress: {
        totalFiles: 99,
        totalBytes: 99,
        updatedAt: new Date(0),
        owner: { ...HERE, pid: 1, bootId: 'other' },
      },
    });
    const clean = new Map(objects);
    const backupIds = [first.backupId, second.backupId];
    const { source, journalFile } = machine;
    await use({ machine, ...storedOf({ clean, backupIds, source, objects, journalFile }) });
  });
}

function storedOf(stored: Omit<Stored, 'names' | 'reset'>): Stored {
  const { clean, objects } = stored;
  return {
    ...stored,
    names: (prefix) => [...clean.keys()].filter((name) => name.startsWith(prefix)),
    reset() {
      objects.clear();
      for (const [name, bytes] of clean) objects.set(name, bytes);
    },
  };
}

export type Told = Omit<Finding, 'affected'> & { readonly affected: readonly string[] };

export interface Verified extends VerifySummary {
  readonly told: readonly Told[];
  /** What is damaged, by name, with the files as `<backup id> <path below the source>`. */
  readonly damage: ReadonlyMap<string, readonly string[]>;
}

export async function verifyStored(
  { source, journalFile, objects }: Pick<Stored, 'source' | 'journalFile' | 'objects'>,
  request: Partial<VerifyRequest> = {},
  remote: Remote = memoryRemote(objects),
): Promise<Verified> {
  const told: Told[] = [];
  const summary = await verify(
    { backupId: null, readShare: 1, serverHash: false, ...request },
    {
      journal: { file: journalFile },
      repository: repositoryAt(remote),
      progress: () => {},
      signal: new AbortController().signal,
      random: () => 0.5,
      async onFinding(finding) {
        const affected = [...finding.affected()].map(
          ({ backupId, path }) => `${backupId} ${path.toString().slice(source.length + 1)}`,
        );
        told.push({ ...finding, affected });
      },
    },
  );
  const damage = new Map<string, string[]>();
  for (const { kind, object, affected } of told) {
    if (kind === 'finding') damage.set(object, [...(damage.get(object) ?? []), ...affected]);
  }
  return { ...summary, told, damage };
}

export async function repairStored(
  { machine, objects }: Pick<Made, 'machine' | 'objects'>,
  request: Partial<RepairRequest> = {},
  remote: Remote = memoryRemote(objects),
): Promise<RepairSummary & { readonly done: readonly Action[] }> {
  return machine.withJournal(async (journal, journalRepository) => {
    const done: Action[] = [];
    const summary = await repair(
      { dryRun: false, readData: true, ...request },
      {
        journal,
        journalRepository,
        repository: repositoryAt(remote),
        progress: () => {},
        signal: new AbortController().signal,
        onAction: async (action) => void done.push(action),
      },
    );
    return { ...summary, done };
  });
}

/** Where each chunk lies, as the indexes say. */
export interface Place {
  readonly pack: string;
  readonly offset: number;
  readonly end: number;
}

/** What each backup's files consist of, read by means of the specs' own. */
export interface Contents {
  readonly places: ReadonlyMap<string, Place>;
  /** Chunks by file, as in {@link Verified.damage}; those of its list of files by the backup's id alone. */
  readonly chunks: ReadonlyMap<string, readonly string[]>;
}

/** @param indexes names of those that are read */
export function placesIn(
  objects: ReadonlyMap<string, Buffer>,
  indexes: readonly string[],
): Map<string, Place> {
  const places = new Map<string, Place>();
  for (const name of indexes) {
    for (const pack of decodePackIndex(openObject(scenarioKeys(), 'index', name, objects.get(name)!))) {
      for (const { id, offset, storedSize } of pack.entries) {
        const place = {
          pack: `packs/${pack.name.slice(0, 2)}/${pack.name}`,
          offset,
          end: offset + storedSize,
        };
        places.set(id.toString('hex'), place);
      }
    }
  }
  return places;
}

export async function contentsOf({ clean, source, backupIds, names }: Stored): Promise<Contents> {
  const repository = repositoryAt(memoryRemote(new Map(clean)));
  const chunks = new Map<string, string[]>();
  const hexOf = (ids: Buffer) => [...splitChunkIds(ids)].map((id) => id.toString('hex'));
  for (const [id, copied] of [...backupIds.map((one) => [one, one]), [CHECKPOINT_ID, backupIds[1]!]] as [
    string,
    string,
  ][]) {
    const { header, entries } = await readBack(repository, copied);
    chunks.set(id, hexOf(header.manifest.chunks));
    for (const [path, entry] of entries) {
      if (entry.type === 'file') chunks.set(`${id} ${path.slice(source.length + 1)}`, hexOf(entry.chunks));
    }
  }
  return { places: placesIn(clean, names('index/')), chunks };
}

/** Stores a backup that is sealed and named as it should be, and may tell what is not so. */
export async function publishAs(
  { objects, backupIds }: Stored,
  twist: {
    readonly id?: string;
    readonly entry?: (entry: Entry) => Entry;
    readonly header?: (header: BackupHeader) => BackupHeader;
  },
): Promise<string> {
  const repository = repositoryAt(memoryRemote(objects));
  const { keys } = repository;
  const { header, entries } = await readBack(repository, backupIds[1]!);
  const lines = [...entries.values()].map((entry) => encodeEntry(twist.entry?.(entry) ?? entry));
  const chunk = Buffer.concat(lines);
  const id = chunkId(keys, chunk);
  const builder = createPackBuilder(keys, Buffer.alloc(chunk.length + 1000));
  builder.add(id, RAW, chunk);
  const { name, bytes, directory } = builder.seal();
  await repository.remote.put(packName(name), bytes);
  await Array.fromAsync(writeIndexes(repository, [{ name, sizeBytes: bytes.length, directory }]));
  const backupId = twist.id ?? '20300101_000000';
  const manifest = { sizeBytes: chunk.length, chunks: id };
  const told = { ...header, backupId, manifest };
  const object = `backups/${backupId}`;
  await repository.remote.put(
    object,
    sealObject(keys, 'backup', object, encodeBackupHeader(twist.header?.(told) ?? told)),
  );
  return object;
}
