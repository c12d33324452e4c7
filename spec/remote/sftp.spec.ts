import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { AuthContext } from 'ssh2';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError } from '../../lib/errors.ts';
import { MAX_GET_BYTES, type Remote } from '../../lib/remote/remote.ts';
import type { RemoteSettings } from '../../lib/remote/settings.ts';
import { openSftp, type SftpOptions } from '../../lib/remote/sftp.ts';
import { freePort } from '../helpers/free-port.ts';
import { childrenOf, commandOf, descendantsOf, signal } from '../helpers/processes.ts';
import { withProftpd } from '../helpers/proftpd.ts';
import { type ScriptedServer, withScriptedSftp } from '../helpers/scripted-sftp.ts';
import { skipTest } from '../helpers/skip.ts';
import { type SshServer, sshSettings, withSshd } from '../helpers/sshd.ts';

const MIB = 1024 * 1024;
/** What OpenSSH takes in one write. */
const PIECE = 255 * 1024;

const objects = suite('objects over SFTP');

for (const size of [PIECE - 1, PIECE, PIECE + 1, 4 * MIB - 1, 4 * MIB + 1]) {
  objects(`of ${size} bytes come back as they were put`, () =>
    withSshd({}, (server) =>
      withRemote(server, async (remote) => {
        const bytes = randomBytes(size);
        await remote.put('packs/ab/x', bytes);
        assert.ok(readFileSync(join(server.root, 'packs/ab/x')).equals(bytes));
        assert.ok((await remote.get('packs/ab/x'))?.equals(bytes));
        const range = { offset: size - 70_000, length: 100_000 };
        assert.ok((await remote.get('packs/ab/x', range))?.equals(bytes.subarray(-70_000)));
      }),
    ),
  );
}

for (const [title, path] of [
  ['absolute', null],
  ['absolute and missing, with folders above it', 'not/yet/there'],
  ['relative to the login folder', 'below/it'],
  ['the login folder itself', '.'],
] as const) {
  objects(`lie under a root that is ${title}`, () =>
    withSshd({}, async (server) => {
      const absolute = path === null ? server.root : join(server.loginFolder, path);
      const given = title.startsWith('absolute') ? absolute : (path ?? '');
      await withRemote(server, { path: given }, async (remote) => {
        assert.is(await remote.stat('a/x'), null);
        await remote.put('a/x', Buffer.from('12'));
        assert.is(readFileSync(join(absolute, 'a/x'), 'utf8'), '12');
        assert.equal(await names(remote), ['a/x']);
        assert.ok(remote.url.endsWith(given.startsWith('/') ? given : `/~/${given === '.' ? '' : given}`));
      });
    }),
  );
}

objects('come first whole and durable, then by their name', () =>
  withScriptedSftp({}, async (server) => {
    await withRemote(server, (remote) => remote.put('x', Buffer.alloc(70_000, 1)));
    const temporary = server.requests[2]?.split(' ')[1] ?? '';
    assert.match(temporary, /^\/r\/tmp\/t[a-z0-9]+-[0-9a-f]{16}$/);
    assert.equal(server.requests, [
      'channel',
      'mkdir /r/tmp',
      `open ${temporary}`,
      `write ${temporary} 0 31952`,
      `write ${temporary} 31952 31952`,
      `write ${temporary} 63904 6096`,
      `fstat ${temporary}`,
      `close ${temporary}`,
      `rename ${temporary} /r/x`,
    ]);
    assert.ok(server.files.get('/r/x')?.equals(Buffer.alloc(70_000, 1)));
  }),
);

objects('cost no round trip for their folders, which are asked for ahead and once', () =>
  withScriptedSftp({}, async (server) => {
    await withRemote(server, async (remote) => {
      for (const name of ['packs/ab/1', 'packs/ab/2', 'packs/cd/3']) await remote.put(name, Buffer.alloc(1));
    });
    const asked = server.requests.filter((request) => /^(mkdir|open)/.test(request));
    assert.equal(
      asked.map((request) => request.replace(/(\/tmp\/).*/, '$1')),
      [
        ...['/r/tmp', '/r/packs', '/r/packs/ab'].map((folder) => `mkdir ${folder}`),
        'open /r/tmp/',
        'open /r/tmp/',
        'mkdir /r/packs/cd',
        'open /r/tmp/',
      ],
    );
  }),
);

objects('are written through to the disk where the server can do that', () =>
  withProftpd({}, async (server) => {
    await withRemote(server, async (remote) => {
      await remote.put('first', Buffer.alloc(10)); // makes the folder
      await remote.put('x', Buffer.alloc(70_000));
    });
    const asked = server.requests().map((request) => request.split(' ')[0]);
    const steps = ['OPEN', 'WRITE', 'FSYNC', 'FSTAT', 'CLOSE', 'RENAME'];
    const done = asked.filter((step) => steps.includes(step ?? ''));
    const writes = ['WRITE', 'WRITE', 'WRITE'];
    assert.equal(done.slice(-8), ['OPEN', ...writes, 'FSYNC', 'FSTAT', 'CLOSE', 'RENAME']);
  }),
);

for (const what of ['write', 'fstat', 'close'] as const) {
  objects(`get no name when the ${what} fails, and leave nothing behind`, () =>
    withScriptedSftp({ answer: (asked) => (asked.startsWith(what) ? 4 : undefined) }, async (server) => {
      await withRemote(server, async (remote) => {
        assert.ok((await failure(remote.put('x', Buffer.alloc(70_000)))).retryable);
      });
      assert.equal([...server.files.keys()], []);
      assert.not.ok(server.requests.some((asked) => asked.startsWith('rename')));
      const closes = server.requests.filter((asked) => asked.startsWith('close'));
      assert.is(closes.length, 1, 'the handle is closed once');
    }),
  );
}

objects('get no name when the server holds fewer bytes than were sent', () =>
  withScriptedSftp({ sizeOf: (bytes) => bytes.length - 1 }, async (server) => {
    await withRemote(server, async (remote) => {
      const error = await failure(remote.put('x', Buffer.alloc(100)));
      assert.ok(error.retryable);
      assert.match(error.message, /99 of 100 bytes/);
    });
    assert.equal([...server.files.keys()], []);
  }),
);

objects('replace others where a rename does not', () =>
  withScriptedSftp({}, async (server) => {
    await withRemote(server, async (remote) => {
      await remote.put('x', Buffer.from('old'));
      await remote.put('x', Buffer.from('new'));
    });
    assert.equal([...server.files], [['/r/x', Buffer.from('new')]]);
  }),
);

objects('stay as they were where a rename does not replace them and the new one gets no name', () => {
  let broken = false;
  const answer = (asked: string) =>
    broken && /^rename \S+-[0-9a-f]{16} \/r\/x$/.test(asked) ? 4 : undefined;
  return withScriptedSftp({ answer }, async (server) => {
    await withRemote(server, async (remote) => {
      await remote.put('x', Buffer.from('old'));
      broken = true;
      await failure(remote.put('x', Buffer.from('new')));
    });
    assert.equal([...server.files], [['/r/x', Buffer.from('old')]]);
  });
});

objects('are put, replaced and listed by a ProFTPD without extensions', () =>
  withProftpd({ config: ['SFTPExtensions -posixRename -fsync -statvfs'] }, (server) =>
    withRemote(server, async (remote) => {
      await remote.put('a/x', Buffer.from('old'));
      await Promise.all(['1', '2', '3'].map((text) => remote.put('a/x', Buffer.from(text))));
      assert.match(String(await remote.get('a/x')), /^[123]$/);
      assert.equal(await names(remote), ['a/x']);
      assert.equal(readdirSync(join(server.root, 'tmp')), []);
    }),
  ),
);

objects('larger than any of ours are not fetched, but a range of them is', () =>
  withSshd({}, (server) =>
    withRemote(server, async (remote) => {
      await writeFile(join(server.root, 'huge'), 'begins');
      await truncate(join(server.root, 'huge'), MAX_GET_BYTES + 1);
      const error = await failure(remote.get('huge'));
      assert.is(error.retryable, false);
      assert.is(String(await remote.get('huge', { offset: 0, length: 6 })), 'begins');
      const rest = { offset: MAX_GET_BYTES - 9, length: 10 * MAX_GET_BYTES };
      assert.is((await remote.get('huge', rest))?.length, 10);
    }),
  ),
);

objects('are listed among files that are none of ours', () =>
  withSshd({}, (server) =>
    withRemote(server, async (remote) => {
      await mkdir(join(server.root, 'a/b/c'), { recursive: true });
      await mkdir(join(server.root, 'with space/x'), { recursive: true });
      await writeFile(join(server.root, 'with space/x/y'), '');
      await writeFile(join(server.root, 'späße'), '');
      await writeFile(join(server.root, 'a/b/c/d'), '');
      execFileSync('mkfifo', [join(server.root, 'a/fifo')]);
      assert.equal(await names(remote), ['a/b/c/d']);
    }),
  ),
);

objects('by the thousand in hundreds of folders are all listed', () =>
  withSshd({}, (server) =>
    withRemote(server, async (remote) => {
      const all = Array.from({ length: 2000 }, (_, n) => `packs/${(n % 200).toString(16)}/${n}`);
      for (const name of all) {
        await mkdir(join(server.root, name, '..'), { recursive: true });
        await writeFile(join(server.root, name), '');
      }
      assert.equal(await names(remote), all.toSorted());
      for await (const object of remote.list('packs/')) {
        assert.ok(object);
        break; // a reader may stop early
      }
    }),
  ),
);

for (const [title, list] of [
  ['names', (part: number) => Array.from({ length: 50 }, (_, n) => `p${part}-${n}`)],
  ['names that are none of ours', () => ['späße', '.hidden', '..', 'a/../../b']],
  ['nothing', () => []],
] as const) {
  objects(`that a server lists without end are refused: a folder of ${title}`, () => {
    let part = 0;
    const script = {
      list() {
        part += 1;
        return list(part);
      },
    };
    return withScriptedSftp(script, (server) =>
      withRemote(server, { options: { maxListed: 200 } }, async (remote) => {
        const error = await failure(Array.fromAsync(remote.list('packs/')));
        assert.not.ok(error.retryable);
        assert.is(error.message, 'list packs: there are more than 200 names');
        assert.ok(error.hints.length > 0);
      }),
    );
  });
}

objects.run();

const lanes = suite('the channels of an SFTP remote');

lanes('are several a connection, and few connections', () =>
  withSshd({}, (server) =>
    withRemote(server, { settings: { lanes: 4, maxConnections: 4 } }, async (remote) => {
      await remote.put('first', Buffer.alloc(1));
      assert.is(server.connections(), 1);
      const seen = await putAtOnce(remote, 4, server);
      assert.ok(seen >= 2 && seen <= 3, `${seen} connections for four transfers`);
    }),
  ),
);

lanes('are opened before they are wanted where that is asked for', () =>
  withScriptedSftp({}, (server) =>
    withRemote(server, { settings: { lanes: 4, maxConnections: 4 } }, async (remote) => {
      await remote.stat('x');
      const opened = () => server.requests.filter((asked) => asked === 'channel').length;
      assert.is(opened(), 1);
      remote.prepare?.(3);
      await until(() => opened() === 3);
      assert.is(server.ciphers.length, 2, 'connections');
      remote.prepare?.(2);
      await putAtOnce(remote, 3, server, 100_000);
      assert.is(opened(), 3, 'no more than were wanted');
    }),
  ),
);

lanes('are not opened for what is small', () =>
  withScriptedSftp({}, (server) =>
    withRemote(server, { settings: { lanes: 4, maxConnections: 4 } }, async (remote) => {
      await putAtOnce(remote, 6, server, 64 * 1024);
      assert.is(server.requests.filter((asked) => asked === 'channel').length, 1);
    }),
  ),
);

lanes('are opened beside another connection: neither waits for the other', () =>
  withScriptedSftp({ maxChannels: 1, tooMany: 'says nothing' }, (server) =>
    withRemote(server, { settings: { lanes: 4, maxConnections: 2 } }, async (remote) => {
      await remote.stat('x');
      remote.prepare?.(3);
      await until(() => server.ciphers.length === 2);
    }),
  ),
);

lanes('stay on as many connections as they may have', () =>
  withSshd({}, (server) =>
    withRemote(server, { settings: { lanes: 6, maxConnections: 1 } }, async (remote) => {
      assert.is(await putAtOnce(remote, 6, server), 1);
    }),
  ),
);

lanes('are as many as connections where a connection takes only one', () =>
  withSshd({ maxSessions: 1 }, (server) =>
    withRemote(server, { settings: { lanes: 4, maxConnections: 3 } }, async (remote) => {
      // Where logging in takes longer than what is sent, the first time may do with fewer.
      let most = 0;
      for (let time = 0; time < 10 && most < 3; time += 1) {
        most = Math.max(most, await putAtOnce(remote, 4, server));
      }
      assert.is(most, 3);
      assert.equal((await names(remote)).length, 4);
    }),
  ),
);

lanes('are one where there is one of each', () =>
  withSshd({ maxSessions: 1 }, (server) =>
    withRemote(server, { settings: { lanes: 4, maxConnections: 1 } }, async (remote) => {
      assert.is(await putAtOnce(remote, 4, server), 1);
      assert.ok(await remote.stat('p1'));
    }),
  ),
);

lanes('make do with the one connection that others to the same account have left', () =>
  withProftpd({ config: ['MaxClientsPerUser 3'] }, (server) =>
    withRemote(server, async (first) =>
      withRemote(server, async (second) => {
        await Promise.all([first.stat('x'), second.stat('x')]);
        await withRemote(server, { settings: { lanes: 4, maxConnections: 4 } }, async (remote) => {
          await putAtOnce(remote, 4, server);
          assert.equal((await names(remote)).length, 4);
        });
      }),
    ),
  ),
);

for (const [title, limit, withServer, settings] of [
  [
    'with one session a connection',
    2,
    (use: (server: SshServer) => Promise<void>) => withSshd({ maxSessions: 1 }, use),
    { lanes: 4, maxConnections: 2 },
  ],
  [
    'of a ProFTPD with one connection and two channels',
    2,
    (use: (server: SshServer) => Promise<void>) =>
      withProftpd({ config: ['MaxClientsPerUser 1', 'SFTPMaxChannels 2'] }, use),
    { lanes: 4, maxConnections: 4 },
  ],
  [
    'none where it is we who open no more',
    null,
    (use: (server: SshServer) => Promise<void>) => withSshd({}, use),
    { lanes: 1, maxConnections: 4 },
  ],
] as const) {
  lanes(`say how many the server gives when a put has to wait: ${title}`, () =>
    withServer((server) =>
      withRemote(server, { settings }, async (remote) => {
        const told: number[] = [];
        const onLimit = (puts: number) => void told.push(puts);
        const puts = () => [1, 2, 3, 4].map((n) => remote.put(`p${n}`, Buffer.alloc(8 * MIB), { onLimit }));
        await Promise.allSettled(puts()); // ProFTPD ends a connection that asks for one channel more
        for (let time = 0; time < 3; time += 1) await Promise.all(puts());
        assert.is(told.at(-1) ?? null, limit);
      }),
    ),
  );
}

lanes('wait while others hold all connections of the account', () =>
  withProftpd({ config: ['MaxClientsPerUser 1'] }, (server) =>
    withRemote(server, async (other) => {
      await other.stat('x');
      await withRemote(server, async (remote) => {
        const error = await failure(remote.stat('x'));
        assert.ok(error.retryable);
        assert.match(error.message, /: the server takes no more connections$/);
        assert.ok(error.hints.length > 0);
        await other.close();
        await until(() => server.connections() === 0);
        assert.is(await remote.stat('x'), null);
      });
    }),
  ),
);

lanes('ask once for what a server refuses', () =>
  withScriptedSftp({ maxChannels: 1 }, (server) =>
    withRemote(server, { settings: { lanes: 4, maxConnections: 1 } }, async (remote) => {
      await putAtOnce(remote, 8, server, 100_000);
      assert.is(server.requests.filter((asked) => asked === 'channel').length, 2);
    }),
  ),
);

lanes('ask once for what a server hangs up over', () =>
  withScriptedSftp({ maxChannels: 1, tooMany: 'hangs up' }, (server) =>
    withRemote(server, { settings: { lanes: 4, maxConnections: 1 } }, async (remote) => {
      const puts = () => Array.from({ length: 8 }, (_, n) => remote.put(`p${n}`, Buffer.alloc(100_000)));
      await Promise.allSettled(puts());
      for (let time = 0; time < 3; time += 1) await Promise.all(puts());
      assert.is(server.requests.filter((asked) => asked === 'channel').length, 3);
      assert.is(server.ciphers.length, 2, 'two connections were made');
    }),
  ),
);

for (const [what, tooMany, connections] of [
  ['refused', undefined, 1],
  ['hung up over', 'hangs up', null],
  ['did not answer', 'says nothing', 2],
] as const) {
  lanes(`ask again after a while for a channel that the server ${what} once`, () => {
    let maxChannels = 1;
    const script = {
      get maxChannels() {
        return maxChannels;
      },
      ...(tooMany && { tooMany }),
    };
    return withScriptedSftp(script, (server) => {
      const given = {
        settings: { lanes: 4, maxConnections: 1 },
        options: { askAgainMs: 20, silenceMs: 200 },
      };
      return withRemote(server, given, async (remote) => {
        const asked = () => server.requests.filter((request) => request === 'channel').length;
        const puts = () => Array.from({ length: 4 }, (_, n) => remote.put(`p${n}`, Buffer.alloc(MIB)));
        while (asked() < 2) await Promise.allSettled(puts());
        maxChannels = 4;
        // Where it says nothing, it takes a while until that is noticed.
        for (const before = asked(); asked() < before + 2; ) await Promise.allSettled(puts());
        await Promise.all(puts());
        if (connections !== null) assert.is(server.ciphers.length, connections);
      });
    });
  });
}

lanes('ask again for a second connection after the first has ended', () => {
  let strict = true;
  let letIn = 0;
  const authenticate = (context: AuthContext) => {
    const isOffer = context.method === 'publickey' && context.signature === undefined;
    if (strict && letIn > 0) return context.reject(['none']);
    if (isOffer) return context.accept();
    letIn += 1;
    context.accept();
  };
  return withScriptedSftp({ authenticate }, (server) =>
    withRemote(server, { settings: { lanes: 4, maxConnections: 2 } }, async (remote) => {
      await putAtOnce(remote, 4, server, MIB);
      assert.is(letIn, 1);
      strict = false;
      server.dropConnections();
      await failure(remote.stat('x'));
      await putAtOnce(remote, 4, server, MIB);
      assert.is(letIn, 3);
    }),
  );
});

lanes('ask again for a second connection after a while', () => {
  let letsIn = true;
  const authenticate = (context: AuthContext) => (letsIn ? context.accept() : context.reject(['none']));
  return withScriptedSftp({ authenticate }, (server) => {
    const given = { settings: { lanes: 4, maxConnections: 2 }, options: { askAgainMs: 0 } };
    return withRemote(server, given, async (remote) => {
      await remote.stat('x');
      letsIn = false;
      await putAtOnce(remote, 4, server, MIB);
      await until(() => server.connections() === 1); // the one that was refused may be on its way out
      letsIn = true;
      for (let time = 0; time < 20 && server.connections() < 2; time += 1) {
        await putAtOnce(remote, 4, server, MIB);
      }
      assert.is(server.connections(), 2);
    });
  });
});

lanes('are free again for those who wait when a call that waits is aborted', () =>
  withSshd({ maxSessions: 1 }, (server) =>
    withRemote(server, { settings: { lanes: 1, maxConnections: 1 } }, async (remote) => {
      const stop = new AbortController();
      await putAtOnce(remote, 2, server, 1); // now it is known that there will be one channel
      const first = remote.put('first', Buffer.alloc(20 * MIB));
      const second = remote.put('second', Buffer.alloc(10), { signal: stop.signal });
      const third = remote.put('third', Buffer.alloc(10));
      let busy = true;
      const done = first.then(() => {
        busy = false;
      });
      stop.abort(new Error('not needed any more'));
      assert.is(await second.catch((error: unknown) => error), stop.signal.reason);
      assert.ok(busy, 'it did not wait for its turn to say so');
      await Promise.all([done, third]);
      assert.equal(await names(remote), ['first', 'p0', 'p1', 'third']);
    }),
  ),
);

lanes.run();

const trouble = suite('an SFTP remote in trouble');

trouble('whose connection breaks in the middle of a put: nothing by that name, and the next put works', () =>
  withSshd({}, (server) =>
    withRemote(server, async (remote) => {
      await remote.put('before', Buffer.from('1'));
      const error = await failure(
        remote.put('broken', Buffer.alloc(20 * MIB), { onSent: () => server.dropConnections() }),
      );
      assert.ok(error.retryable, error.message);
      assert.not.ok(existsSync(join(server.root, 'broken')));
      await remote.put('broken', Buffer.from('whole'));
      assert.is(String(await remote.get('broken')), 'whole');
      assert.equal(await names(remote), ['before', 'broken']);
    }),
  ),
);

trouble('whose every lane breaks at once fails every call, and goes on', () =>
  withSshd({}, (server) =>
    withRemote(server, async (remote) => {
      let dropped = false;
      const onSent = () => {
        if (!dropped) server.dropConnections();
        dropped = true;
      };
      const puts = [1, 2, 3, 4, 5, 6].map((n) => remote.put(`p${n}`, Buffer.alloc(20 * MIB), { onSent }));
      const results = await Promise.allSettled(puts);
      const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
      assert.ok(errors.length >= 1);
      assert.ok(errors.every((error) => error instanceof RemoteError && error.retryable));
      await putAtOnce(remote, 4, server);
    }),
  ),
);

trouble('whose server exchanges keys again and again goes on with all its lanes', () =>
  withSshd({ config: ['RekeyLimit 300K'] }, (server) =>
    withRemote(server, { settings: { lanes: 4, maxConnections: 2 } }, async (remote) => {
      const bytes = Array.from({ length: 6 }, (_, n) => Buffer.alloc(2 * MIB, n));
      await Promise.all(bytes.map((one, n) => remote.put(`x${n}`, one)));
      for (const [n, one] of bytes.entries()) assert.ok((await remote.get(`x${n}`))?.equals(one));
    }),
  ),
);

trouble('whose repository has gone is not begun anew', () =>
  withSshd({}, (server) =>
    withRemote(server, async (remote) => {
      await remote.put('packs/ab/x', Buffer.from('1'));
      renameSync(server.root, `${server.root}.unplugged`);
      const error = await failure(remote.put('packs/cd/y', Buffer.from('2')));
      assert.not.ok(error.retryable);
      assert.match(error.message, /the folder of the repository is gone$/);
      assert.not.ok(existsSync(server.root));
      renameSync(`${server.root}.unplugged`, server.root);
      rmSync(join(server.root, 'packs'), { recursive: true });
      await remote.put('packs/ab/z', Buffer.from('3'));
      assert.ok(await remote.stat('packs/ab/z'), 'folders below it are made anew');
    }),
  ),
);

trouble('whose SFTP program ends opens another on the same connection', () =>
  withSshd({ ownProgram: true }, (server) =>
    withRemote(server, { settings: { lanes: 1, maxConnections: 1 } }, async (remote) => {
      await remote.put('x', Buffer.from('1'));
      const [connection] = childrenOf(server.pid);
      const onSent = () => {
        for (const program of sftpPrograms(server)) signal(program, 'SIGKILL');
      };
      const error = await failure(remote.put('y', Buffer.alloc(20 * MIB), { onSent }));
      assert.ok(error.retryable, error.message);
      await remote.put('y', Buffer.from('2'));
      assert.equal(childrenOf(server.pid), [connection]);
    }),
  ),
);

trouble('that stops answering is given up, and may be tried again', () =>
  withSshd({}, (server) =>
    withRemote(server, { options: { silenceMs: 1000 } }, async (remote) => {
      await remote.put('x', Buffer.from('1'));
      const frozen = descendantsOf(server.pid);
      for (const pid of frozen) signal(pid, 'SIGSTOP');
      const error = await failure(remote.put('y', Buffer.alloc(MIB)));
      assert.ok(error.retryable);
      assert.match(error.message, /no answer/);
      await remote.put('y', Buffer.from('2'));
      for (const pid of frozen) assert.ok(descendantsOf(server.pid).includes(pid), 'it was a new connection');
    }),
  ),
);

trouble('that goes quiet while nothing is asked of it is not given up', () =>
  withSshd({}, (server) =>
    withRemote(server, { options: { silenceMs: 800 } }, async (remote) => {
      await remote.put('x', Buffer.from('1'));
      const [connection] = childrenOf(server.pid);
      await new Promise((resolve) => setTimeout(resolve, 2000));
      await remote.put('y', Buffer.from('2'));
      assert.equal(childrenOf(server.pid), [connection], 'asked for a sign of life, it gave one');
    }),
  ),
);

trouble('is not given up because this machine slept', () =>
  withSshd({}, (server) =>
    withRemote(server, { options: { silenceMs: 400 } }, async (remote) => {
      await remote.put('x', Buffer.from('1'));
      const [connection] = childrenOf(server.pid);
      // Nothing runs here any more, as in a machine that sleeps: every timer is late when it wakes.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
      await remote.put('y', Buffer.from('2'));
      assert.equal(childrenOf(server.pid), [connection]);
    }),
  ),
);

trouble('whose SFTP program hangs, though the connection lives, is given up too', () =>
  withSshd({ ownProgram: true }, (server) =>
    withRemote(server, { options: { silenceMs: 600 } }, async (remote) => {
      await remote.put('x', Buffer.from('1'));
      for (const program of sftpPrograms(server)) signal(program, 'SIGSTOP');
      const error = await failure(remote.stat('x'));
      assert.ok(error.retryable);
      assert.match(error.message, /no answer/);
      assert.ok(await remote.stat('x'));
    }),
  ),
);

trouble('where nobody listens may be tried again', async () => {
  const port = await freePort();
  await withSshd({}, (server) =>
    withRemote({ ...server, port }, async (remote) => {
      const error = await failure(remote.get('x'));
      assert.ok(error.retryable);
      assert.match(error.message, new RegExp(`^connect to ${server.user}@\\[127.0.0.1\\]:${port}: nobody`));
    }),
  );
});

trouble('whose name is unknown may be tried again, and the name be checked', () =>
  withSshd({}, (server) =>
    withRemote({ ...server, host: 'no-such-host.invalid' }, async (remote) => {
      const error = await failure(remote.get('x'));
      assert.ok(error.retryable);
      assert.match(error.message, /no-such-host.invalid.*(no host of this name|looked up)/);
    }),
  ),
);

trouble('that offers no SFTP says so', () =>
  withSshd({ config: ['ForceCommand /bin/false'] }, (server) =>
    withRemote(server, async (remote) => {
      const error = await failure(remote.get('x'));
      assert.is(error.retryable, false);
      assert.match(error.message, /does not open an SFTP session/);
    }),
  ),
);

trouble('with no permission to write is final, and names the object', () =>
  withSshd({ sftpArguments: ['-R'] }, (server) =>
    withRemote(server, async (remote) => {
      await writeFile(join(server.root, 'there'), '1');
      for (const [doing, call] of [
        ['put packs/ab/x', () => remote.put('packs/ab/x', Buffer.from('1'))],
        ['remove there', () => remote.remove('there')],
      ] as const) {
        const error = await failure(call());
        assert.is(error.retryable, false);
        assert.is(error.message, `${doing}: permission denied`);
      }
      assert.is(String(await remote.get('there')), '1');
    }),
  ),
);

trouble('with a file where a folder has to be says which', () =>
  withSshd({}, (server) =>
    withRemote(server, async (remote) => {
      await writeFile(join(server.root, 'packs'), '');
      const error = await failure(remote.put('packs/ab/x', Buffer.from('1')));
      assert.is(error.retryable, false);
      assert.match(error.message, new RegExp(`${server.root}/packs: a file of this name is in the way`));
      assert.equal(readdirSync(join(server.root, 'tmp')), []);
    }),
  ),
);

trouble('that speaks of a quota is final and says what to do', () =>
  withScriptedSftp(
    { answer: (asked) => (asked.startsWith('write') ? 'Quota exceeded' : undefined) },
    (server) =>
      withRemote(server, async (remote) => {
        const error = await failure(remote.put('x', Buffer.alloc(10)));
        assert.is(error.retryable, false);
        assert.is(error.message, 'put x: no space left on the server');
      }),
  ),
);

trouble('without space is final, keeps what it has, and goes on when there is space again', () =>
  withSshd({}, async (server) => {
    if (!mountSmallDisk(server.root)) return skipTest('a full disk behind SFTP', 'a tmpfs cannot be mounted');
    try {
      await withRemote(server, async (remote) => {
        await remote.put('small', Buffer.alloc(300_000, 1));
        const error = await failure(remote.put('large', Buffer.alloc(2 * MIB)));
        assert.is(error.retryable, false);
        assert.is(error.message, 'put large: no space left on the server');
        assert.ok(error.hints.length > 0);
        assert.equal(await names(remote), ['small']);
        assert.equal(readdirSync(join(server.root, 'tmp')), []);
        await rm(join(server.root, 'small'));
        await remote.put('medium', Buffer.alloc(600_000, 2));
      });
    } finally {
      execFileSync('umount', [server.root]);
    }
  }),
);

trouble('that is closed ends its connections and the calls under way', () =>
  withSshd({}, (server) =>
    withRemote(server, async (remote) => {
      const calls = [remote.put('x', Buffer.alloc(20 * MIB)), remote.get('y')].map(failure);
      await remote.close();
      for (const error of await Promise.all(calls)) assert.is(error.retryable, false);
      await until(() => server.connections() === 0);
      assert.not.ok(existsSync(join(server.root, 'x')));
    }),
  ),
);

trouble('that is closed while it connects fails the call that waits for that', async () => {
  const mute = createServer(() => {});
  mute.listen(0, '127.0.0.1');
  await once(mute, 'listening');
  const { port } = mute.address() as AddressInfo;
  await withSshd({}, (server) =>
    withRemote({ ...server, port }, async (remote) => {
      const call = failure(remote.get('x'));
      await once(mute, 'connection');
      await remote.close();
      assert.match((await call).message, /closed/);
    }),
  );
  mute.close();
});

trouble('that is closed before it was used does not connect', () =>
  withSshd({}, (server) =>
    withRemote(server, async (remote) => {
      await remote.close();
      assert.is((await failure(remote.get('x'))).retryable, false);
      assert.is(server.connections(), 0);
    }),
  ),
);

trouble.run();

interface Given {
  readonly settings?: Partial<RemoteSettings>;
  readonly options?: SftpOptions;
  readonly path?: string;
}
type Use = (remote: Remote) => Promise<unknown>;

async function withRemote(server: SshServer | ScriptedServer, ...rest: [Use] | [Given, Use]): Promise<void> {
  const [given, use] = rest.length === 2 ? rest : [{}, rest[0]];
  const { user, host, port, root } = server;
  const location = { kind: 'sftp', user, host, port, path: given.path ?? root } as const;
  const remote = await openSftp(location, sshSettings(server, given.settings), given.options);
  try {
    await use(remote);
  } finally {
    await remote.close();
  }
}

/** Puts `count` objects at the same time; @returns how many connections were open at most. */
async function putAtOnce(
  remote: Remote,
  count: number,
  server: SshServer,
  sizeBytes = 8 * MIB,
): Promise<number> {
  let connections = 0;
  const onSent = () => {
    connections = Math.max(connections, server.connections());
  };
  await Promise.all(
    Array.from({ length: count }, (_, n) => remote.put(`p${n}`, Buffer.alloc(sizeBytes, n), { onSent })),
  );
  return connections;
}

async function names(remote: Remote): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of remote.list('')) found.push(name);
  return found.sort();
}

async function failure(promise: Promise<unknown>): Promise<RemoteError> {
  const thrown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  assert.instance(thrown, RemoteError);
  return thrown as RemoteError;
}

function sftpPrograms(server: SshServer): number[] {
  return descendantsOf(server.pid).filter((pid) => commandOf(pid).includes('sftp-server'));
}

function mountSmallDisk(folder: string): boolean {
  if (userInfo().uid !== 0) return false;
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
