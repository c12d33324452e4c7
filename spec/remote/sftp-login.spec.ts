import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, copyFile, readFile, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { InterruptedError, RemoteError } from '../../lib/errors.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import type { HostKeyQuestion, RemoteSettings, SshSettings } from '../../lib/remote/settings.ts';
import { fingerprint } from '../../lib/remote/sftp/known-hosts.ts';
import { openSftp } from '../../lib/remote/sftp.ts';
import { type ProftpdServer, withProftpd } from '../helpers/proftpd.ts';
import { withScriptedSftp } from '../helpers/scripted-sftp.ts';
import { makeKey, type SshServer, sshSettings, withSshd } from '../helpers/sshd.ts';

const SECRET = 'correct horse: battery@staple';

const hostKey = suite('the host key of an SFTP server');

hostKey('that is known lets the work begin', () =>
  withSshd({}, async (server) => {
    await withRemote(server, {}, async (remote) => {
      await remote.put('x', Buffer.from('1'));
      assert.is(server.connections(), 1);
    });
  }),
);

hostKey('that is known by its hashed name too', () =>
  withSshd({}, async (server) => {
    execFileSync('ssh-keygen', ['-H', '-f', server.knownHostsFile], { stdio: 'ignore' });
    assert.not.match(await readFile(server.knownHostsFile, 'utf8'), /127/);
    await withRemote(server, {}, (remote) => remote.put('x', Buffer.from('1')));
  }),
);

hostKey('is asked for in the kind that is known', () =>
  withSshd({ hostKeyTypes: ['ed25519', 'ecdsa', 'rsa'] }, async (server) => {
    for (const line of server.hostKeyLines) {
      await writeFile(server.knownHostsFile, `${line}\n`);
      await withRemote(server, {}, async (remote) => assert.is(await remote.get('x'), null));
    }
  }),
);

hostKey('that is not known is shown, and refused without a yes', () =>
  withSshd({}, async (server) => {
    await unlink(server.knownHostsFile);
    const asked: HostKeyQuestion[] = [];
    const confirmHostKey = async (question: HostKeyQuestion) => {
      asked.push(question);
      return false;
    };
    await withRemote(server, { confirmHostKey }, async (remote) => {
      const [one, two] = await Promise.all([failure(remote.get('x')), failure(remote.stat('x'))]);
      assert.is(one, two, 'both learn of the one answer');
      assert.is(one.retryable, false);
      assert.equal(asked, [questionOf(server)]);
      assert.ok(one.message.includes(fingerprintOf(server)));
      assert.ok(one.hints.some((hint) => hint.includes(server.knownHostsFile)));
      await failure(remote.put('y', Buffer.from('y')));
      assert.is(asked.length, 1, 'nobody is asked twice');
    });
    assert.is(existsSync(server.knownHostsFile), false);
  }),
);

hostKey('that a person accepts is known from then on', () =>
  withSshd({}, async (server) => {
    await unlink(server.knownHostsFile);
    let asked = 0;
    const confirmHostKey = async () => {
      asked += 1;
      return true;
    };
    for (const name of ['x', 'y']) {
      await withRemote(server, { confirmHostKey }, (remote) =>
        Promise.all([remote.put(name, Buffer.from('1')), remote.put(`${name}2`, Buffer.from('2'))]),
      );
    }
    assert.is(asked, 1);
    assert.is(await readFile(server.knownHostsFile, 'utf8'), `${server.hostKeyLines[0]}\n`);
    assert.is((await stat(server.knownHostsFile)).mode & 0o777, 0o600);
  }),
);

hostKey('is looked for in ~/.ssh/known_hosts unless another file is named', () =>
  withSshd({}, async (server) => {
    await copyFile(server.knownHostsFile, join(server.home, '.ssh', 'known_hosts'));
    await withRemote(server, { knownHostsFile: null }, async (remote) =>
      assert.is(await remote.get('x'), null),
    );
  }),
);

hostKey('that has changed is refused, loudly, whatever anybody says', () =>
  withSshd({ hostKeyTypes: ['ed25519', 'rsa'] }, async (server) => {
    const other = makeKey(join(server.home, 'other'), 'ed25519');
    await writeFile(server.knownHostsFile, `# a remark\n[127.0.0.1]:${server.port} ${other}\n`);
    await withRemote(server, { confirmHostKey: async () => true }, async (remote) => {
      const error = await failure(remote.get('x'));
      assert.is(error.retryable, false);
      assert.match(error.message, /HAS CHANGED/);
      assert.ok(error.message.includes(fingerprintOf(server)), 'what it shows');
      assert.ok(error.message.includes(`${server.knownHostsFile}:2`), 'what expects another');
      assert.is(error.hints.length, 3);
    });
    assert.is((await readFile(server.knownHostsFile, 'utf8')).split('\n').length, 3, 'nothing was added');
  }),
);

hostKey('that is revoked is refused even where it is known', () =>
  withSshd({}, async (server) => {
    const [, type, key] = (server.hostKeyLines[0] ?? '').split(' ');
    await appendFile(server.knownHostsFile, `@revoked * ${type} ${key}\n`);
    await withRemote(server, { confirmHostKey: async () => true }, async (remote) => {
      const error = await failure(remote.get('x'));
      assert.is(error.retryable, false);
      assert.match(error.message, /REVOKED/);
    });
  }),
);

hostKey('may be known under the alias of ~/.ssh/config', () =>
  withSshd({}, async (server) => {
    const config = `Host box\n HostName 127.0.0.1\n Port ${server.port}\n User ${server.user}\n HostKeyAlias Storage\n`;
    await writeFile(join(server.home, '.ssh', 'config'), config);
    const [, ...key] = (server.hostKeyLines[0] ?? '').split(' ');
    await writeFile(server.knownHostsFile, `storage ${key.join(' ')}\n`);
    const location = { kind: 'sftp', user: null, host: 'box', port: null, path: server.root } as const;
    const remote = await openSftp(location, sshSettings(server));
    await remote.put('x', Buffer.from('1'));
    await remote.close();
  }),
);

hostKey.run();

const login = suite('logging in to an SFTP server');

for (const type of ['ed25519', 'ecdsa', 'rsa']) {
  for (const passphrase of ['', SECRET]) {
    login(`with an ${type} key${passphrase && ' under a passphrase'} works, and asks once at most`, () =>
      withSshd({}, async (server) => {
        const file = join(server.home, 'id');
        await appendFile(join(server.home, '..', 'authorized_keys'), `${makeKey(file, type, passphrase)}\n`);
        await unlink(`${file}.pub`);
        const asked: string[] = [];
        const ask = async (path: string) => {
          asked.push(path);
          return passphrase;
        };
        await withRemote(server, { identityFiles: [file], passphrase: ask }, async (remote) => {
          await remote.put('x', Buffer.from('1'));
          server.dropConnections();
          await failure(remote.put('y', Buffer.alloc(1_000_000)));
          await remote.put('y', Buffer.from('2'));
        });
        assert.equal(asked, passphrase === '' ? [] : [file]);
      }),
    );
  }
}

login('with an old PEM key under a passphrase works', () =>
  withSshd({}, async (server) => {
    const file = join(server.home, 'id');
    const line = makeKey(file, 'rsa', SECRET);
    execFileSync('ssh-keygen', ['-q', '-p', '-m', 'PEM', '-P', SECRET, '-N', SECRET, '-f', file]);
    assert.match(await readFile(file, 'utf8'), /ENCRYPTED/);
    await unlink(`${file}.pub`);
    await appendFile(join(server.home, '..', 'authorized_keys'), `${line}\n`);
    await withRemote(server, { identityFiles: [file], passphrase: async () => SECRET }, (remote) =>
      remote.put('x', Buffer.from('1')),
    );
  }),
);

login('asks for no passphrase of a key the server does not want', () =>
  withSshd({}, async (server) => {
    const unwanted = join(server.home, 'unwanted');
    makeKey(unwanted, 'ed25519', SECRET);
    await unlink(`${unwanted}.pub`); // the key file tells the public half itself
    const passphrase = async () => {
      throw new Error('nobody was to be asked');
    };
    await withRemote(server, { identityFiles: [unwanted, server.identityFile], passphrase }, (remote) =>
      remote.put('x', Buffer.from('1')),
    );
    await withRemote(server, { identityFiles: [unwanted], passphrase }, async (remote) => {
      assert.match((await failure(remote.get('x'))).message, new RegExp(`refused were ${unwanted}$`));
    });
  }),
);

login('goes on to the next key when the passphrase is wrong', () =>
  withSshd({ passphrase: SECRET }, async (server) => {
    const second = join(server.home, 'second');
    await appendFile(join(server.home, '..', 'authorized_keys'), `${makeKey(second, 'ed25519')}\n`);
    const settings = { identityFiles: [server.identityFile, second], passphrase: async () => 'wrong' };
    await withRemote(server, settings, (remote) => remote.put('x', Buffer.from('1')));
  }),
);

login('with nothing but a wrong passphrase says so, and not which', () =>
  withSshd({ passphrase: SECRET }, async (server) => {
    await withRemote(server, { passphrase: async () => 'wr0ng-s3cret' }, async (remote) => {
      const error = await failure(remote.get('x'));
      assert.is(error.retryable, false);
      assert.ok(error.message.includes(`${server.identityFile} (wrong passphrase)`), error.message);
      assert.not.match(told(error), /wr0ng-s3cret/);
    });
  }),
);

login('stops when the person who is asked for a passphrase wants to', () =>
  withSshd({ passphrase: SECRET }, async (server) => {
    const stop = new InterruptedError('stop');
    const passphrase = async () => {
      throw stop;
    };
    await withRemote(server, { passphrase }, async (remote) => {
      const thrown = await remote.get('x').catch((error: unknown) => error);
      assert.is(thrown, stop);
    });
  }),
);

login('finds the key of ~/.ssh/config, and the usual ones without it', () =>
  withSshd({}, async (server) => {
    const copy = async (name: string) => copyFile(server.identityFile, join(server.home, '.ssh', name));
    await copy('special');
    await writeFile(join(server.home, '.ssh', 'config'), 'Host 127.0.0.1\n  IdentityFile ~/.ssh/special\n');
    const use = (remote: Remote) => remote.put('x', Buffer.from('1'));
    await withRemote(server, { identityFiles: [] }, use);
    await unlink(join(server.home, '.ssh', 'config'));
    await withRemote(server, { identityFiles: [] }, async (remote) => {
      const error = await failure(remote.get('x'));
      assert.match(error.message, /log in to .*: nothing to offer/);
      assert.match(told(error), /SKYLOCK_SSH_IDENTITY/);
    });
    await copy('id_ed25519');
    await withRemote(server, { identityFiles: [] }, use);
  }),
);

login(
  'with a key the server does not know is refused for good, naming the key and what the server takes',
  () =>
    withSshd({}, async (server) => {
      const file = join(server.home, 'stranger');
      makeKey(file, 'ed25519');
      const settings = { identityFiles: [file, '/no/such/key'] };
      await withRemote(server, settings, async (remote) => {
        const error = await failure(remote.put('x', Buffer.from('1')));
        assert.is(error.retryable, false);
        assert.ok(
          error.message.includes(`refused were ${file}; not usable: /no/such/key (not there)`),
          error.message,
        );
        assert.match(told(error), /The server takes: publickey/);
      });
    }),
);

login('with more keys than the server has patience for says what to do', () =>
  withSshd({ config: ['MaxAuthTries 3'] }, async (server) => {
    const identityFiles = ['a', 'b', 'c', 'd', 'e'].map((name) => join(server.home, name));
    for (const file of identityFiles) makeKey(file, 'ed25519');
    await withRemote(server, { identityFiles }, async (remote) => {
      const error = await failure(remote.get('x'));
      assert.is(error.retryable, false);
      assert.match(told(error), /IdentitiesOnly/);
    });
  }),
);

login('with a few keys that were named, and after which the server hangs up, says to name another', () =>
  withSshd({ config: ['MaxAuthTries 2'] }, async (server) => {
    const identityFiles = ['a', 'b', 'c'].map((name) => join(server.home, name));
    for (const file of identityFiles) makeKey(file, 'ed25519');
    await withRemote(server, { identityFiles }, async (remote) => {
      const error = await failure(remote.get('x'));
      assert.is(error.retryable, false);
      assert.match(error.message, /refused were/);
      assert.match(told(error), /SKYLOCK_SSH_IDENTITY/);
      assert.not.match(told(error), /The server takes/);
    });
  }),
);

login('with a key of the agent works', () =>
  withSshd({}, async (server) => {
    await withAgent(server, [server.identityFile], async (agentSocket) => {
      await withRemote(server, { identityFiles: [], agentSocket }, async (remote) => {
        await remote.put('x', Buffer.from('1'));
      });
    });
  }),
);

login('leaves the agent alone under IdentitiesOnly, but for the keys that are named', () =>
  withSshd({}, async (server) => {
    const stranger = join(server.home, 'stranger');
    makeKey(stranger, 'ed25519');
    await writeFile(join(server.home, '.ssh', 'config'), 'IdentitiesOnly yes\n');
    await withAgent(server, [server.identityFile], async (agentSocket) => {
      await withRemote(server, { identityFiles: [stranger], agentSocket }, async (remote) => {
        assert.match((await failure(remote.get('x'))).message, new RegExp(`refused were ${stranger}$`));
      });
      // The agent holds the private half of the public key that is named.
      await withRemote(server, { identityFiles: [`${server.identityFile}.pub`], agentSocket }, (remote) =>
        remote.put('x', Buffer.from('1')),
      );
    });
  }),
);

login('does without an agent that is gone', () =>
  withSshd({}, async (server) => {
    await withRemote(server, { agentSocket: join(server.home, 'no-agent') }, (remote) =>
      remote.put('x', Buffer.from('1')),
    );
  }),
);

login('with the password works, which is asked for once', () =>
  withProftpd({}, async (server) => {
    let asked = 0;
    const password = async () => {
      asked += 1;
      return server.password;
    };
    await withRemote(server, { identityFiles: [] }, { password }, async (remote) => {
      await Promise.all([1, 2, 3].map((n) => remote.put(`x${n}`, Buffer.alloc(300_000, n))));
    });
    assert.is(asked, 1);
  }),
);

login('with a wrong password is refused for good, and the password is not shown', () =>
  withProftpd({}, async (server) => {
    const password = async () => 'wr0ng-s3cret';
    await withRemote(server, { identityFiles: [] }, { password }, async (remote) => {
      const error = await failure(remote.get('x'));
      assert.is(error.retryable, false);
      assert.match(error.message, /refused were the password/);
      assert.match(told(error), /SKYLOCK_REMOTE_PASSWORD/);
      assert.not.match(told(error), /wr0ng-s3cret/);
    });
  }),
);

login('asks for no password where a key is enough, or where the server takes none', () =>
  withProftpd({}, async (server: ProftpdServer) => {
    const password = async () => {
      throw new Error('nobody was to be asked');
    };
    await withRemote(server, {}, { password }, (remote) => remote.put('x', Buffer.from('1')));
    await withSshd({}, (sshd) =>
      withRemote(sshd, { identityFiles: [] }, { password }, async (remote) => {
        assert.match((await failure(remote.get('x'))).message, /nothing to offer/);
      }),
    );
  }),
);

login('answers the one hidden question of keyboard-interactive with the password', async () => {
  let given: readonly string[] = [];
  await withScriptedSftp(
    {
      authenticate: (context) => {
        if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive']);
        context.prompt([{ prompt: 'Password: ', echo: false }], (answers) => {
          given = answers;
          if (answers[0] === SECRET) context.accept();
          else context.reject();
        });
      },
    },
    (server) =>
      withRemote(server, {}, { password: async () => SECRET }, async (remote) => {
        await remote.put('x', Buffer.from('1'));
      }),
  );
  assert.equal(given, [SECRET]);
});

login('gives the password to no other question', async () => {
  const given: string[][] = [];
  await withScriptedSftp(
    {
      authenticate: (context) => {
        if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive']);
        const prompts = [{ prompt: 'Name of your first pet: ', echo: true }];
        context.prompt(prompts, (answers) => {
          given.push(answers);
          context.reject();
        });
      },
    },
    (server) =>
      withRemote(server, {}, { password: async () => SECRET }, async (remote) => {
        assert.is((await failure(remote.get('x'))).retryable, false);
      }),
  );
  assert.equal(given, [['']]);
});

login('gives the password after the key to a server that wants both', async () => {
  const methods: string[] = [];
  await withScriptedSftp(
    {
      authenticate: (context) => {
        const keyDone = methods.includes('publickey signed');
        const signed = context.method === 'publickey' && context.signature !== undefined;
        methods.push(signed ? 'publickey signed' : context.method);
        if (context.method === 'password' && keyDone && context.password === SECRET) context.accept();
        else if (context.method === 'publickey' && !signed) context.accept();
        else if (signed) context.reject(['password'], true);
        else context.reject([keyDone ? 'password' : 'publickey']);
      },
    },
    (server) =>
      withRemote(server, {}, { password: async () => SECRET }, (remote) => remote.put('x', Buffer.from('1'))),
  );
  assert.equal(methods, ['publickey', 'publickey signed', 'none', 'password']);
});

for (const [what, isNamed, expected] of [
  ['at once when it was named', true, ['publickey', 'publickey signed']],
  ['only to a server that takes keys when nobody named it', false, ['none', 'publickey', 'publickey signed']],
] as const) {
  login(`offers a key ${what}`, async () => {
    const methods: string[] = [];
    await withScriptedSftp(
      {
        authenticate: (context) => {
          const signed = context.method === 'publickey' && context.signature !== undefined;
          methods.push(signed ? 'publickey signed' : context.method);
          if (context.method === 'publickey') context.accept();
          else context.reject(['publickey']);
        },
      },
      async (server) => {
        await copyFile(server.identityFile, join(server.home, '.ssh/id_ed25519'));
        await withRemote(server, isNamed ? {} : { identityFiles: [] }, (remote) =>
          remote.put('x', Buffer.from('1')),
        );
      },
    );
    assert.equal(methods, expected);
  });
}

login('offers first what let it in before, and may be tried again when that does not any more', async () => {
  const offered: string[] = [];
  let wanted = '';
  await withScriptedSftp(
    {
      authenticate: (context) => {
        if (context.method !== 'publickey') return context.reject(['publickey']);
        const key = context.key.data.toString('base64');
        if (context.signature === undefined) offered.push(key);
        if (key === wanted) context.accept();
        else context.reject(['publickey']);
      },
    },
    async (server) => {
      const stranger = join(server.home, 'stranger');
      const [strange = '', known = ''] = [
        makeKey(stranger, 'ed25519'),
        await readFile(`${server.identityFile}.pub`, 'utf8'),
      ].map((line) => line.split(/\s/)[1]);
      wanted = known;
      await withRemote(server, { identityFiles: [stranger, server.identityFile] }, async (remote) => {
        await remote.put('x', Buffer.from('1'));
        assert.equal(offered.splice(0), [strange, known]);
        server.dropConnections();
        await failure(remote.put('x', Buffer.from('1')));
        await remote.put('x', Buffer.from('1'));
        assert.equal(offered.splice(0), [known]);
        wanted = '';
        server.dropConnections();
        await failure(remote.put('x', Buffer.from('1')));
        assert.is((await failure(remote.put('x', Buffer.from('1')))).retryable, true);
        wanted = known;
        await remote.put('x', Buffer.from('1'));
      });
    },
  );
});

login('takes AES-GCM, the fastest cipher', () =>
  withScriptedSftp({}, async (server) => {
    await withRemote(server, {}, (remote) => remote.put('x', Buffer.from('1')));
    assert.match(server.ciphers[0] ?? '', /^aes(128|256)-gcm@openssh.com$/);
  }),
);

login.run();

type Use = (remote: Remote) => Promise<unknown>;

async function withRemote(server: SshServer, ssh: Partial<SshSettings>, use: Use): Promise<void>;
async function withRemote(
  server: SshServer,
  ssh: Partial<SshSettings>,
  settings: Partial<RemoteSettings>,
  use: Use,
): Promise<void>;
async function withRemote(
  server: SshServer,
  ssh: Partial<SshSettings>,
  ...rest: [Use] | [Partial<RemoteSettings>, Use]
): Promise<void> {
  const [settings, use] = rest.length === 2 ? rest : [{}, rest[0]];
  const base = sshSettings(server, settings);
  const { user, host, port, root: path } = server;
  const remote = await openSftp(
    { kind: 'sftp', user, host, port, path },
    { ...base, ssh: { ...base.ssh, ...ssh } },
  );
  try {
    await use(remote);
  } finally {
    await remote.close();
  }
}

/** Lends the socket of an ssh-agent that holds these keys. */
async function withAgent(
  server: SshServer,
  files: readonly string[],
  use: (socket: string) => Promise<void>,
): Promise<void> {
  const SSH_AUTH_SOCK = join(server.home, 'agent');
  const said = execFileSync('ssh-agent', ['-s', '-a', SSH_AUTH_SOCK], { encoding: 'utf8' });
  const pid = Number(/SSH_AGENT_PID=(\d+)/.exec(said)?.[1]);
  try {
    execFileSync('ssh-add', ['-q', ...files], { env: { ...process.env, SSH_AUTH_SOCK }, stdio: 'ignore' });
    await use(SSH_AUTH_SOCK);
  } finally {
    process.kill(pid);
  }
}

async function failure(promise: Promise<unknown>): Promise<RemoteError> {
  const thrown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  assert.instance(thrown, RemoteError);
  return thrown as RemoteError;
}

/** All that a person may get to read. */
function told(error: RemoteError): string {
  return [error.message, ...error.hints, String(error.cause), error.stack].join('\n');
}

function questionOf(server: SshServer): HostKeyQuestion {
  return {
    host: `[127.0.0.1]:${server.port}`,
    keyType: 'ssh-ed25519',
    fingerprint: fingerprintOf(server),
  };
}

function fingerprintOf(server: SshServer): string {
  return fingerprint(Buffer.from(server.hostKeyLines[0]?.split(' ')[2] ?? '', 'base64'));
}
