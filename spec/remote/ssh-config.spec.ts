import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError } from '../../lib/errors.ts';
import { type HostConfig, readHostConfig } from '../../lib/remote/sftp/ssh-config.ts';
import { skipTest } from '../helpers/skip.ts';
import { withFolder } from '../helpers/temporary.ts';

const SSH = '/usr/bin/ssh';

const CONFIG = `
# our own
User everywhere-first
Host box backup-*  !backup-old
  HostName u1234.your-storagebox.de
  Port 23
  IdentityFile "~/.ssh/the box"
  IdentityFile ~/.ssh/%r@%h
  IdentitiesOnly yes
	hostkeyalias=storage
Host *.example.org,other
  Port 99
Host ?x
  HostName %h.lan   # a remark
  Port=2200
Match host u1234.your-storagebox.de exec "false"
  Port 7
Match all
  ServerAliveInterval 7
Host *
  Port 24
  User late
  IdentityFile /keys/id_%n_%p_%%
  UserKnownHostsFile ~/.ssh/hosts1 /etc/hosts2
`;

const sshConfig = suite('~/.ssh/config');

sshConfig('says nothing of any host where there is none', () =>
  withHome({}, async (home) => {
    assert.equal(readHostConfig('box', home), NOTHING('box'));
  }),
);

sshConfig('gives the first value of each option, and every key file', () =>
  withHome({ config: CONFIG }, async (home) => {
    assert.equal(readHostConfig('box', home), {
      hostName: 'u1234.your-storagebox.de',
      user: 'everywhere-first',
      port: 23,
      identityFiles: [
        `${home}/.ssh/the box`,
        `${home}/.ssh/everywhere-first@u1234.your-storagebox.de`,
        '/keys/id_box_23_%',
      ],
      identitiesOnly: true,
      knownHostsFiles: [`${home}/.ssh/hosts1`, '/etc/hosts2'],
      hostKeyAlias: 'storage',
    });
    assert.is(readHostConfig('nx', home).hostName, 'nx.lan');
    assert.is(readHostConfig('nx', home).port, 2200);
  }),
);

sshConfig('says of each host what OpenSSH says', () => {
  if (!existsSync(SSH)) return skipTest('comparing ~/.ssh/config with ssh -G', `there is no ${SSH}`);
  return withHome({ config: CONFIG }, async (home) => {
    const hosts = ['box', 'backup-new', 'backup-old', 'backup-', 'nx', 'nxx', 'other', 'a.example.org', 'x'];
    for (const host of hosts) {
      const { hostName, user, port, identitiesOnly, hostKeyAlias } = readHostConfig(host, home);
      const said = execFileSync(SSH, ['-G', '-F', join(home, '.ssh/config'), host], {
        encoding: 'utf8',
        stdio: 'pipe',
      });
      const value = (option: string) => new RegExp(`^${option} (.*)$`, 'm').exec(said)?.[1];
      assert.equal(
        [hostName, user, String(port), identitiesOnly, hostKeyAlias ?? undefined],
        [
          value('hostname'),
          value('user'),
          value('port'),
          value('identitiesonly') === 'yes',
          value('hostkeyalias'),
        ],
        host,
      );
    }
  });
});

sshConfig('includes other files, also by pattern and only in the block that asks for them', () =>
  withHome(
    {
      config: 'Include conf.d/*.conf none-such\nHost b\n  Include ~/.ssh/for-b\nHost *\n  Port 4\n',
      'conf.d/1.conf': 'Host a\n  Port 1\n',
      'conf.d/2.conf': 'Host a b\n  Port 2\n  User two\n',
      'conf.d/3.txt': 'Port 3\n',
      'for-b': 'HostKeyAlias included\nHost *\n  IdentitiesOnly yes\n',
    },
    async (home) => {
      assert.equal(readHostConfig('a', home), { ...NOTHING('a'), port: 1, user: 'two' });
      assert.equal(readHostConfig('b', home), {
        ...NOTHING('b'),
        port: 2,
        user: 'two',
        hostKeyAlias: 'included',
        identitiesOnly: true,
      });
      assert.equal(readHostConfig('c', home), { ...NOTHING('c'), port: 4 });
    },
  ),
);

sshConfig('that includes itself comes to an end', () =>
  withHome({ config: 'Include config\nPort 5\n' }, async (home) => {
    assert.is(readHostConfig('x', home).port, 5);
  }),
);

for (const [option, value] of [
  ['ProxyJump', 'gate.example.org'],
  ['ProxyCommand', 'nc -X 5 %h %p'],
] as const) {
  sshConfig(`with ${option} for the host is refused by name, and 'none' is not`, () =>
    withHome({ config: `Host far\n  ${option} ${value}\nHost *\n  ${option} none\n` }, async (home) => {
      assert.throws(
        () => readHostConfig('far', home),
        (error: unknown) =>
          error instanceof RemoteError &&
          !error.retryable &&
          new RegExp(`far.*${option}`).test(error.message),
      );
      assert.equal(readHostConfig('near', home), NOTHING('near'));
    }),
  );
}

sshConfig('with nonsense in it loses nothing but that', () =>
  withHome(
    { config: '\0\n= =\nHost\nPort\nHost "x\n Port 9\nHost x\n  Port 7\nNoSuchOption 3\n' },
    async (home) => {
      assert.is(readHostConfig('x', home).port, 7);
    },
  ),
);

sshConfig('with a port that is none is refused', () =>
  withHome({ config: 'Port 0' }, async (home) => {
    assert.throws(() => readHostConfig('x', home), /port of 'x' is not a number/);
  }),
);

sshConfig('without a user takes this one for %r and %u', () =>
  withHome({ config: 'IdentityFile /k/%r/%u' }, async (home) => {
    const { username } = userInfo();
    assert.equal(readHostConfig('x', home).identityFiles, [`/k/${username}/${username}`]);
  }),
);

sshConfig.run();

function NOTHING(host: string): HostConfig {
  return {
    hostName: host,
    user: null,
    port: null,
    identityFiles: [],
    identitiesOnly: false,
    knownHostsFiles: null,
    hostKeyAlias: null,
  };
}

/** Lends a home folder with these files in its `.ssh`. */
async function withHome(
  files: Readonly<Record<string, string>>,
  use: (home: string) => Promise<void>,
): Promise<void> {
  await withFolder(async (home) => {
    for (const [name, text] of Object.entries(files)) {
      const path = join(home, '.ssh', name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, text);
    }
    await use(home);
  });
}
