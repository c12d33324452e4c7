import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Place, withLocal, withSftp } from '../helpers/cli-places.ts';
import { assertRestored, writeNoise } from '../helpers/cli-trees.ts';
import { assertClearError, assertStatus, type Machine, summaryOf, withMachine } from '../helpers/program.ts';

const SIZE = 6_000_000;

/** Lends a machine that has backed 6 MB up, and the folder they lie in. */
async function withBackup(
  place: Place,
  use: (machine: Machine, source: string) => Promise<void>,
): Promise<void> {
  await withMachine(async (machine) => {
    const source = join(machine.home, 'source');
    writeNoise(source, 6, SIZE / 6);
    await machine.succeeds(['init']);
    await machine.succeeds(['backup', '--direct', source]);
    await use(machine, source);
  }, place.env);
}

async function assertSendsNothing(machine: Machine, source: string): Promise<string> {
  const outcome = await machine.run(['backup', '--direct', '--json', source]);
  assertStatus(outcome, 0);
  assert.ok(Number(summaryOf(outcome).sent_bytes) < SIZE / 100, 'what the remote holds is not sent again');
  const target = join(machine.folder, 'restored');
  await machine.succeeds(['restore', 'latest', '--target', target]);
  assertRestored(target, [source]);
  return outcome.stderr;
}

const journal = suite('a journal');

journal('that is lost costs time and never data: what the remote holds is not sent again', async () => {
  await withSftp((place) =>
    withBackup(place, async (machine, source) => {
      rmSync(machine.dataFolder, { recursive: true });
      await assertSendsNothing(machine, source);
    }),
  );
});

journal('that is damaged is moved aside, said so, and made anew from the remote', async () => {
  await withLocal((place) =>
    withBackup(place, async (machine, source) => {
      const bytes = readFileSync(machine.journalFile);
      bytes.fill(0x5a, 4096, 3 * 4096);
      writeFileSync(machine.journalFile, bytes);
      const said = await assertSendsNothing(machine, source);
      assert.match(said, /warning: the journal was damaged and is now .*journal\.db\.corrupt-\d{8}T\d{6}Z/);
      assert.ok(readdirSync(machine.dataFolder).some((name) => name.startsWith('journal.db.corrupt-')));
    }),
  );
});

journal('that is no database at all, or empty, is no trouble either', async () => {
  await withLocal((place) =>
    withBackup(place, async (machine, source) => {
      for (const content of ['this was a journal once\n'.repeat(1000), '']) {
        writeFileSync(machine.journalFile, content);
        await machine.succeeds(['resume-status']);
        await assertSendsNothing(machine, source);
      }
    }),
  );
});

journal('of a newer version is left alone', async () => {
  await withLocal((place) =>
    withBackup(place, async (machine, source) => {
      const { default: Database } = await import('better-sqlite3');
      const database = new Database(machine.journalFile);
      database.pragma('user_version = 99');
      database.exec(`INSERT INTO kysely_migration VALUES ('0099-newer', '2030-01-01')`);
      database.close();
      const before = join(machine.folder, 'before.db');
      copyFileSync(machine.journalFile, before);
      for (const args of [['backup', '--direct', source], ['resume-status'], ['cleanup'], ['list']]) {
        assertClearError(await machine.run(args), 1, /it was written by a newer version of skylock/);
      }
      assert.equal(readFileSync(machine.journalFile), readFileSync(before));
    }),
  );
});

journal.run();
