/** Restores what `killed.spec.ts` has laid out in a folder, and kills itself when it has told so many events. */
import { join } from 'node:path';
import { DATA_CHUNK_SIZES, MANIFEST_CHUNK_SIZES } from '../../lib/format/chunker.ts';
import { repositoryKeys } from '../../lib/format/keys.ts';
import { openJournal } from '../../lib/journal/database.ts';
import { identifyProcess } from '../../lib/journal/owner.ts';
import { openLocal } from '../../lib/remote/local.ts';
import { readBackup } from '../../lib/repository/backups.ts';
import { restore } from '../../lib/restore/restore.ts';
import { testMaster } from '../format/fixtures.ts';

const [folder = '', backupId = '', target = '', lastEvent = ''] = process.argv.slice(2);
const remote = await openLocal(join(folder, 'repository'), { temporaryToken: 'spec' });
const config = { repositoryId: 'r', chunker: DATA_CHUNK_SIZES, manifestChunker: MANIFEST_CHUNK_SIZES };
const repository = { remote, config, keys: repositoryKeys(testMaster()) };
const { journal } = await openJournal(join(folder, 'journal.db'), { now: new Date(0) });
let events = 0;
await restore(
  {
    backup: (await readBackup(repository, backupId))!,
    paths: [],
    target,
    overwrite: 'never',
    owner: identifyProcess(process.pid)!,
    userId: process.getuid!(),
  },
  {
    repository,
    journal,
    journalRepository: 1,
    signal: new AbortController().signal,
    progress() {
      events += 1;
      if (events === Number(lastEvent)) process.kill(process.pid, 'SIGKILL');
    },
  },
);
