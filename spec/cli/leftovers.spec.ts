import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Place, withLocal, withSftp, withWebdav } from '../helpers/cli-places.ts';
import { assertRestored, writeNoise } from '../helpers/cli-trees.ts';
import { summaryOf, withMachine } from '../helpers/program.ts';

/** What lies in the folder of temporary objects, what Apache hides there while it takes it included. */
function temporariesAt({ root }: Place): string[] {
  return existsSync(join(root, 'tmp')) ? readdirSync(join(root, 'tmp')) : [];
}

const leftovers = suite('temporary objects on the remote');

leftovers('of a backup over SFTP that is killed in the middle of a put go with the next one', () =>
  withSftp((place) =>
    withMachine(async (machine) => {
      const source = join(machine.folder, 'source');
      writeNoise(source, 3, 3_000_000);
      await machine.succeeds(['init']);
      place.line.limit(2_000_000);
      const run = machine.start(['backup', '--direct', '--json', source]);
      await run.waitFor('a put', () => temporariesAt(place).length > 0 && place.line.sentBytes() > 1_000_000);
      run.kill('SIGKILL');
      await run.ended;
      place.line.limit(Number.POSITIVE_INFINITY);
      assert.ok(temporariesAt(place).length > 0, 'there is something to be removed');
      await machine.succeeds(['backup', '--direct', source]);
      assert.equal(temporariesAt(place), []);
    }, place.env),
  ),
);

leftovers('of a backup over WebDAV that is killed before a rename go with the next one', () =>
  withWebdav((place) =>
    withMachine(async (machine) => {
      const source = join(machine.folder, 'source');
      writeNoise(source, 3, 3_000_000);
      await machine.succeeds(['init']);
      const run = machine.start(['backup', '--direct', '--json', source]);
      await run.waitFor('the plan', () => run.events().some(({ type }) => type === 'planned'));
      // The object is whole on the server, and the program does not know yet.
      place.line.delay(2000);
      await run.waitFor('a put', () => temporariesAt(place).some((name) => !name.startsWith('.')));
      run.kill('SIGKILL');
      await run.ended;
      place.line.delay(0);
      assert.ok(temporariesAt(place).length > 0, 'there is something to be removed');
      await machine.succeeds(['backup', '--direct', source]);
      assert.equal(temporariesAt(place), []);
    }, place.env),
  ),
);

leftovers('of a backup that is at work are not touched by another of the same machine', () =>
  withSftp((place) =>
    withMachine(async (machine) => {
      const [slow, quick] = [join(machine.folder, 'slow'), join(machine.folder, 'quick')];
      writeNoise(slow, 3, 3_000_000);
      writeNoise(quick, 1, 1000);
      await machine.succeeds(['init']);
      place.line.limit(2_000_000);
      const run = machine.start(['backup', '--direct', '--json', slow]);
      await run.waitFor('a put', () => temporariesAt(place).length > 0);
      // The other goes there without the line.
      const direct = { SKYLOCK_REMOTE: place.server.url };
      await machine.succeeds(['backup', '--direct', quick], { env: direct });
      place.line.limit(Number.POSITIVE_INFINITY);
      const outcome = await run.ended;
      assert.is(summaryOf(outcome).failures, 0);
      assert.not.match(outcome.stderr, /trying again/);
      assert.not.ok(run.events().some(({ type }) => type === 'retrying'));
      assert.equal(temporariesAt(place), []);
    }, place.env),
  ),
);

leftovers('of a backup to a folder that is killed go with the next one', () =>
  withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.folder, 'source');
      writeNoise(source, 12, 3_000_000);
      await machine.succeeds(['init']);
      const run = machine.start(['backup', '--direct', '--json', source]);
      await run.waitFor('a put', () => temporariesAt(place).length > 0);
      run.kill('SIGKILL');
      await run.ended;
      await machine.succeeds(['backup', '--direct', source]);
      assert.equal(temporariesAt(place), []);
      const target = join(machine.folder, 'restored');
      await machine.succeeds(['restore', 'latest', '--target', target]);
      assertRestored(target, [source]);
    }, place.env),
  ),
);

leftovers.run();
