/**
 * Does to a hostile repository, which `hostile-memory.spec.ts` has laid out in a folder, what a command would, and prints
 * what came of it and how much memory that took at most.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DATA_CHUNK_SIZES, MANIFEST_CHUNK_SIZES } from '../../lib/format/chunker.ts';
import { repositoryKeys } from '../../lib/format/keys.ts';
import { openJournal } from '../../lib/journal/database.ts';
import { identifyProcess } from '../../lib/journal/owner.ts';
import { rememberRepository } from '../../lib/journal/repositories.ts';
import { openLocal } from '../../lib/remote/local.ts';
import { readBackup, readBackups } from '../../lib/repository/backups.ts';
import { learnChunks } from '../../lib/repository/learn.ts';
import { restore } from '../../lib/restore/restore.ts';
import { testMaster } from '../format/fixtures.ts';

const [folder = '', what = ''] = process.argv.slice(2);
const remote = await openLocal(join(folder, 'repository'), { temporaryToken: 'spec' });
const config = { repositoryId: 'r', chunker: DATA_CHUNK_SIZES, manifestChunker: MANIFEST_CHUNK_SIZES };
const repository = { remote, config, keys: repositoryKeys(testMaster()) };
const { journal } = await openJournal(join(folder, 'journal.db'), { now: new Date(0) });
const said: string[] = [];
const deps = {
  repository,
  journal,
  journalRepository: rememberRepository(journal, 'r', remote.url),
  signal: new AbortController().signal,
  progress(event: { readonly type: string; readonly reason?: string; readonly text?: string }) {
    if (event.type === 'entry_failed' || event.type === 'notice') said.push(event.reason ?? event.text ?? '');
  },
};

const DEEDS: Record<string, () => Promise<unknown>> = {
  learn: () => learnChunks(deps),
  list: () => readBackups(repository, ({ message }) => said.push(message)),
  async restore() {
    const backup = (await readBackup(repository, '20251107_142030'))!;
    const owner = identifyProcess(process.pid)!;
    const target = join(folder, 'target');
    return restore({ backup, paths: [], target, overwrite: 'never', owner, userId: process.getuid!() }, deps);
  },
};

let error: string | null = null;
try {
  await DEEDS[what]!();
} catch (thrown) {
  error = `${(thrown as Error).name}: ${(thrown as Error).message}`;
}
// Not resourceUsage, whose peak a process takes over from the one that started it.
const [, peakKib] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
const peakMiB = Number(peakKib) / 1024;
process.stdout.write(`${JSON.stringify({ error, said: said.slice(0, 20), peakMiB })}\n`);
