/** The real program, on a machine that has never seen the backup that another one could not end. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { backUp } from '../../lib/backup/backup.ts';
import { canonicalSources } from '../../lib/backup/sources.ts';
import { openJournal } from '../../lib/journal/database.ts';
import { identifyProcess } from '../../lib/journal/owner.ts';
import { rememberRepository } from '../../lib/journal/repositories.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { type Place, packBytesAt, withLocal } from '../helpers/cli-places.ts';
import { assertRestored, writeNoise } from '../helpers/cli-trees.ts';
import { newRepository, repositoryAt } from '../helpers/kill-cases.ts';
import { assertStatus, jsonLines, summaryOf, withMachine } from '../helpers/program.ts';
import { readBack } from '../helpers/scenario.ts';

const FILES = 12;
const FILE_BYTES = 200_000;
/** Two a file. */
const PACK_BYTES = 100_000;

/**
 * What a machine called `notebook` leaves that is lost in the middle of a backup, as its program does, but for the minute
 * between two checkpoints. @returns the backup's id
 */
async function loseMachine(folder: string, place: Place, source: string): Promise<string> {
  const repository = await repositoryAt(place);
  let backupId = '';
  let packs = 0;
  let isLost = false;
  const listed = Promise.withResolvers<void>();
  const remote: Remote = {
    ...repository.remote,
    async put(name, bytes, options) {
      const isOfFiles = name.startsWith('packs/') && bytes.length >= PACK_BYTES;
      if (isOfFiles && ++packs > FILES) {
        await listed.promise;
        isLost = true;
      }
      if (isLost) throw new Error('the machine is lost');
      await repository.remote.put(name, bytes, options);
      if (!name.startsWith('resume/')) return;
      backupId = name.slice('resume/'.length);
      const { contents } = await readBack(repository, backupId, 'checkpoint');
      if (contents.size >= FILES / 3) listed.resolve();
    },
  };
  const { journal } = await openJournal(join(folder, 'lost/journal.db'), { now: new Date() });
  const asked = new AbortController();
  const lost = backUp(
    {
      sourcePaths: canonicalSources([source], folder),
      ownFolders: [],
      stateFolder: join(folder, 'lost/resume_state'),
      checkpointEveryMs: 20,
      lanes: 1,
      packBytes: PACK_BYTES,
      compressOverBytes: 0,
      host: 'notebook',
      owner: { ...identifyProcess(process.pid)!, bootId: 'of another machine' },
      program: 'skylock 0.0.0',
    },
    {
      journal,
      repository: { ...repository, remote },
      journalRepository: rememberRepository(journal, repository.config.repositoryId, remote.url),
      progress: () => {},
      signal: asked.signal,
      now: () => new Date(),
    },
  );
  const error = await lost.catch((thrown: unknown) => thrown);
  assert.match(String(error), 'the machine is lost');
  journal.close();
  rmSync(join(folder, 'lost'), { recursive: true });
  return backupId;
}

const other = suite('a backup whose machine is lost');

other(
  'is seen, restored as far as it is, and gone on with by another machine, which sends nothing again',
  () =>
    withLocal(async (local) => {
      const place = await newRepository(local, 'shared');
      await withMachine(async (machine) => {
        const source = join(machine.folder, 'source');
        writeNoise(source, FILES, FILE_BYTES);
        await sleep(60); // younger files are read again in any case
        const backupId = await loseMachine(machine.folder, place, source);
        const sent = packBytesAt(place);

        const [listed] = JSON.parse((await machine.succeeds(['list', '--json'])).stdout);
        assert.equal([listed.backup_id, listed.state, listed.host], [backupId, 'unfinished', 'notebook']);
        assert.ok(listed.uploaded_files >= FILES / 3 && listed.files === FILES, JSON.stringify(listed));
        const { stdout: status } = await machine.succeeds(['resume-status']);
        for (const words of [backupId, 'notebook', `--adopt ${backupId}`])
          assert.ok(status.includes(words), status);

        const target = join(machine.folder, 'part');
        const restored = await machine.run(['restore', backupId, '--json', '--target', target]);
        assertStatus(restored, 3);
        assert.is(summaryOf(restored).files, listed.uploaded_files);

        const outcome = await machine.succeeds(['backup', '--direct', '--json', '--adopt', backupId, source]);
        assert.is(summaryOf(outcome).backup_id, backupId);
        const planned = jsonLines(outcome.stdout).find(({ type }) => type === 'planned');
        assert.is(
          planned?.uploaded_files,
          listed.uploaded_files,
          'what the checkpoint lists is not read again',
        );
        assert.ok(packBytesAt(place) < FILES * FILE_BYTES * 1.1, `${sent}, then ${packBytesAt(place)}`);
        const whole = join(machine.folder, 'whole');
        await machine.succeeds(['restore', backupId, '--target', whole]);
        assertRestored(whole, [source]);
        assert.is(JSON.parse((await machine.succeeds(['list', '--json'])).stdout)[0].state, 'complete');
      }, place.env);
    }),
);

other.run();
