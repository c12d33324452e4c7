import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertRestored, writePersonsFolder } from '../helpers/cli-trees.ts';
import { assertClearError, filesUnder, summaryOf, withMachine } from '../helpers/program.ts';

const embedded = suite('no configuration at all');

embedded('one command backs up, says what that is worth, and another restores', async () => {
  await withMachine(async (machine) => {
    const source = join(machine.home, 'Documents');
    writePersonsFolder(source);
    const first = await machine.succeeds(['backup', '--direct', 'Documents']);
    assert.match(first.stderr, /no remote is named/);
    assert.match(first.stderr, /A copy on the same disk is no backup yet/);
    assert.match(first.stderr, /skylock init sftp:\/\/user@host\/folder/);
    assert.match(first.stdout, /^\d{8}_\d{6}\n$/);

    const keyFile = join(machine.dataFolder, 'repository.key');
    assert.ok(first.stderr.includes(keyFile));
    assert.is(statSync(keyFile).mode & 0o777, 0o600);
    const key = readFileSync(keyFile);

    const second = summaryOf(await machine.succeeds(['backup', '--direct', '--json', source]));
    assert.is(second.resumed, false);
    assert.not.equal(`${second.backup_id}\n`, first.stdout);
    assert.is(second.sent_bytes, 0, 'nothing has changed, so nothing is sent');
    assert.equal(readFileSync(keyFile), key, 'the key stays');

    const target = join(machine.folder, 'restored');
    await machine.succeeds(['restore', first.stdout.trim(), '--target', target]);
    assertRestored(target, [source]);
  });
});

embedded('its own data is left out when the whole home is backed up', async () => {
  await withMachine(async (machine) => {
    writePersonsFolder(join(machine.home, 'Documents'));
    await machine.succeeds(['backup', '--direct', machine.home]);
    const { stdout } = await machine.succeeds(['ls', 'latest']);
    assert.match(stdout, /Documents\/secret/);
    assert.not.match(stdout, /skylock-hybrid/);
  });
});

embedded('nothing it makes can be read by others', async () => {
  await withMachine(async (machine) => {
    writePersonsFolder(join(machine.home, 'Documents'));
    await machine.succeeds(['backup', '--direct', 'Documents']);
    const made = filesUnder(machine.dataFolder);
    assert.ok(made.size > 5);
    for (const path of made.keys()) {
      assert.is(statSync(path).mode & 0o777, 0o600, path);
      assert.is(statSync(join(path, '..')).mode & 0o777, 0o700, join(path, '..'));
    }
  });
});

embedded('the folders are those of the XDG variables where they are set', async () => {
  await withMachine(async (machine) => {
    writePersonsFolder(join(machine.home, 'Documents'));
    const env = {
      XDG_DATA_HOME: join(machine.folder, 'data'),
      XDG_CONFIG_HOME: join(machine.folder, 'config'),
    };
    await machine.succeeds(['backup', '--direct', 'Documents'], { env });
    assert.ok(statSync(join(machine.folder, 'data/skylock-hybrid/journal.db')).isFile());
    assert.is(filesUnder(join(machine.home, '.local')).size, 0);
    await machine.succeeds(['init', join(machine.folder, 'elsewhere')], {
      env: { ...env, SKYLOCK_PASSWORD: 'a password' },
    });
    assert.match(
      readFileSync(join(machine.folder, 'config/skylock-hybrid/config.toml'), 'utf8'),
      /^remote = "/,
    );
  });
});

embedded('before the first backup there is nothing to list or restore', async () => {
  await withMachine(async (machine) => {
    for (const args of [['list'], ['ls', 'latest'], ['restore', 'latest', '--target', 'x']]) {
      assertClearError(await machine.run(args), 10, /no remote is named and nothing was backed up here yet/);
    }
    assert.is((await machine.succeeds(['resume-status'])).stdout, 'Nothing is unfinished.\n');
    assert.is((await machine.succeeds(['cleanup'])).status, 0);
  });
});

embedded('a lost key is said to be lost, and no new one is put in its place', async () => {
  await withMachine(async (machine) => {
    writePersonsFolder(join(machine.home, 'Documents'));
    await machine.succeeds(['backup', '--direct', 'Documents']);
    rmSync(join(machine.dataFolder, 'repository.key'));
    const outcome = await machine.run(['backup', '--direct', 'Documents']);
    assertClearError(outcome, 10, /its key .*repository\.key is gone/);
    assert.match(outcome.stderr, /Put the key file back/);
  });
});

embedded('two first backups at once end in one repository that holds both', async () => {
  await withMachine(async (machine) => {
    const sources = ['one', 'two'].map((name) => join(machine.home, name));
    for (const source of sources) writePersonsFolder(source);
    await Promise.all(sources.map((source) => machine.succeeds(['backup', '--direct', source])));
    const target = join(machine.folder, 'restored');
    const { stdout } = await machine.succeeds(['list', '--json']);
    for (const { backup_id } of JSON.parse(stdout) as { backup_id: string }[]) {
      await machine.succeeds(['restore', backup_id, '--target', target]);
    }
    assertRestored(target, sources);
  });
});

embedded.run();
