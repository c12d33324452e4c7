import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { packsAt, withLocal, withSftp } from '../helpers/cli-places.ts';
import { assertRestored, writeNoise } from '../helpers/cli-trees.ts';
import { assertStatus, jsonLines, type Machine, summaryOf, withMachine } from '../helpers/program.ts';

const proved = suite('backup --verify-resume');

/** Another content of the same length, of which no time tells and the journal does not know. */
function rot(machine: Machine, path: string): void {
  const { atime, mtime } = lstatSync(path);
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(path, bytes);
  utimesSync(path, atime, mtime);
  const journal = new Database(machine.journalFile);
  const { ctimeNs } = lstatSync(path, { bigint: true });
  journal.prepare('UPDATE entry SET ctime_ns = ? WHERE path = ?').run(ctimeNs, Buffer.from(path));
  journal.close();
}

proved(
  'after a kill: finds a file that rotted and a pack that is short, killed while it looks as well',
  async () => {
    await withSftp((place) =>
      withMachine(async (machine) => {
        const source = join(machine.home, 'source');
        writeNoise(source, 12, 1_000_000);
        await machine.succeeds(['init']);
        place.line.limit(6_000_000); // or it might be done before it is killed
        const first = machine.start(['backup', '--direct', '--json', source]);
        const uploaded = () =>
          Math.max(0, ...first.events().map(({ uploaded_files }) => Number(uploaded_files ?? 0)));
        await first.waitFor('some files', () => uploaded() >= 4 && packsAt(place).size >= 3);
        first.kill('SIGKILL');
        await first.ended;

        rot(machine, join(source, 'noise-0'));
        const [pack, size] = [...packsAt(place)][0]!;
        truncateSync(join(place.root, pack), size - 1);
        const args = ['backup', '--direct', '--verify-resume', '--json', source];
        const second = machine.start(args);
        await second.waitFor('the look', () => second.events().some(({ type }) => type === 'check_planned'));
        second.kill('SIGKILL');
        await second.ended;

        const outcome = await machine.succeeds(args);
        // The second may have got so far as to record it.
        const texts = [...second.events(), ...jsonLines(outcome.stdout)].map(({ text }) => String(text));
        assert.ok(texts.includes('1 pack is missing or short on the remote: what it held is sent again'));
        assert.is(summaryOf(outcome).resumed, true);
        const target = join(machine.folder, 'restored');
        await machine.succeeds(['restore', 'latest', '--target', target]);
        assertRestored(target, [source]);
      }, place.env),
    );
  },
);

proved('of a backup that is complete names what it cannot read, and keeps it', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      mkdirSync(source);
      for (const name of ['closed', 'open', 'rotten'])
        writeFileSync(join(source, name), `what ${name} holds`);
      for (const name of ['closed', 'open', 'rotten']) utimesSync(join(source, name), 1e9, 1e9);
      chmodSync(join(source, 'closed'), 0);
      await machine.succeeds(['init']);
      await machine.run(['backup', '--direct', source]);
      rot(machine, join(source, 'rotten'));

      const outcome = await machine.run(['backup', '--direct', '--verify-resume', source], {
        withoutPrivileges: true,
      });
      assertStatus(outcome, 3);
      assert.match(outcome.stderr, /🔎 Checking packs that count as sent\n/);
      assert.match(outcome.stderr, /🔎 Checking files that count as uploaded\n/);
      assert.match(
        outcome.stderr,
        /\/closed: permission denied: it is not compared, and stays as it was uploaded\n/,
      );
      assert.match(
        outcome.stderr,
        /\/rotten has other content than was uploaded, though its size and times are/,
      );
      assert.match(outcome.stderr, /\n3 uploaded files compared: 1 with other content than was uploaded\n/);
      const target = join(machine.folder, 'restored');
      await machine.succeeds(['restore', 'latest', '--target', target]);
      assertRestored(target, [source]);
    }, place.env),
  );
});

proved.run();
