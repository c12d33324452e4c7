import { existsSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { UsageError } from '../../lib/errors.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import type { RemoteSettings } from '../../lib/remote/settings.ts';
import { parseRemoteUrl, type WebdavLocation } from '../../lib/remote/url.ts';
import { openWebdav } from '../../lib/remote/webdav.ts';
import { missingApache, withApache } from '../helpers/apache.ts';
import { makeCertificate } from '../helpers/certificate.ts';
import { missingNginx, withNginx } from '../helpers/nginx.ts';
import { missingRclone, withRclone } from '../helpers/rclone.ts';
import { remoteSettings } from '../helpers/remote-settings.ts';
import { skipTest } from '../helpers/skip.ts';
import { withFolder } from '../helpers/temporary.ts';
import type { WebServer, WebServerOptions } from '../helpers/web-server.ts';
import { remoteContract, type WithRemote } from './contract.ts';
import { failure } from './failure.ts';

const noApache = missingApache();
const noNginx = missingNginx();
const noRclone = missingRclone();

/** Lends a remote in a folder of the server that has yet to be made. */
async function withRemoteOn(
  server: WebServer,
  run: (remote: Remote) => Promise<void>,
  settings: Parameters<typeof remoteSettings>[0] = {},
): Promise<void> {
  const location = parseRemoteUrl(`${server.url}not/there yet`, '/') as WebdavLocation;
  const pinned = { certificateFingerprint: server.certificateFingerprint || null };
  const remote = await openWebdav(
    location,
    remoteSettings({ password: async () => server.password, tls: pinned, ...settings }),
  );
  await run(remote).finally(() => remote.close());
}

/** As another client does it. @param folder of the repository, with a `/` at its end; empty for all of it */
async function removeFolder(server: WebServer, folder: string): Promise<void> {
  const url = new URL(`not/there%20yet/${folder}`, server.url);
  const login = Buffer.from(`${url.username}:${server.password}`).toString('base64');
  url.username = '';
  const { status } = await fetch(url, { method: 'DELETE', headers: { Authorization: `Basic ${login}` } });
  assert.is(status, 204);
}

const onApache =
  (options: WebServerOptions): WithRemote =>
  (run) =>
    withApache(options, (server) => withRemoteOn(server, run));

if (noApache !== null) skipTest('the contract on Apache', noApache);
else {
  const options = { replacesInOneStep: false };
  remoteContract('Apache', onApache({ password: 'zwölf € "%' }), options);
  remoteContract('Apache with TLS and Digest', onApache({ tls: true, auth: 'digest' }), options);
}
if (noNginx !== null) skipTest('the contract on nginx', noNginx);
else remoteContract('nginx', (run) => withNginx({}, (server) => withRemoteOn(server, run)));
if (noRclone !== null) skipTest('the contract on rclone', noRclone);
else {
  const onRclone: WithRemote = (run) => withRclone((server) => withRemoteOn(server, run));
  remoteContract('rclone', onRclone, { replacesInOneStep: false });
}

const real = suite('a real WebDAV server');

/** Registers a test that needs Apache. */
function apache(
  sentence: string,
  options: WebServerOptions,
  check: (server: WebServer) => Promise<void>,
): void {
  if (noApache !== null) skipTest(sentence, noApache);
  else real(sentence, () => withApache(options, check));
}

for (const auth of ['basic', 'digest'] as const) {
  apache(`a wrong password is final with ${auth}`, { auth }, (server) =>
    withRemoteOn(
      server,
      async (remote) => {
        for (const call of [() => remote.get('x'), () => remote.put('x', Buffer.from('x'))]) {
          const error = await failure(call());
          assert.not.ok(error.retryable);
          assert.match(error.message, /the user name or the password is wrong \(HTTP 401\)/);
        }
      },
      { password: async () => 'wrong' },
    ),
  );
}

const SHORT_NONCE = { auth: 'digest', directives: ['AuthDigestNonceLifetime 1'] } as const;
apache('a nonce that has got stale costs nothing', SHORT_NONCE, (server) =>
  withRemoteOn(server, async (remote) => {
    const bytes = Buffer.alloc(3_000_000, 1);
    const told: number[] = [];
    await remote.put('a', bytes);
    await sleep(2100);
    await remote.put('b', bytes, { onSent: (sentBytes) => told.push(sentBytes) });
    await sleep(2100);
    assert.ok((await remote.get('b'))?.equals(bytes));
    assert.ok(
      told.every((sentBytes, n) => sentBytes >= (told[n - 1] ?? 0)),
      'progress never goes back',
    );
  }),
);

apache('a server that is killed in the middle of a put keeps nothing of it, and goes on', {}, (server) =>
  withRemoteOn(server, async (remote) => {
    await remote.put('before', Buffer.from('x'));
    let killed: Promise<void> | null = null;
    const onSent = (sentBytes: number) => {
      if (sentBytes > 1_000_000) killed ??= server.stop('SIGKILL');
    };
    const error = await failure(remote.put('packs/x', Buffer.alloc(30_000_000), { onSent }));
    assert.ok(error.retryable);
    await killed;
    assert.ok((await failure(remote.get('before'))).retryable);
    await server.restart();
    assert.is(await remote.get('packs/x'), null);
    await remote.put('packs/x', Buffer.from('again'));
    assert.is((await remote.get('packs/x'))?.toString(), 'again');
  }),
);

for (const [what, directives, status] of [
  ['a limit to the size of a request', ['LimitRequestBody 1000000'], 413],
  ['a folder without WebDAV', ['Dav Off'], 405],
] as const) {
  apache(`${what} is final and says what to do`, { auth: 'none', directives }, (server) =>
    withRemoteOn(server, async (remote) => {
      const error = await failure(remote.put('packs/x', Buffer.alloc(20_000_000)));
      assert.not.ok(error.retryable);
      assert.match(error.message, new RegExp(`\\(HTTP ${status}\\)$`));
      assert.ok(error.hints.length > 0);
    }),
  );
}

apache('a folder it may not write to is final and says what to do', {}, (server) =>
  withRemoteOn(server, async (remote) => {
    await chmod(server.root, 0o555);
    const error = await failure(remote.put('packs/x', Buffer.alloc(1000)));
    assert.not.ok(error.retryable);
    assert.match(error.message, /the server does not allow it \(HTTP 403\)$/);
    assert.ok(error.hints.length > 0);
  }),
);

for (const [name, missing, lend] of [
  ['Apache', noApache, (use: (server: WebServer) => Promise<void>) => withApache({}, use)],
  ['nginx', noNginx, (use: (server: WebServer) => Promise<void>) => withNginx({}, use)],
  ['rclone', noRclone, withRclone],
] as const) {
  const sentence = `a folder of ${name} that was removed meanwhile is made anew, the repository is not`;
  if (missing !== null) skipTest(sentence, missing);
  else {
    real(sentence, () =>
      lend((server) =>
        withRemoteOn(server, async (remote) => {
          await remote.put('packs/ab/1', Buffer.from('1'));
          for (const folder of ['tmp/', 'packs/ab/']) await removeFolder(server, folder);
          await remote.put('packs/ab/2', Buffer.from('2'));
          assert.is(String(await remote.get('packs/ab/2')), '2');
          await removeFolder(server, '');
          const error = await failure(remote.put('packs/ab/3', Buffer.from('3')));
          assert.not.ok(error.retryable);
          assert.match(
            error.message,
            /^put packs\/ab\/3: the folder of the repository is gone \(HTTP \d+\)$/,
          );
          assert.not.ok(existsSync(join(server.root, 'not/there yet')));
        }),
      ),
    );
  }
}

const CUT = "nginx's limit to the size of a request is final too";
if (noNginx !== null) skipTest(CUT, noNginx);
else {
  real(CUT, () =>
    withNginx({ directives: ['client_max_body_size 1m;'] }, (server) =>
      withRemoteOn(server, async (remote) => {
        await remote.put('packs/small', Buffer.alloc(1000));
        const error = await failure(remote.put('packs/x', Buffer.alloc(20_000_000)));
        assert.not.ok(error.retryable);
        assert.match(error.message, /\(HTTP 413\)$/);
        await remote.put('packs/y', Buffer.alloc(1000));
      }),
    ),
  );
}

const tls = (parts: Partial<RemoteSettings['tls']>) => ({ tls: parts });
const neverAsked = async () => assert.unreachable('no password for a server that is not trusted') as never;

apache('its own CA file makes a certificate trusted', { tls: true }, (server) =>
  withRemoteOn(
    server,
    async (remote) => {
      await remote.put('x', Buffer.from('x'));
    },
    { password: async () => server.password, ...tls({ caFile: server.caFile }) },
  ),
);

apache('a fingerprint is taken as openssl prints it', { tls: true }, (server) => {
  const colons = server.certificateFingerprint.toUpperCase().match(/../g)?.join(':');
  return withRemoteOn(
    server,
    async (remote) => {
      await remote.put('x', Buffer.from('x'));
    },
    tls({ certificateFingerprint: `sha256 Fingerprint=${colons}` }),
  );
});

apache('another certificate than the pinned one gets neither password nor data', { tls: true }, (server) =>
  withRemoteOn(
    server,
    async (remote) => {
      const error = await failure(remote.put('x', Buffer.from('x')));
      assert.not.ok(error.retryable);
      assert.match(error.message, /this is not the pinned server/);
      assert.ok(error.message.includes(server.certificateFingerprint), 'it says which one it is');
    },
    { password: neverAsked, ...tls({ certificateFingerprint: 'ab'.repeat(32) }) },
  ),
);

apache('the pin counts even where the CA file would do', { tls: true }, (server) =>
  withRemoteOn(
    server,
    async (remote) => {
      assert.match((await failure(remote.get('x'))).message, /this is not the pinned server/);
    },
    { password: neverAsked, ...tls({ caFile: server.caFile, certificateFingerprint: 'ab'.repeat(32) }) },
  ),
);

apache('a certificate nobody vouches for is refused with the ways out', { tls: true }, (server) =>
  withRemoteOn(
    server,
    async (remote) => {
      const error = await failure(remote.get('x'));
      assert.not.ok(error.retryable);
      assert.match(error.message, /certificate signs itself \(DEPTH_ZERO_SELF_SIGNED_CERT\)/);
      assert.match(error.hints.join('\n'), /CA file.*\n.*fingerprint/s);
    },
    { password: neverAsked, ...tls({}) },
  ),
);

apache("another authority's CA file does not help", { tls: true }, (server) =>
  withFolder(async (folder) => {
    const { certificateFile } = await makeCertificate(folder, 'other');
    await withRemoteOn(server, async (remote) => assert.not.ok((await failure(remote.get('x'))).retryable), {
      password: neverAsked,
      ...tls({ caFile: certificateFile }),
    });
  }),
);

apache('https to a port that speaks http is final', {}, (server) =>
  withRemoteOn({ ...server, url: server.url.replace('http:', 'https:') }, async (remote) => {
    const error = await failure(remote.get('x'));
    assert.not.ok(error.retryable);
    assert.match(error.message, /no secure connection/);
  }),
);

real('a fingerprint or CA file that is none is refused at the start', () =>
  withFolder(async (folder) => {
    const noPem = join(folder, 'no.pem');
    await writeFile(noPem, 'no certificate');
    for (const parts of [
      { certificateFingerprint: 'abc' },
      { certificateFingerprint: 'zz'.repeat(32) },
      { caFile: join(folder, 'absent') },
      { caFile: noPem },
    ]) {
      const open = openWebdav({ kind: 'webdav', url: 'https://box.example' }, remoteSettings(tls(parts)));
      assert.instance(
        await open.then(
          () => null,
          (error: unknown) => error,
        ),
        UsageError,
      );
    }
  }),
);

real.run();
