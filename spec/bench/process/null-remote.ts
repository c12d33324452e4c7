/** Backs a path up to a remote that throws every pack away: `null-remote.ts <folder> <path>` */
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { backUp } from '../../../lib/backup/backup.ts';
import { canonicalSources } from '../../../lib/backup/sources.ts';
import { openJournal } from '../../../lib/journal/database.ts';
import { identifyProcess } from '../../../lib/journal/owner.ts';
import { rememberRepository } from '../../../lib/journal/repositories.ts';
import { memoryRemote } from '../../../lib/remote/memory.ts';
import type { Remote } from '../../../lib/remote/remote.ts';
import { createRepository } from '../../../lib/repository/create.ts';
import { PACKS_PREFIX } from '../../../lib/repository/repository.ts';

for (const flag of ['--external-memory-accounted-in-global-limit', '--heap-growing-percent=30']) {
  setFlagsFromString(flag); // as bin/skylock.ts does
}
const LANES = 4;

const [folder = '', path = ''] = process.argv.slice(2);
const now = () => new Date();
const repository = await createRepository(nullRemote(), {
  password: 'benchmark',
  label: 'benchmark',
  now: now(),
});
const { journal } = await openJournal(join(folder, 'journal.db'), { now: now() });
const { repositoryId } = repository.config;
const journalRepository = rememberRepository(journal, repositoryId, 'null:');
const summary = await backUp(
  {
    sourcePaths: canonicalSources([path], folder),
    ownFolders: [folder],
    stateFolder: join(folder, 'resume_state'),
    lanes: LANES,
    compressOverBytes: 0,
    host: 'here',
    owner: identifyProcess(process.pid)!,
    program: 'skylock',
  },
  {
    journal,
    repository,
    journalRepository,
    progress: () => {},
    signal: new AbortController().signal,
    now,
  },
);
journal.close();
process.stdout.write(`${JSON.stringify(summary)}\n`);

/** Of packs it keeps the sizes alone. */
function nullRemote(): Remote {
  const kept = memoryRemote();
  const packs = new Map<string, number>();
  return {
    ...kept,
    async put(name, bytes, options) {
      if (!name.startsWith(PACKS_PREFIX)) return kept.put(name, bytes, options);
      options?.onSent?.(bytes.length);
      packs.set(name, bytes.length);
    },
    async *list(prefix) {
      if (PACKS_PREFIX.startsWith(prefix) || prefix.startsWith(PACKS_PREFIX)) {
        for (const [name, sizeBytes] of packs) if (name.startsWith(prefix)) yield { name, sizeBytes };
      }
      yield* kept.list(prefix);
    },
    async stat(name) {
      const sizeBytes = packs.get(name);
      return sizeBytes === undefined ? kept.stat(name) : { name, sizeBytes };
    },
  };
}
