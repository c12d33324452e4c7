import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { keyMemory } from '../../lib/commands/key-memory.ts';
import { dataPaths } from '../../lib/config/paths.ts';
import { KDF_PARAMETERS, unwrapMasterKey } from '../../lib/format/key-file.ts';
import {
  contentAt,
  objectsAt,
  type Place,
  REPOSITORY_PASSWORD,
  withLocal,
  withWebdav,
} from '../helpers/cli-places.ts';
import { writeNoise, writePersonsFolder } from '../helpers/cli-trees.ts';
import { commandOf } from '../helpers/processes.ts';
import { assertStatus, filesUnder, type Machine, withMachine, writeConfig } from '../helpers/program.ts';

/** In every form in which somebody might print or store it. */
function formsOf(secret: string | Buffer): Buffer[] {
  const bytes = Buffer.from(secret);
  const encoded = (['hex', 'base64', 'base64url'] as const).map((encoding) => {
    // The end of the text depends on what follows the bytes.
    return Buffer.from(bytes.toString(encoding).slice(0, -4));
  });
  return [bytes, ...encoded, Buffer.from(encodeURIComponent(bytes.toString('latin1')))];
}

/** The repository's master key, from the key file on the remote and the password. */
async function masterKeyOf(place: Place): Promise<Buffer> {
  const name = [...objectsAt(place).keys()].find((one) => one.startsWith('keys/'))!;
  const config = JSON.parse(readFileSync(join(place.root, 'skylock.json'), 'utf8')) as {
    repository_id: string;
  };
  const bytes = readFileSync(join(place.root, name));
  const key = await unwrapMasterKey(bytes, REPOSITORY_PASSWORD, config.repository_id, name);
  return key.export();
}

function assertNowhere(machine: Machine, place: Place, secrets: readonly (string | Buffer)[]): void {
  const said = machine.outcomes.map(({ stdout, stderr }) => Buffer.from(stdout + stderr));
  const written = filesUnder(machine.home);
  const remote = contentAt(place);
  assert.ok(said.length > 5 && written.size >= 2 && remote.length > 500);
  for (const secret of secrets) {
    for (const form of formsOf(secret)) {
      assert.not.ok(
        said.some((text) => text.includes(form)),
        'said',
      );
      for (const [path, bytes] of written) assert.not.ok(bytes.includes(form), `written to ${path}`);
      assert.not.ok(remote.includes(form), 'sent to the remote');
    }
  }
}

const secrets = suite('secrets');

secrets(
  'password and master key are in no output, file, object or list of processes, whatever happens',
  async () => {
    await withWebdav((place) =>
      withMachine(async (machine) => {
        const source = join(machine.folder, 'source');
        writePersonsFolder(source);
        writeNoise(source, 4, 4_000_000);
        await machine.succeeds(['init']);
        const run = machine.start(['backup', '--direct', '--json', source]);
        await run.waitFor('the plan', () => run.events().some(({ type }) => type === 'planned'));
        const seen = Buffer.concat(processesOf(run.pid));
        run.kill('SIGKILL');
        await run.ended;
        // While it is unfinished, journal and state file are there to be looked through.
        const wrong = ['not this one 1f5b', 'nor this one 8c3e'] as const;
        await machine.succeeds(['list', '--json']);
        await machine.succeeds(['resume-status']);
        assertStatus(await machine.run(['list'], { env: { SKYLOCK_PASSWORD: wrong[0] } }), 12);
        const refused = { SKYLOCK_REMOTE_PASSWORD: wrong[1] };
        assertStatus(await machine.run(['backup', '--direct', source], { env: refused }), 1);
        assertStatus(await machine.run(['list', '--remote', `${place.url}/not/there`]), 10);
        assertStatus(await machine.run(['init']), 1);

        const { user, password } = place.server;
        // The last but one is what Basic authentication sends.
        const all = [
          REPOSITORY_PASSWORD,
          password,
          ...wrong,
          `${user}:${password}`,
          await masterKeyOf(place),
        ];
        assertNowhere(machine, place, all);
        for (const secret of all) assert.not.ok(seen.includes(secret), 'in the list of processes');

        await machine.succeeds(['backup', '--direct', source]);
        await machine.succeeds(['restore', 'latest', '--target', join(machine.folder, 'restored')]);
        assertNowhere(machine, place, all);
      }, place.env),
    );
  },
);

/** Command lines of a process and of those it started, as `ps` shows them to everybody. */
function processesOf(pid: number): Buffer[] {
  const children = readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/stat`, 'latin1').includes(`) S ${pid} `);
    } catch {
      return false; // it has ended meanwhile
    }
  });
  return [pid, ...children.map(Number)].map((one) => Buffer.from(commandOf(one), 'latin1'));
}

secrets('of the embedded default: its key is in the key file alone', async () => {
  await withMachine(async (machine) => {
    writePersonsFolder(join(machine.home, 'Documents'));
    await machine.succeeds(['backup', '--direct', 'Documents']);
    await machine.succeeds(['list']);
    const key = readFileSync(join(machine.dataFolder, 'repository.key'), 'utf8').trim();
    const holders = [...filesUnder(machine.home)].filter(([, bytes]) => bytes.includes(key));
    assert.equal(
      holders.map(([path]) => path),
      [join(machine.dataFolder, 'repository.key')],
    );
    for (const { stdout, stderr } of machine.outcomes) assert.not.ok((stdout + stderr).includes(key));
  });
});

secrets('names and contents are not on the remote, nor in a temporary file', async () => {
  await withWebdav((place) =>
    withMachine(async (machine) => {
      const source = join(machine.folder, 'source');
      writePersonsFolder(source);
      const words = 'a sentence that nobody but its owner may ever read';
      writeFileSync(join(source, 'diary of a private person.txt'), words);
      await machine.succeeds(['init']);
      await machine.succeeds(['backup', '--direct', source]);
      const remote = contentAt(place);
      for (const plain of [words, 'diary of a private', 'ünïcödé', 'notes', 'dog.raw', machine.folder]) {
        assert.not.ok(remote.includes(plain), plain);
        assert.not.ok(
          [...objectsAt(place).keys()].some((name) => name.includes(plain)),
          plain,
        );
      }
      for (const [path, bytes] of filesUnder(machine.home)) assert.not.ok(bytes.includes(words), path);
    }, place.env),
  );
});

secrets(
  'in files and commands are read from there, and a file that others can read is warned of',
  async () => {
    await withLocal((place) =>
      withMachine(async (machine) => {
        const { SKYLOCK_PASSWORD: password = '', ...env } = place.env;
        const file = join(machine.folder, 'password');
        writeFileSync(file, `${password}\n`, { mode: 0o644 });
        const made = await machine.succeeds(['init', '--password-file', file], { env });
        assert.match(made.stderr, /warning: password file .* can be read by others: chmod 600/);
        await machine.succeeds(['list', '--password-command', `cat '${file}'`], { env });
        writeConfig(machine, `remote = "${place.root}"\npassword_file = "${file}"\n`);
        const { stdout } = await machine.succeeds(['list', '--json']);
        assert.is(stdout, '[]\n');
        assert.is(statSync(machine.configFile).isFile(), true);
      }),
    );
  },
);

secrets('in commands are not read for a remote that is refused, though it was opened before', async () => {
  await withMachine(async (machine) => {
    const remote = 'http://example.invalid/backups';
    const { cacheFolder } = dataPaths({}, machine.home);
    const kdf = { parameters: KDF_PARAMETERS, salt: Buffer.alloc(32) };
    keyMemory(cacheFolder, remote).keep({ name: `keys/${'0'.repeat(16)}.json`, kdf });
    assert.ok(keyMemory(cacheFolder, remote).recall());
    const ran = join(machine.folder, 'ran');
    const command = `touch '${ran}'; echo long enough`;
    const outcome = await machine.run(['list', '--remote', remote, '--password-command', command]);
    assert.match(outcome.stderr, /clear text|unencrypted|insecure/i);
    assert.not.ok(existsSync(ran));
  });
});

secrets('are not asked for where nobody can answer', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const { SKYLOCK_PASSWORD: _, ...env } = place.env;
      const outcome = await machine.run(['init'], { env });
      assertStatus(outcome, 1);
      assert.match(outcome.stderr, /read password of the repository: there is none, and nobody to ask/);
    }),
  );
});

secrets.run();
