import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RemoteError } from '../../lib/errors.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { openSftp, type SftpOptions } from '../../lib/remote/sftp.ts';
import { commandOf, descendantsOf } from '../helpers/processes.ts';
import { withProftpd } from '../helpers/proftpd.ts';
import { withScriptedSftp } from '../helpers/scripted-sftp.ts';
import { type SshServer, sshSettings, withSshd } from '../helpers/sshd.ts';
import { withFolder } from '../helpers/temporary.ts';
import { failure } from './failure.ts';

interface Given {
  readonly path?: string;
  readonly maxConnections?: number;
  readonly options?: SftpOptions;
}

async function withRemote(
  server: SshServer,
  { path = server.root, maxConnections = 4, options = {} }: Given,
  use: (remote: Remote) => Promise<void>,
): Promise<void> {
  const { user, host, port } = server;
  const remote = await openSftp(
    { kind: 'sftp', user, host, port, path },
    sshSettings(server, { maxConnections }),
    options,
  );
  await use(remote).finally(() => remote.close());
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** Puts `count` objects. @returns their hashes by name */
async function putSome(remote: Remote, count: number): Promise<Map<string, string>> {
  const hashes = new Map<string, string>();
  for (let n = 0; n < count; n += 1) {
    const bytes = randomBytes(1000 + n);
    const name = `packs/${sha256(bytes).slice(0, 2)}/${sha256(bytes)}`;
    await remote.put(name, bytes);
    hashes.set(name, sha256(bytes));
  }
  return hashes;
}

/** It is final, and says where there would be one. @returns the error */
async function noCommand(remote: Remote, hashes: ReadonlyMap<string, string>): Promise<RemoteError> {
  const error = await failure(remote.sha256!([...hashes.keys()]));
  assert.not.ok(error.retryable);
  assert.is(error.message, 'compute checksums: the server offers no command for it');
  assert.match(error.hints.join('\n'), /port 23/);
  return error;
}

const sorted = (hashes: ReadonlyMap<string, string> | undefined) => [...(hashes ?? [])].sort();

const checksums = suite('checksums a server computes');

checksums('are those of the bytes that lie there, without those of what is absent or cannot be read', () =>
  withSshd({}, (server) =>
    withRemote(server, {}, async (remote) => {
      const hashes = await putSome(remote, 3);
      const [first] = [...hashes.keys()];
      writeFileSync(join(server.root, first!), 'something else');
      hashes.set(first!, sha256(Buffer.from('something else')));
      mkdirSync(join(server.root, 'packs/folder'));
      const asked = [...hashes.keys(), 'packs/absent', 'packs/folder'];
      assert.equal(sorted(await remote.sha256?.(asked)), sorted(hashes));
      assert.equal(await remote.sha256?.(['packs/absent']), new Map());
      assert.equal(await remote.sha256?.([]), new Map());
    }),
  ),
);

for (const folder of [
  `a "name" with $(touch oops) & 'quotes' ; | > < * ? ~ # ! \` ä`,
  '-rf',
  'plain/deep',
] as const) {
  checksums(`can be had in a folder called ${folder}`, () =>
    withSshd({}, async (server) => {
      for (const path of [join(server.root, folder), `remote/${folder}`]) {
        await withRemote(server, { path }, async (remote) => {
          const hashes = await putSome(remote, 1);
          assert.equal(sorted(await remote.sha256?.([...hashes.keys()])), sorted(hashes));
        });
      }
    }),
  );
}

checksums('of more files than one command may name are asked for in several', () =>
  withSshd({}, (server) =>
    withRemote(server, {}, async (remote) => {
      const hashes = await putSome(remote, 1);
      const [[name, hash]] = [...hashes] as [[string, string]];
      const names = Array.from({ length: 400 }, (_, n) => `${name}-${n}`);
      for (const one of names) writeFileSync(join(server.root, one), readFileSync(join(server.root, name)));
      const found = await remote.sha256?.(names);
      assert.is(found?.size, names.length);
      assert.ok([...found!.values()].every((one) => one === hash));
    }),
  ),
);

checksums('can be had where a connection holds one session', () =>
  withSshd({ maxSessions: 1 }, (server) =>
    withRemote(server, { maxConnections: 1 }, async (remote) => {
      const hashes = await putSome(remote, 2);
      for (let n = 0; n < 3; n += 1) {
        assert.equal(sorted(await remote.sha256?.([...hashes.keys()])), sorted(hashes));
      }
      assert.is(server.connections(), 1);
      assert.ok(await remote.stat([...hashes.keys()][0]!), 'it goes on');
    }),
  ),
);

checksums('cannot be had from an account that is for SFTP alone', () =>
  withSshd({ config: ['ForceCommand internal-sftp'] }, (server) =>
    withRemote(server, { path: join(server.root, 'x') }, async (remote) => {
      const hashes = await putSome(remote, 1);
      assert.is((await noCommand(remote, hashes)).hints.length, 1);
      assert.ok(await remote.stat([...hashes.keys()][0]!), 'it goes on');
    }),
  ),
);

/** Lends a server whose shell is this script: what it was asked to do is `$1`. */
async function withShell(
  script: string,
  use: (remote: Remote, server: SshServer) => Promise<void>,
  options: SftpOptions = {},
): Promise<void> {
  await withFolder(async (folder) => {
    const file = join(folder, 'shell');
    const lines = ['case "$1" in', '/usr/lib/openssh/sftp-server*) exec $1 ;;', 'esac', script];
    writeFileSync(file, `${lines.join('\n')}\n`);
    chmodSync(folder, 0o755);
    const config = [`ForceCommand sh ${file} "$SSH_ORIGINAL_COMMAND"`];
    await withSshd({ config, ownProgram: true }, (server) =>
      withRemote(server, { options }, (remote) => use(remote, server)),
    );
  });
}

checksums('can be had from a shell that knows neither quotes nor any other program', () =>
  withShell(
    'set -f; case "$1" in "sha256sum "*) exec $1 ;; esac; echo "no such command" >&2; exit 127',
    async (remote) => {
      const hashes = await putSome(remote, 2);
      assert.equal(sorted(await remote.sha256?.([...hashes.keys()])), sorted(hashes));
    },
  ),
);

for (const program of ['shasum -a 256', 'sha256 -r']) {
  const hash = 'for file in $paths; do set -- $(sha256sum $file); echo "$1 $file"; done';
  checksums(`can be had by ${program}`, () =>
    withShell(`paths=\${1#${program} }; [ "$paths" = "$1" ] && exit 127; ${hash}`, async (remote) => {
      const hashes = await putSome(remote, 2);
      for (let n = 0; n < 2; n += 1) {
        assert.equal(sorted(await remote.sha256?.([...hashes.keys()])), sorted(hashes));
      }
    }),
  );
}

checksums('cannot be had from a shell that refuses, and its reason is told without what it may hold', () =>
  withShell(`printf 'This account \\033[31mhas no shell\\nat all\\n' >&2; exit 1`, async (remote) => {
    const error = await noCommand(remote, await putSome(remote, 1));
    assert.match(error.hints.join('\n'), /: This account \?\[31mhas no shell\n/);
  }),
);

checksums('of files nobody asked for are passed over, and so is all else', () =>
  withShell(
    'echo "Welcome!"; for n in 1 2 3; do echo "$(echo $n | sha256sum) /etc/passwd"; done; exec $1',
    async (remote) => {
      const hashes = await putSome(remote, 2);
      assert.equal(sorted(await remote.sha256?.([...hashes.keys()])), sorted(hashes));
    },
  ),
);

checksums('are given up when the answer does not end', () =>
  withShell('exec yes', async (remote) => {
    const error = await failure(remote.sha256!([...(await putSome(remote, 1)).keys()]));
    assert.not.ok(error.retryable);
    assert.match(error.message, /^run a command on .*: its answer is too long$/);
  }),
);

checksums('are given up after a silence, and may be tried again', () =>
  withShell(
    'exec sleep 60',
    async (remote) => {
      const error = await failure(remote.sha256!([...(await putSome(remote, 1)).keys()]));
      assert.ok(error.retryable);
      assert.match(error.message, /nothing was heard/);
    },
    { silenceMs: 200 },
  ),
);

/** The next time this is done, it takes as long as it may need until it is cut off. */
const stall = '[ -e "$0.asked" ] || { : >"$0.asked"; exec sleep 60; }';
for (const [when, script] of [
  ['the first time', `${stall}; exec $1`],
  // To go by what it has said so far would be to take the objects for absent.
  ['when it has told some before', `[ -e "$0.told" ] || { : >"$0.told"; exec $1; }; ${stall}; exec $1`],
] as const) {
  checksums(`are asked for anew when the connection breaks meanwhile, ${when}`, () =>
    withShell(script, async (remote, server) => {
      const hashes = await putSome(remote, 1);
      const ask = () => remote.sha256!([...hashes.keys()]);
      if (when !== 'the first time') assert.equal(sorted(await ask()), sorted(hashes));
      const asking = failure(ask());
      const isAsked = () => descendantsOf(server.pid).some((pid) => commandOf(pid).startsWith('sleep'));
      while (!isAsked()) await sleep(5);
      server.dropConnections();
      const error = await asking;
      assert.ok(error.retryable, error.message);
      assert.equal(sorted(await ask()), sorted(hashes));
    }),
  );
}

checksums('count as told when the server does not say how its command ended', async () => {
  const bytes = Buffer.from('1');
  const command = (line: string) => `${sha256(bytes)}  ${line.split(' ')[1]}\n`;
  await withScriptedSftp({ command }, (server) =>
    withRemote(server, {}, async (remote) => {
      await remote.put('x', bytes);
      assert.equal(sorted(await remote.sha256?.(['x', 'absent'])), [['x', sha256(bytes)]]);
    }),
  );
});

checksums('cannot be had from a server that ends its command without a word', () =>
  withScriptedSftp({ command: () => '' }, (server) =>
    withRemote(server, {}, async (remote) => {
      await remote.put('x', Buffer.from('1'));
      await noCommand(remote, new Map([['x', '']]));
    }),
  ),
);

checksums('cannot be had from ProFTPD, which says so', () =>
  withProftpd({}, (server) =>
    withRemote(server, {}, async (remote) => {
      await noCommand(remote, await putSome(remote, 1));
    }),
  ),
);

checksums.run();
