import { createHash, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { SkylockError } from '../../lib/errors.ts';
import { type Journal, openJournal } from '../../lib/journal/database.ts';
import { type Entry, type JournalEntry, journalEntries } from '../../lib/journal/entries.ts';
import { identifyProcess, type Owner } from '../../lib/journal/owner.ts';
import type { DurablePack } from '../../lib/journal/packs.ts';
import { applyPlan } from '../../lib/journal/planned-entries.ts';
import { rememberRepository } from '../../lib/journal/repositories.ts';
import { claimRun, type Run } from '../../lib/journal/runs.ts';
import { recordTotals } from '../../lib/journal/totals.ts';
import { withFolder } from '../helpers/temporary.ts';

export const NOW = new Date('2025-11-07T14:20:30.700Z');
export const HERE = identifyProcess(process.pid)!;
/** No process has the number: Linux' largest is 2^22. */
export const NOBODY: Owner = { ...HERE, pid: 2 ** 22 + 1 };

export interface Lent {
  readonly journal: Journal;
  readonly folder: string;
  /** The number of a repository in the journal. */
  readonly journalRepository: number;
}

/** Lends a new journal in a folder of its own. */
export async function withJournal(use: (lent: Lent) => Promise<void> | void): Promise<void> {
  await withFolder(async (folder) => {
    const { journal } = await openJournal(join(folder, 'journal.db'), { now: NOW });
    try {
      await use({
        journal,
        folder,
        journalRepository: rememberRepository(journal, 'first', 'file:///backups'),
      });
    } finally {
      journal.close();
    }
  });
}

/** Claims the run of the sources `/home/<name>`. */
export function claim(
  { journal, journalRepository }: Pick<Lent, 'journal' | 'journalRepository'>,
  { name = 'docs', owner = HERE, now = NOW, takenIds = new Set<string>() } = {},
): Run {
  const sourcePaths = [Buffer.from(`/home/${name}`)];
  return claimRun(journal, {
    journalRepository,
    matchKey: hash(name),
    sourcePaths,
    host: 'here',
    owner,
    now,
    takenIds,
    uuid: randomUUID(),
  });
}

export function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** A file of 3,000 bytes, unless `fields` say otherwise. */
export function entryAt(path: string | Buffer, fields: Partial<Entry> = {}): Entry {
  return {
    path: Buffer.from(path),
    type: 'file',
    size: 3000n,
    mtimeNs: 1_762_525_230_123_456_789n,
    ctimeNs: 1_762_525_230_123_456_790n,
    inode: 7n,
    device: 64n,
    links: 1n,
    mode: 0o644n,
    uid: 1000n,
    gid: 1000n,
    specialDevice: 0n,
    target: null,
    ...fields,
  };
}

/** Adds entries as a first scan does, the totals with them. @returns their rows, in byte order of the paths */
export function add(journal: Journal, run: Run, ...entries: Entry[]): JournalEntry[] {
  applyPlan(journal, run, { added: entries, changed: [], moved: [], gone: [] });
  const files = entries.filter(({ type }) => type === 'file');
  recordTotals(
    journal,
    run,
    {
      totalFiles: files.length,
      totalBytes: files.reduce((sum, { size }) => sum + Number(size), 0),
      uploadedFiles: 0,
      uploadedBytes: 0,
    },
    NOW,
  );
  return [...journalEntries(journal, run.sourceSet)];
}

/** A pack that holds a chunk of 1,000 bytes for each of the names. */
export function packOf(...names: string[]): DurablePack {
  return {
    name: hash(`pack of ${names.join()}`),
    size: 1000 * names.length,
    chunks: names.map((name, position) => ({
      id: hash(name),
      offset: 1000 * position,
      storedSize: 900,
      size: 1000,
      compression: 1,
    })),
    directory: Buffer.from(`directory of ${names.join()}`),
  };
}

/** The pieces `from`, `from + 1`, … of a file, one a name. */
export function piecesOf(entry: bigint, from: number, ...names: string[]) {
  return names.map((name, index) => ({ entry, position: from + index, chunk: hash(name) }));
}

/** @returns the error that `work` fails with, one a person can act on */
export async function failureOf(work: () => unknown): Promise<SkylockError> {
  try {
    await work();
  } catch (error) {
    assert.instance(error, SkylockError);
    return error as SkylockError;
  }
  throw new Error('it succeeded');
}
