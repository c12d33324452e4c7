/** The whole way, there and back, on servers that differ from those the other specs use: what one of them lacks must not matter. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Place, packsAt, REPOSITORY_PASSWORD } from '../helpers/cli-places.ts';
import { assertRestored, writeNoise, writePersonsFolder } from '../helpers/cli-trees.ts';
import { missingNginx, withNginx } from '../helpers/nginx.ts';
import { withProftpd } from '../helpers/proftpd.ts';
import { summaryOf, withMachine } from '../helpers/program.ts';
import { missingRclone, withRclone } from '../helpers/rclone.ts';
import { skipTest } from '../helpers/skip.ts';
import { type SshServer, withSshd } from '../helpers/sshd.ts';
import type { WebServer } from '../helpers/web-server.ts';

type WithPlace = (use: (place: Place) => Promise<void>) => Promise<void>;

function sftpPlace(server: SshServer): Place {
  const { url, root, knownHostsFile, identityFile } = server;
  const env = {
    SKYLOCK_REMOTE: url,
    SKYLOCK_PASSWORD: REPOSITORY_PASSWORD,
    SKYLOCK_KNOWN_HOSTS: knownHostsFile,
    SKYLOCK_SSH_IDENTITY: identityFile,
  };
  return { url, root, env, line: null };
}

function webdavPlace(server: WebServer): Place {
  const url = `${server.url}a folder/of mine`;
  const env = {
    SKYLOCK_REMOTE: url,
    SKYLOCK_PASSWORD: REPOSITORY_PASSWORD,
    SKYLOCK_REMOTE_PASSWORD: server.password,
  };
  return { url, root: join(server.root, 'a folder/of mine'), env, line: null };
}

const onProftpd =
  (...config: string[]): WithPlace =>
  (use) =>
    withProftpd({ config }, (server) => use(sftpPlace(server)));

const BARE = 'SFTPExtensions -posixRename -fsync -statvfs -hardlink';

const SERVERS: Readonly<Record<string, { readonly missing?: string | null; readonly withPlace: WithPlace }>> =
  {
    ProFTPD: { withPlace: onProftpd() },
    'ProFTPD without extensions, and one connection': { withPlace: onProftpd(BARE, 'MaxClientsPerUser 1') },
    'OpenSSH with one channel a connection': {
      withPlace: (use) => withSshd({ maxSessions: 1 }, (server) => use(sftpPlace(server))),
    },
    nginx: {
      missing: missingNginx(),
      withPlace: (use) => withNginx({ password: 'open sesame 92c4' }, (server) => use(webdavPlace(server))),
    },
    'rclone serve webdav': {
      missing: missingRclone(),
      withPlace: (use) => withRclone((server) => use(webdavPlace(server))),
    },
  };

const servers = suite('a backup, killed, gone on with, verified and restored');

for (const [name, { missing = null, withPlace }] of Object.entries(SERVERS)) {
  if (missing !== null) {
    skipTest(name, missing);
    continue;
  }
  servers(`on ${name}`, () =>
    withPlace((place) =>
      withMachine(async (machine) => {
        const [first, second] = [join(machine.folder, 'one'), join(machine.folder, 'two')];
        writePersonsFolder(first);
        writeNoise(second, 3, 1_500_000);
        await machine.succeeds(['init']);
        const backup = ['backup', '--direct', '--json', first, second];
        const run = machine.start(backup);
        await run.waitFor('a pack', () => packsAt(place).size > 0);
        run.kill('SIGKILL');
        await run.ended;
        const started = run.events().find(({ type }) => type === 'backup_started');
        const summary = summaryOf(await machine.succeeds(backup));
        assert.equal([summary.backup_id, summary.failures], [started?.backup_id, 0]);

        assert.equal(readdirSync(join(place.root, 'tmp')), []);
        await machine.succeeds(['verify', '--read-data']);
        const target = join(machine.folder, 'restored');
        await machine.succeeds(['restore', 'latest', '--target', target]);
        assertRestored(target, [first, second]);
      }, place.env),
    ),
  );
}

servers.run();

const limits = suite('the number of lanes that is shown');

for (const [name, connections, withPlace] of [
  ['OpenSSH with one channel a connection', 1, SERVERS['OpenSSH with one channel a connection']!.withPlace],
  ['ProFTPD with one connection and one channel', 4, onProftpd('MaxClientsPerUser 1', 'SFTPMaxChannels 1')],
] as const) {
  limits(`is what is used on ${name}`, () =>
    withPlace((place) =>
      withMachine(async (machine) => {
        const source = join(machine.folder, 'source');
        writeNoise(source, 15, 4_000_000);
        await machine.succeeds(['init']);
        const backup = ['backup', '--direct', '--json', '--connections', String(connections), source];
        const run = machine.start(backup);
        const told = () => run.events().filter(({ type }) => type === 'lanes');
        await run.waitFor('another number', () => told().length > 0);
        run.kill('SIGKILL');
        await run.ended;
        assert.equal(
          told().map(({ lanes }) => lanes),
          [1],
        );
        const [unfinished] = JSON.parse((await machine.succeeds(['resume-status', '--json'])).stdout);
        assert.is(unfinished.lanes, 1);
      }, place.env),
    ),
  );
}

limits.run();
