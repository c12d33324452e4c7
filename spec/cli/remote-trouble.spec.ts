import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { missingApache, withApache } from '../helpers/apache.ts';
import { withSmallDisk } from '../helpers/cli-disk.ts';
import {
  objectsAt,
  PLACES,
  type Place,
  REPOSITORY_PASSWORD,
  withLocal,
  withSftp,
  withWebdav,
} from '../helpers/cli-places.ts';
import { assertRestored, writeNoise } from '../helpers/cli-trees.ts';
import {
  assertClearError,
  assertStatus,
  type Machine,
  type Running,
  readState,
  summaryOf,
  withMachine,
  writeConfig,
} from '../helpers/program.ts';
import { skipTest } from '../helpers/skip.ts';

/** Runs the backup until it has begun to send, and kills it. @returns its id */
async function leaveUnfinished(machine: Machine, source: string): Promise<string> {
  const run = machine.start(['backup', '--direct', '--json', source]);
  await run.waitFor('the plan', () => run.events().some(({ type }) => type === 'planned'));
  run.kill('SIGKILL');
  await run.ended;
  return idOf(run);
}

function idOf(run: Running): string {
  return String(run.events().find(({ type }) => type === 'backup_started')?.backup_id);
}

function sentBy(run: Running): number {
  return Number(run.events().findLast(({ type }) => type === 'uploaded')?.sent_bytes ?? 0);
}

/** The same command goes on with the same backup. */
async function assertResumes(machine: Machine, source: string, backupId: string): Promise<void> {
  const summary = summaryOf(await machine.succeeds(['backup', '--direct', '--json', source]));
  assert.equal([summary.backup_id, summary.resumed], [backupId, true]);
}

/** As `assertResumes`, and what is restored is what is there. */
async function assertLosesNothing(machine: Machine, source: string, backupId: string): Promise<void> {
  await assertResumes(machine, source, backupId);
  const target = join(machine.folder, 'restored');
  await machine.succeeds(['restore', backupId, '--target', target]);
  assertRestored(target, [source]);
}

const refused = suite('a remote that does not let us in, or is not what it should be');

for (const [name, withPlace] of Object.entries(PLACES)) {
  refused(`${name}: no repository is 10, a wrong password 12, and neither changes anything`, async () => {
    await withPlace((place: Place) =>
      withMachine(async (machine) => {
        const source = join(machine.home, 'source');
        writeNoise(source, 3, 3_000_000);
        for (const args of [
          ['backup', '--direct', source],
          ['list'],
          ['restore', 'latest', '--target', 'x'],
        ]) {
          const outcome = await machine.run(args);
          assertClearError(outcome, 10, /open repository at .*: there is none/);
          assert.match(outcome.stderr, /skylock init/);
        }
        assert.equal(objectsAt(place), new Map());

        await machine.succeeds(['init']);
        const again = await machine.run(['init']);
        assertClearError(again, 1, /make repository at .*: there is one already/);
        const backupId = await leaveUnfinished(machine, source);
        const before = objectsAt(place);
        const env = { SKYLOCK_PASSWORD: 'not the one 9d1e' };
        for (const args of [
          ['backup', '--direct', source],
          ['list'],
          ['restore', 'latest', '--target', 'x'],
        ]) {
          const outcome = await machine.run(args, { env });
          assertClearError(outcome, 12, /open repository at .*: wrong password/);
          assert.match(outcome.stderr, /SKYLOCK_PASSWORD_FILE/);
          assert.not.match(outcome.stderr, /9d1e/);
        }
        assert.equal(objectsAt(place), before);
        await assertResumes(machine, source, backupId);
      }, place.env),
    );
  });
}

refused('a repository of a newer format is left alone', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 1, 100_000);
      await machine.succeeds(['init']);
      const file = join(place.root, 'skylock.json');
      const config = readFileSync(file, 'utf8');
      writeFileSync(file, config.replace(/"format": *1/, '"format": 2'));
      const outcome = await machine.run(['backup', '--direct', source]);
      assertClearError(outcome, 1, /open repository: it has format 2/);
      assert.match(outcome.stderr, /A newer Skylock has written it/);
      writeFileSync(file, '{"format": 1}');
      assertClearError(
        await machine.run(['backup', '--direct', source]),
        1,
        /skylock\.json|open repository: /,
      );
      writeFileSync(file, config);
      await machine.succeeds(['backup', '--direct', source]);
    }, place.env),
  );
});

refused('an SSH server whose key is not known, or is another one than before', async () => {
  await withSftp((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 3, 3_000_000);
      await machine.succeeds(['init']);
      const backupId = await leaveUnfinished(machine, source);
      const known = readFileSync(place.server.knownHostsFile, 'utf8');

      writeFileSync(place.server.knownHostsFile, '');
      const unknown = await machine.run(['backup', '--direct', source]);
      assertClearError(unknown, 1, /its host key is not known \(ssh-ed25519 SHA256:/);
      assert.match(unknown.stderr, /ssh-keyscan/);
      assert.is(readFileSync(place.server.knownHostsFile, 'utf8'), '', 'nothing is trusted by itself');

      const other = join(machine.folder, 'other');
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', other]);
      const key = readFileSync(`${other}.pub`, 'utf8');
      writeFileSync(place.server.knownHostsFile, `[127.0.0.1]:${place.line.port} ${key}`);
      const changed = await machine.run(['backup', '--direct', source]);
      assertClearError(changed, 1, /ITS HOST KEY HAS CHANGED: .*known_hosts:1 expects ssh-ed25519/);
      assert.match(changed.stderr, /Nothing was sent to it/);
      assert.match(changed.stderr, /ssh-keygen -R/);

      writeFileSync(place.server.knownHostsFile, known);
      await assertResumes(machine, source, backupId);
    }, place.env),
  );
});

refused('an SSH server that does not take our key', async () => {
  await withSftp((place) =>
    withMachine(async (machine) => {
      const other = join(machine.folder, 'other');
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', other]);
      const outcome = await machine.run(['list'], { env: { SKYLOCK_SSH_IDENTITY: other } });
      assertClearError(outcome, 1, /log in|authenticat|refuse|permission denied/);
      assert.ok(outcome.stderr.split('\n').length > 2, 'with hints');
    }, place.env),
  );
});

refused(
  'a TLS certificate that nobody vouches for, unless its authority or its fingerprint is named',
  async () => {
    const missing = missingApache();
    if (missing !== null) return skipTest('a test with Apache', missing);
    await withApache({ tls: true }, (server) =>
      withMachine(
        async (machine) => {
          const outcome = await machine.run(['init']);
          assertClearError(outcome, 1, /the server's certificate signs itself/);
          assert.match(outcome.stderr, /fingerprint/);
          const other = 'ab'.repeat(32);
          assertClearError(
            await machine.run(['init', '--certificate-fingerprint', other]),
            1,
            /this is not the pinned server/,
          );
          await machine.succeeds(['init', '--ca-file', server.caFile]);
          await machine.succeeds(['list', '--certificate-fingerprint', server.certificateFingerprint]);
          writeConfig(machine, `ca_file = "${server.caFile}"\n`);
          await machine.succeeds(['list']);
        },
        {
          SKYLOCK_REMOTE: server.url,
          SKYLOCK_REMOTE_PASSWORD: server.password,
          SKYLOCK_PASSWORD: REPOSITORY_PASSWORD,
        },
      ),
    );
  },
);

refused('a WebDAV server that does not take our password', async () => {
  await withWebdav((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 3, 3_000_000);
      await machine.succeeds(['init']);
      const backupId = await leaveUnfinished(machine, source);
      const env = { SKYLOCK_REMOTE_PASSWORD: 'not the one 77aa' };
      const outcome = await machine.run(['backup', '--direct', source], { env });
      assertClearError(outcome, 1, /the user name or the password is wrong \(HTTP 401\)/);
      assert.match(outcome.stderr, /SKYLOCK_REMOTE_PASSWORD/);
      assert.not.match(outcome.stderr, /77aa/);
      const none = await machine.run(['list'], { env: { SKYLOCK_REMOTE_PASSWORD: undefined } });
      assertClearError(none, 1, /password/);
      await assertResumes(machine, source, backupId);
    }, place.env),
  );
});

refused.run();

const full = suite('a remote without space');

const DISK_MB = 6;

for (const [name, withPlace] of Object.entries(PLACES)) {
  full(`${name}: says so, and goes on where it was once there is room`, async () => {
    await withPlace((place: Place) =>
      withMachine(async (machine) => {
        const source = join(machine.home, 'source');
        writeNoise(source, 5, 2_000_000);
        mkdirSync(place.root, { recursive: true });
        await withSmallDisk(place.root, DISK_MB, async (disk) => {
          await machine.succeeds(['init']);
          const outcome = await machine.run(['backup', '--direct', '--json', source]);
          assertClearError(outcome, 1, /put packs\/.*: no space|disk is full|quota/);
          assert.match(outcome.stderr, /[Rr]oom|[Ff]ree space/);
          const [file = ''] = machine.stateFiles();
          const { backup_id } = readState(file);
          disk.grow(100);
          await assertLosesNothing(machine, source, backup_id);
        });
      }, place.env),
    );
  });
}

full.run();

const gone = suite('a remote that goes away in the middle');

gone('SFTP: tried again, given up with 75, and gone on with once it is back', async () => {
  await withSftp((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 3, 3_000_000);
      await machine.succeeds(['init']);
      place.line.limit(4_000_000);
      const run = machine.start(['backup', '--direct', '--json', '--retry-for', '3s', source]);
      await run.waitFor('the first pack', () => sentBy(run) > 0);
      await place.line.cut();
      const outcome = await run.ended;
      assertClearError(outcome, 75, /reach sftp:.*nothing has succeeded for .*nobody listens there/);
      assert.match(outcome.stderr, /Run the same command again to resume/);
      assert.ok(run.events().some(({ type }) => type === 'retrying'));

      const before = await machine.run(['backup', '--direct', '--retry-for', '1s', source]);
      assertClearError(before, 75, /nobody listens there/);
      await place.line.mend();
      place.line.limit(Number.POSITIVE_INFINITY);
      await assertLosesNothing(machine, source, idOf(run));
    }, place.env),
  );
});

gone('WebDAV: the server itself ends, and starts again on the same port', async () => {
  await withWebdav((place) =>
    withMachine(async (machine) => {
      const env = { SKYLOCK_REMOTE: place.server.url.replace(/\/$/, '/backups') };
      const source = join(machine.home, 'source');
      writeNoise(source, 3, 3_000_000);
      await machine.succeeds(['init']);
      place.line.limit(4_000_000);
      const run = machine.start(['backup', '--direct', '--json', '--retry-for', '3s', source]);
      await run.waitFor('the first pack', () => sentBy(run) > 0);
      await place.server.stop('SIGKILL');
      const outcome = await run.ended;
      assertClearError(outcome, 75, /nothing has succeeded/);
      assertClearError(
        await machine.run(['list', '--retry-for', '1s'], { env }),
        75,
        /nobody listens there \(ECONNREFUSED\)/,
      );
      await place.server.restart();
      place.line.limit(Number.POSITIVE_INFINITY);
      await assertLosesNothing(machine, source, idOf(run));
    }, place.env),
  );
});

for (const [name, withPlace] of [
  ['SFTP', withSftp],
  ['WebDAV', withWebdav],
] as const) {
  gone(`${name}: and comes back while it is tried again: the run goes on by itself`, async () => {
    await withPlace((place) =>
      withMachine(async (machine) => {
        const source = join(machine.home, 'source');
        writeNoise(source, 3, 3_000_000);
        await machine.succeeds(['init']);
        place.line.limit(4_000_000);
        const run = machine.start(['backup', '--direct', '--json', source]);
        await run.waitFor('the first pack', () => sentBy(run) > 0);
        const durable = sentBy(run);
        await place.line.cut();
        await run.waitFor('a retry', () => run.events().some(({ type }) => type === 'retrying'));
        await place.line.mend();
        place.line.limit(Number.POSITIVE_INFINITY);
        const outcome = await run.ended;
        assertStatus(outcome, 0);
        assert.ok(durable > 0 && Number(summaryOf(outcome).sent_bytes) < 9_500_000, 'each pack counts once');
        const target = join(machine.folder, 'restored');
        await machine.succeeds(['restore', 'latest', '--target', target]);
        assertRestored(target, [source]);
      }, place.env),
    );
  });
}

gone('a local disk that is unplugged is no new repository on the disk below', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 3, 3_000_000);
      await machine.succeeds(['init']);
      const backupId = await leaveUnfinished(machine, source);
      renameSync(place.root, `${place.root}.unplugged`);
      assertClearError(await machine.run(['backup', '--direct', source]), 10, /there is none/);
      renameSync(`${place.root}.unplugged`, place.root);
      await assertLosesNothing(machine, source, backupId);
    }, place.env),
  );
});

gone('a local disk that is unplugged in the middle: nothing is written to the disk below', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 3, 3_000_000);
      await machine.succeeds(['init']);
      const run = machine.start(['backup', '--direct', '--json', source]);
      await run.waitFor('the plan', () => run.events().some(({ type }) => type === 'planned'));
      run.kill('SIGSTOP');
      const sentAll = objectsAt(place).size > 3;
      renameSync(place.root, `${place.root}.unplugged`);
      run.kill('SIGCONT');
      const outcome = await run.ended;
      if (!sentAll) assertClearError(outcome, 1, /the folder of the repository is gone/);
      assert.equal(objectsAt(place), new Map());
      renameSync(`${place.root}.unplugged`, place.root);
      await assertLosesNothing(machine, source, idOf(run));
    }, place.env),
  );
});

gone.run();
