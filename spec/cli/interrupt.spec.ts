import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type FarPlace, withSftp, withWebdav } from '../helpers/cli-places.ts';
import { assertRestored, writeNoise } from '../helpers/cli-trees.ts';
import {
  assertClearError,
  assertStatus,
  type Machine,
  type Outcome,
  type Running,
  readState,
  summaryOf,
  withMachine,
} from '../helpers/program.ts';

const interrupt = suite('Ctrl-C');

for (const [name, withPlace, signal] of [
  ['SFTP', withSftp, 'SIGINT'],
  ['WebDAV', withWebdav, 'SIGTERM'],
  ['SFTP, as of a closed terminal,', withSftp, 'SIGHUP'],
] as const) {
  interrupt(
    `${signal} to ${name}: ends with 130 although the line stands still, says how to go on`,
    async () => {
      await withPlace((place: FarPlace) =>
        withMachine(async (machine) => {
          const { run, source } = await sendInto(machine, place);
          place.line.limit(0);
          const askedAt = performance.now();
          run.kill(signal);
          const outcome = await run.ended;
          assert.ok(performance.now() - askedAt < 20_000, 'within seconds');
          assertSaysHowToGoOn(outcome);
          await assertGoesOn(machine, place, source);
        }, place.env),
      );
    },
  );
}

interrupt('twice: ends at once', async () => {
  await withSftp((place) =>
    withMachine(async (machine) => {
      const { run, source } = await sendInto(machine, place);
      place.line.limit(0);
      run.kill('SIGINT');
      await sleep(200);
      const askedAt = performance.now();
      run.kill('SIGINT');
      const outcome = await run.ended;
      // It does not wait for what is in flight, as the first one does for some seconds.
      assert.ok(performance.now() - askedAt < 2_500, 'at once');
      assert.ok(outcome.signal === 'SIGINT' || outcome.status === 130, `status ${outcome.status}`);
      await assertGoesOn(machine, place, source);
    }, place.env),
  );
});

interrupt('while the remote is tried again and again', async () => {
  await withSftp((place) =>
    withMachine(async (machine) => {
      const { run, source } = await sendInto(machine, place);
      await place.line.cut();
      await run.waitFor('a retry', () => run.events().some(({ type }) => type === 'retrying'));
      run.kill('SIGINT');
      assertSaysHowToGoOn(await run.ended);
      await place.line.mend();
      await assertGoesOn(machine, place, source);
    }, place.env),
  );
});

interrupt('before the remote has answered: nothing was begun, and the same command begins', async () => {
  await withSftp((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 1, 100_000);
      await machine.succeeds(['init']);
      place.line.limit(0);
      const before = place.line.connections();
      const run = machine.start(['backup', '--direct', source]);
      await run.waitFor('the connection', () => place.line.connections() > before);
      run.kill('SIGINT');
      assertSaysHowToGoOn(await run.ended);
      place.line.limit(Number.POSITIVE_INFINITY);
      await machine.succeeds(['backup', '--direct', source]);
    }, place.env),
  );
});

interrupt('in a restore: ends with 130, and the same command fetches the rest', async () => {
  await withWebdav((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 20, 2_000_000);
      await machine.succeeds(['init']);
      await machine.succeeds(['backup', '--direct', source]);
      const target = join(machine.folder, 'restored');
      place.line.limit(10_000_000); // all of it takes seconds
      const run = machine.start(['restore', 'latest', '--target', target, '--json']);
      await run.waitFor('some of it', () => run.events().some((event) => Number(event.restored_bytes) > 0));
      place.line.limit(0);
      run.kill('SIGINT');
      assertSaysHowToGoOn(await run.ended);
      place.line.limit(Number.POSITIVE_INFINITY);
      const summary = summaryOf(await machine.succeeds(['restore', 'latest', '--target', target, '--json']));
      assert.ok(Number(summary.fetched_bytes) < 40_000_000, `${summary.fetched_bytes} fetched again`);
      assertRestored(target, [source]);
    }, place.env),
  );
});

/** Begins a backup and lends it once some of it is on the remote. */
async function sendInto(machine: Machine, place: FarPlace): Promise<{ run: Running; source: string }> {
  const source = join(machine.home, 'source');
  writeNoise(source, 8, 1_000_000);
  await machine.succeeds(['init']);
  place.line.limit(3_000_000);
  const run = machine.start(['backup', '--direct', '--json', source]);
  await run.waitFor('the first pack', () => run.events().some((event) => Number(event.sent_bytes) > 0));
  return { run, source };
}

function assertSaysHowToGoOn(outcome: Outcome): void {
  assertClearError(outcome, 130, /interrupted/);
  assert.match(outcome.stderr, /Run the same command again/);
}

async function assertGoesOn(machine: Machine, place: FarPlace, source: string): Promise<void> {
  place.line.limit(Number.POSITIVE_INFINITY);
  const files = machine.stateFiles().filter((file) => file.endsWith('.json'));
  assert.is(files.length, 1);
  const { backup_id } = readState(files[0]!);
  const outcome = await machine.run(['backup', '--direct', '--json', source]);
  assertStatus(outcome, 0);
  const summary = summaryOf(outcome);
  assert.is(summary.backup_id, backup_id);
  assert.ok(Number(summary.sent_bytes) < 8_000_000, 'what was durable is not sent again');
}

interrupt.run();
