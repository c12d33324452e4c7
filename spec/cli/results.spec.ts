import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { withLocal } from '../helpers/cli-places.ts';
import { writeNoise, writePersonsFolder } from '../helpers/cli-trees.ts';
import {
  assertClearError,
  assertStatus,
  jsonLines,
  type Machine,
  type Running,
  readState,
  summaryOf,
  withMachine,
} from '../helpers/program.ts';

type Json = Record<string, unknown>;

async function jsonOf<T = Json>(machine: Machine, ...args: string[]): Promise<T> {
  const { stdout } = await machine.succeeds([...args, '--json']);
  assert.is(stdout.split('\n').length, 2, 'one line');
  return JSON.parse(stdout) as T;
}

/** Begins to back `source` up and kills it once the plan is made. @returns the backup's id */
async function leaveUnfinished(machine: Machine, source: string): Promise<string> {
  const run = machine.start(['backup', '--direct', '--json', source]);
  await run.waitFor('the plan', () => hasTold(run, 'planned'));
  run.kill('SIGKILL');
  await run.ended;
  return String(run.events().find(({ type }) => type === 'backup_started')?.backup_id);
}

function hasTold(run: Running, type: string): boolean {
  return run.events().some((event) => event.type === type);
}

const backup = suite('the result of a backup');

backup('is the id alone on standard output; the rest is on standard error, without escapes', async () => {
  await withMachine(async (machine) => {
    const source = join(machine.home, 'Documents');
    writePersonsFolder(source);
    const { stdout, stderr } = await machine.succeeds(['backup', '--direct', source]);
    assert.match(stdout, /^\d{8}_\d{6}\n$/);
    const order = [
      '🚀 Starting',
      '📍 Remote',
      '🔐 AES-256-GCM',
      '📂 Scanning',
      'Found',
      '📊 Total',
      '📋 Publishing',
      '✅ Backup complete',
    ];
    const places = order.map((words) => stderr.indexOf(words));
    assert.ok(
      places.every((place, index) => place > (places[index - 1] ?? -1)),
      stderr,
    );
    assert.not.match(stderr, /\x1b/);
  });
});

backup('with --quiet is the id and nothing else', async () => {
  await withMachine(async (machine) => {
    const source = join(machine.home, 'Documents');
    writePersonsFolder(source);
    const { stdout, stderr } = await machine.succeeds(['backup', '--direct', '--quiet', source]);
    assert.match(stdout, /^\d{8}_\d{6}\n$/);
    assert.is(stderr, '');
  });
});

backup('with --json is a stream of objects that ends with a summary', async () => {
  await withMachine(async (machine) => {
    const source = join(machine.home, 'Documents');
    writePersonsFolder(source);
    const outcome = await machine.succeeds(['backup', '--direct', '--json', source]);
    const lines = jsonLines(outcome.stdout);
    const types = lines.map(({ type }) => type);
    for (const type of ['backup_started', 'source_scanned', 'planned', 'uploaded', 'publishing', 'summary']) {
      assert.ok(types.includes(type), `${type} in ${types}`);
    }
    assert.is(types.filter((type) => type === 'summary').length, 1);
    const { duration_seconds, sent_bytes, bytes, ...summary } = summaryOf(outcome);
    const id = lines.find(({ type }) => type === 'backup_started')?.backup_id;
    assert.equal(summary, {
      type: 'summary',
      backup_id: id,
      resumed: false,
      files: 12,
      folders: 4,
      failures: 0,
    });
    assert.ok(Number(sent_bytes) > 2_000_000 && Number(bytes) > 4_000_000 && Number(duration_seconds) > 0);
    assert.is(outcome.stderr, '');
  });
});

backup('that cannot be written to standard output is no success', async () => {
  await withMachine(async (machine) => {
    const source = join(machine.home, 'Documents');
    writePersonsFolder(source);
    const outcome = await machine.run(['backup', '--direct', source], { stdoutFile: '/dev/full' });
    assertClearError(outcome, 1, /write output: .*no space/);
    const json = await machine.run(['backup', '--direct', '--json', source], { stdoutFile: '/dev/full' });
    assertClearError(json, 1, /write output: .*no space/);
  });
});

backup.run();

const list = suite('the list of backups');

list('names complete and unfinished ones, with the fields others build on', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const [done, begun] = [join(machine.home, 'done'), join(machine.home, 'begun')];
      writePersonsFolder(done);
      writeNoise(begun, 2, 5_000_000);
      await machine.succeeds(['init']);
      assert.is((await machine.succeeds(['list'])).stdout, 'There is no backup yet.\n');
      assert.equal(await jsonOf(machine, 'list'), []);

      const complete = summaryOf(await machine.succeeds(['backup', '--direct', '--json', done]));
      const unfinished = await leaveUnfinished(machine, begun);

      const listed = await jsonOf<Json[]>(machine, 'list');
      assert.is(listed.length, 2);
      const [first, second] = listed as [Json, Json];
      const { hostname } = await import('node:os');
      assert.equal(pick(first), {
        backup_id: complete.backup_id,
        state: 'complete',
        host: hostname(),
        source_paths: [done],
        files: 12,
        bytes: complete.bytes,
      });
      assert.equal(pick(second), {
        backup_id: unfinished,
        state: 'unfinished',
        host: hostname(),
        source_paths: [begun],
        files: 2,
        bytes: 10_000_000,
      });
      for (const { started_at, backup_id } of listed) {
        const digits = String(started_at).replace(/\D/g, '');
        assert.is(`${digits.slice(0, 8)}_${digits.slice(8, 14)}`, backup_id);
      }
      const { stdout } = await machine.succeeds(['list']);
      assert.match(
        stdout,
        new RegExp(`^Backup .*\n${complete.backup_id} .* complete .*\n${unfinished} .* unfinished, \\d+%`),
      );
    }, place.env),
  );
});

list('of which one is damaged has the others, names it, and is no success', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 1, 1000);
      await machine.succeeds(['init']);
      const [first, second] = [
        (await machine.succeeds(['backup', '--direct', source])).stdout.trim(),
        (await machine.succeeds(['backup', '--direct', source])).stdout.trim(),
      ];
      const file = join(place.root, 'backups', first);
      const bytes = readFileSync(file);
      bytes[bytes.length - 1]! ^= 1;
      writeFileSync(file, bytes);
      const outcome = await machine.run(['list']);
      assertStatus(outcome, 1);
      assert.match(outcome.stdout, new RegExp(`^${second} `, 'm'));
      assert.match(outcome.stderr, new RegExp(`^✖ open backups/${first}: its bytes have changed`));
      assert.match(outcome.stderr, /skylock verify/);
      const json = await machine.run(['list', '--json']);
      assertStatus(json, 1);
      assert.equal(
        (JSON.parse(json.stdout) as Json[]).map(({ backup_id }) => backup_id),
        [second],
      );
    }, place.env),
  );
});

function pick({ backup_id, state, host, source_paths, files, bytes }: Json): Json {
  return { backup_id, state, host, source_paths, files, bytes };
}

list.run();

const status = suite('resume-status');

status('tells of each unfinished run how far it is, where, since when, and what to type', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const [first, second] = [join(machine.home, 'first one'), join(machine.home, 'second')];
      for (const source of [first, second]) writeNoise(source, 2, 5_000_000);
      await machine.succeeds(['init']);
      assert.is((await machine.succeeds(['resume-status'])).stdout, 'Nothing is unfinished.\n');
      assert.equal(await jsonOf(machine, 'resume-status'), []);
      assertClearError(
        await machine.run(['resume-status', '20250101_000000']),
        1,
        /nothing of this id is unfinished/,
      );

      const one = await leaveUnfinished(machine, first);
      const { stdout } = await machine.succeeds(['resume-status']);
      assert.match(stdout, new RegExp(`^${one}  interrupted\n`));
      for (const words of [
        first,
        place.url,
        'Started:   2',
        '/2 files, ',
        ' of 10.0 MB',
        `skylock backup --direct '${first}'`,
      ]) {
        assert.ok(stdout.includes(words), `${words} in\n${stdout}`);
      }

      const two = await leaveUnfinished(machine, second);
      assert.equal(
        (await jsonOf<Json[]>(machine, 'resume-status')).map(({ backup_id }) => backup_id),
        [one, two],
      );
      const { stdout: both } = await machine.succeeds(['resume-status']);
      assert.ok(both.includes(one) && both.includes(two));
      // Where another remote is the usual one, this one has to be named.
      const elsewhere = { env: { SKYLOCK_REMOTE: join(machine.folder, 'elsewhere') } };
      const named = await machine.succeeds(['resume-status', one], elsewhere);
      assert.ok(
        named.stdout.includes(`skylock backup --direct --remote ${place.url} '${first}'`),
        named.stdout,
      );
      const none = await machine.succeeds(['resume-status', one], { env: { SKYLOCK_REMOTE: 'ftp://x/y' } });
      assert.ok(none.stdout.includes('--remote'), none.stdout);

      const { started_at, last_updated, uploaded_bytes, host, ...told } = await jsonOf(
        machine,
        'resume-status',
        two,
      );
      assert.equal(told, {
        backup_id: two,
        state: 'interrupted',
        pid: null,
        remote: place.url,
        source_paths: [second],
        uploaded_files: told.uploaded_files,
        total_files: 2,
        total_bytes: 10_000_000,
        lanes: 4,
        resume_command: `skylock backup --direct ${second}`,
      });
      assert.match(`${started_at} ${last_updated}`, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \d{4}-/);
      assert.ok(Number(uploaded_bytes) <= 10_000_000 && typeof host === 'string');

      const run = machine.start(['backup', '--direct', '--json', second]);
      await run.waitFor('the plan', () => hasTold(run, 'planned'));
      run.kill('SIGSTOP');
      const running = await jsonOf(machine, 'resume-status', two);
      assert.equal([running.state, running.pid], ['running', run.pid]);
      const { stdout: said } = await machine.succeeds(['resume-status', two]);
      assert.match(said, new RegExp(`running \\(process ${run.pid}\\)`));
      assert.not.match(said, /Go on:/);
    }, place.env),
  );
});

status('needs no remote and no password', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 1, 5_000_000);
      await machine.succeeds(['init']);
      const id = await leaveUnfinished(machine, source);
      const env = { SKYLOCK_REMOTE: 'sftp://nobody@127.0.0.1:1/gone', SKYLOCK_PASSWORD: undefined };
      assert.match((await machine.succeeds(['resume-status', id], { env })).stdout, /interrupted/);
    }, place.env),
  );
});

status.run();

const cleanup = suite('cleanup');

cleanup(
  'forgets one run by its id, refuses one that is running, and says beforehand what it would do',
  async () => {
    await withLocal((place) =>
      withMachine(async (machine) => {
        const source = join(machine.home, 'source');
        writeNoise(source, 2, 5_000_000);
        await machine.succeeds(['init']);
        const id = await leaveUnfinished(machine, source);

        assert.match((await machine.succeeds(['cleanup'])).stdout, /No unfinished backup is older than 7d/);
        const dry = await machine.succeeds(['cleanup', id, '--dry-run']);
        assert.match(dry.stdout, new RegExp(`^${id}  would be forgotten: ${source}`));
        assert.is(machine.stateFiles().filter((file) => file.endsWith('.json')).length, 1);

        const run = machine.start(['backup', '--direct', '--json', source]);
        await run.waitFor('the plan', () => hasTold(run, 'planned'));
        run.kill('SIGSTOP');
        const refused = await machine.run(['cleanup', id]);
        assertClearError(refused, 11, new RegExp(`process ${run.pid} is working on it`));
        const older = await machine.succeeds(['cleanup', '--older-than', '0s']);
        assert.match(older.stdout, /No unfinished backup/, 'a running one is never too old');
        run.kill('SIGKILL');
        await run.ended;

        assert.equal(await jsonOf(machine, 'cleanup', id), [{ backup_id: id, source_paths: [source] }]);
        assert.equal(machine.stateFiles(), []);
        assert.equal(await jsonOf(machine, 'resume-status'), []);
        assertClearError(await machine.run(['cleanup', id]), 1, /nothing of this id is unfinished/);
      }, place.env),
    );
  },
);

cleanup('forgets what nobody went on with for so long, and what was sent stays useful', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      const size = writeNoise(source, 3, 8_000_000);
      await machine.succeeds(['init']);
      const run = machine.start(['backup', '--direct', '--json', '--connections', '1', source]);
      await run.waitFor('a pack', () => run.events().some((event) => Number(event.sent_bytes) > 0));
      run.kill('SIGINT');
      assertStatus(await run.ended, 130);

      assert.match((await machine.succeeds(['cleanup', '--older-than', '1h'])).stdout, /No unfinished/);
      const [file = ''] = machine.stateFiles();
      const { backup_id } = readState(file);
      assert.equal(
        (await jsonOf<Json[]>(machine, 'cleanup', '--older-than', '0s', '--dry-run')).map(
          (one) => one.backup_id,
        ),
        [backup_id],
      );
      await machine.succeeds(['cleanup', '--older-than', '0s']);
      assert.equal(machine.stateFiles(), []);

      const summary = summaryOf(await machine.succeeds(['backup', '--direct', '--json', source]));
      assert.is(summary.resumed, false);
      assert.ok(Number(summary.sent_bytes) < size, `${summary.sent_bytes} of ${size} sent again`);
    }, place.env),
  );
});

cleanup('is done at the start of every backup for what rested for 7 days', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const [old, young, other] = ['old', 'young', 'other'].map((name) => join(machine.home, name)) as [
        string,
        string,
        string,
      ];
      for (const source of [old, young, other]) writeNoise(source, 1, 5_000_000);
      await machine.succeeds(['init']);
      const oldId = await leaveUnfinished(machine, old);
      const youngId = await leaveUnfinished(machine, young);
      const day = 24 * 3600 * 1000;
      await age(machine, oldId, 7 * day + 1000);
      await age(machine, youngId, 7 * day - 60_000);

      await machine.succeeds(['backup', '--direct', other]);
      assert.equal(
        (await jsonOf<Json[]>(machine, 'resume-status')).map((one) => one.backup_id),
        [youngId],
      );
      assert.equal(
        readdirSync(machine.stateFolder).filter((name) => name.endsWith('.json')),
        [`${youngId}.json`],
      );

      const summary = summaryOf(await machine.succeeds(['backup', '--direct', '--json', old]));
      assert.is(summary.resumed, false);
      assert.is.not(summary.backup_id, oldId);
    }, place.env),
  );
});

/** Makes a run look as if nothing of it had been recorded for so long. */
async function age(machine: Machine, backupId: string, ms: number): Promise<void> {
  const { default: Database } = await import('better-sqlite3');
  const journal = new Database(machine.journalFile);
  const { changes } = journal
    .prepare('UPDATE run SET updated_at = ?, started_at = ? WHERE backup_id = ?')
    .run(Date.now() - ms, Date.now() - ms, backupId);
  journal.close();
  assert.is(changes, 1);
}

cleanup.run();

const look = suite('a look inside a backup');

look(
  'ls and preview list modes, owners, sizes, times and paths, and one object a line with --json',
  async () => {
    await withMachine(async (machine) => {
      const source = join(machine.home, 'Documents');
      writePersonsFolder(source);
      utimesSync(join(source, 'a-b'), 1_700_000_000, 1_700_000_000);
      const id = (await machine.succeeds(['backup', '--direct', source])).stdout.trim();

      const { stdout } = await machine.succeeds(['ls', id]);
      assert.match(stdout, /^-r-------- .* 10 B .*Documents\/secret$/m);
      assert.match(stdout, /^dr-x------ .*Documents\/empty folder$/m);
      assert.match(stdout, /^lrwxrwxrwx .*Documents\/link to notes -> notes$/m);
      assert.match(stdout, /^-rw-r--r-- .*4 B 2023-11-14 22:13:20 .*Documents\/a-b$/m);
      assert.match(stdout, /with\\nnewline and "quotes"$/m, 'a name cannot break out of its line');
      assert.is((await machine.succeeds(['preview', 'latest'])).stdout, stdout);

      const lines = jsonLines((await machine.succeeds(['ls', id, '--json'])).stdout);
      assert.is(lines.length, stdout.split('\n').length - 1);
      const secret = lines.find(({ path }) => path === join(source, 'secret'));
      assert.equal([secret?.type, secret?.mode, secret?.size], ['file', '0400', 10]);
      const odd = lines.find(({ path_base64 }) => path_base64 !== undefined);
      assert.ok(Buffer.from(String(odd?.path_base64), 'base64').includes(Buffer.from([0xff, 0xfe])));

      const notes = jsonLines((await machine.succeeds(['ls', id, `${source}/notes/`, '--json'])).stdout);
      assert.ok(
        notes.length === 6 && notes.every(({ path }) => String(path).startsWith(join(source, 'notes'))),
      );
      assertClearError(
        await machine.run(['ls', id, '/not/there']),
        2,
        /list \/not\/there: it is not in backup/,
      );
      assertClearError(await machine.run(['ls', '20250101_000000']), 1, /find backup 20250101_000000: /);
    });
  },
);

look('a restore with --json ends with a summary, and tells what was there', async () => {
  await withMachine(async (machine) => {
    const source = join(machine.home, 'Documents');
    writePersonsFolder(source);
    await machine.succeeds(['backup', '--direct', source]);
    const first = summaryOf(await machine.succeeds(['restore', 'latest', '--target', 'out', '--json']));
    assert.equal([first.files, first.failures, first.present_files], [12, 0, 0]);
    const second = summaryOf(await machine.succeeds(['restore', 'latest', '--target', 'out', '--json']));
    assert.equal([second.files, second.failures, second.fetched_bytes], [12, 0, 0]);
    const quiet = await machine.succeeds(['restore', 'latest', '--target', 'out2', '--quiet']);
    assert.equal([quiet.stdout, quiet.stderr], ['', '']);
  });
});

look.run();

const help = suite('help');

const COMMANDS = ['init', 'backup', 'restore', 'resume-status', 'cleanup', 'list', 'ls', 'verify', 'repair'];

for (const command of COMMANDS) {
  help(`of ${command} says what it is for and shows an example`, async () => {
    await withMachine(async (machine) => {
      const { stdout, stderr } = await machine.succeeds([command, '--help']);
      assert.match(stdout, new RegExp(`^skylock ${command}`));
      assert.match(stdout, new RegExp(`Examples:\n  skylock ${command} `));
      assert.is(stderr, '');
      const widest = Math.max(...stdout.split('\n').map((line) => line.length));
      assert.ok(widest <= 80, `${widest} columns`);
    });
  });
}

help('lists the commands, and --version is a number', async () => {
  await withMachine(async (machine) => {
    const { stdout } = await machine.succeeds(['--help']);
    const listed = [...stdout.matchAll(/^ {2}skylock ([\w-]+)/gm)].map(([, command]) => command);
    assert.equal(listed.sort(), [...COMMANDS].sort());
    assert.match((await machine.succeeds(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
  });
});

help.run();
