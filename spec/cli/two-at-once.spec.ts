import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Place, withLocal, withSftp, withWebdav } from '../helpers/cli-places.ts';
import { assertRestored, writeNoise, writePersonsFolder } from '../helpers/cli-trees.ts';
import { assertClearError, assertStatus, summaryOf, withMachine } from '../helpers/program.ts';

const two = suite('two backups at once');

two('of the same sources: the second is refused with 11 and names the first, which goes on', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const [one, other] = [join(machine.home, 'one'), join(machine.home, 'other')];
      for (const source of [one, other]) writeNoise(source, 2, 8_000_000);
      await machine.succeeds(['init']);
      const first = machine.start(['backup', '--direct', '--json', one, other]);
      await first.waitFor('the plan', () => first.events().some(({ type }) => type === 'planned'));
      first.kill('SIGSTOP');
      for (const spelling of [
        [one, other],
        ['./other/', 'one'],
      ]) {
        const second = await machine.run(['backup', '--direct', ...spelling]);
        assertClearError(second, 11, new RegExp(`process ${first.pid} is backing these sources up already`));
        assert.match(second.stderr, new RegExp(`kill ${first.pid}`));
      }
      // A part of them is another set, and is not refused.
      await machine.succeeds(['backup', '--direct', one]);
      first.kill('SIGCONT');
      assertStatus(await first.ended, 0);
      assert.is(machine.stateFiles().length, 0);
    }, place.env),
  );
});

two('of the same sources: the process is gone and another one has its number', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 2, 8_000_000);
      await machine.succeeds(['init']);
      const first = machine.start(['backup', '--direct', '--json', source]);
      await first.waitFor('the plan', () => first.events().some(({ type }) => type === 'planned'));
      first.kill('SIGKILL');
      await first.ended;
      const { default: Database } = await import('better-sqlite3');
      const journal = new Database(machine.journalFile);
      journal.prepare('UPDATE run SET owner_pid = ?').run(process.pid);
      journal.close();
      assert.is(summaryOf(await machine.succeeds(['backup', '--direct', '--json', source])).resumed, true);
    }, place.env),
  );
});

for (const [name, withPlace] of Object.entries({ SFTP: withSftp, WebDAV: withWebdav })) {
  two(`to ${name}, of other sources with much in common: both succeed`, async () => {
    await withPlace((place: Place) =>
      withMachine(async (machine) => {
        const shared = join(machine.home, 'shared');
        writePersonsFolder(shared);
        writeNoise(shared, 5, 1_000_000);
        const sources = [[shared], [shared, join(machine.home, 'more')]] as const;
        writeNoise(join(machine.home, 'more'), 2, 1_000_000);
        await machine.succeeds(['init']);
        const outcomes = await Promise.all(
          sources.map((paths) => machine.succeeds(['backup', '--direct', '--json', ...paths])),
        );
        const ids = outcomes.map((outcome) => String(summaryOf(outcome).backup_id));
        assert.is(new Set(ids).size, 2);
        for (const [index, paths] of sources.entries()) {
          const target = join(machine.folder, `restored-${index}`);
          await machine.succeeds(['restore', ids[index]!, '--target', target]);
          assertRestored(target, paths);
        }
        assert.equal(machine.stateFiles(), []);
        assert.not.ok(existsSync(join(place.root, 'resume', ids[0]!)));
      }, place.env),
    );
  });
}

two.run();
