/** ProFTPD's mod_sftp, the kind of server a Storage Box runs: one user of its own, let in by password or by key. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from './free-port.ts';
import { childrenOf, descendantsOf, endTree, signal } from './processes.ts';
import { skipTest } from './skip.ts';
import { makeKey, type SshServer } from './sshd.ts';
import { withFolder } from './temporary.ts';

const PROFTPD = '/usr/sbin/proftpd';
const MODULES = '/usr/lib/proftpd';

export interface ProftpdOptions {
  /** Lines for proftpd.conf. */
  readonly config?: readonly string[];
}

export interface ProftpdServer extends SshServer {
  readonly password: string;
  /** What it was asked and has done, in order: `WRITE <handle> 0 31952`, `FSYNC <path>`, `RENAME <path> <path>`, … */
  requests(): string[];
}

/** Lends a running ProFTPD; without one on this machine the test counts as skipped. */
export async function withProftpd(
  options: ProftpdOptions,
  run: (server: ProftpdServer) => Promise<void>,
): Promise<void> {
  if (!existsSync(PROFTPD) || !existsSync(`${MODULES}/mod_sftp.so`)) {
    return skipTest('a test with ProFTPD', 'Debian: proftpd-core and proftpd-mod-crypto');
  }
  await withFolder(async (folder) => {
    const { server, child } = await startProftpd(folder, options);
    try {
      await run(server);
    } finally {
      await endTree(child);
    }
  });
}

async function startProftpd(
  folder: string,
  { config = [] }: ProftpdOptions,
): Promise<{ server: ProftpdServer; child: ChildProcess }> {
  const [home, loginFolder] = [join(folder, 'home'), join(folder, 'login')];
  const root = join(loginFolder, 'remote');
  await mkdir(join(home, '.ssh'), { recursive: true, mode: 0o700 });
  await mkdir(root, { recursive: true });
  const hostKey = makeKey(join(folder, 'host_key'), 'ed25519');
  const identityFile = join(folder, 'id_user');
  makeKey(identityFile, 'ed25519');
  const rfc4716 = execFileSync('ssh-keygen', ['-e', '-f', `${identityFile}.pub`]);
  await writeFile(join(folder, 'authorized_keys'), rfc4716);
  const [user, password] = ['box', 'a pass:word of the b@x'];
  const { uid, gid, username } = userInfo();
  const crypted = execFileSync('perl', ['-e', 'print crypt($ARGV[0], q($6$skylock$))', password]);
  await writeFile(join(folder, 'users'), `${user}:${crypted}:${uid}:${gid}::${loginFolder}:/bin/sh\n`, {
    mode: 0o600,
  });
  const lines = [
    `ModulePath ${MODULES}`,
    'LoadModule mod_sftp.c',
    'ServerType standalone',
    'DefaultAddress 127.0.0.1',
    'SocketBindTight on',
    'UseIPv6 off',
    'UseReverseDNS off',
    'WtmpLog off',
    'TransferLog none',
    `ScoreboardFile ${join(folder, 'scoreboard')}`, // what limits to connections are counted by
    `SystemLog ${join(folder, 'system.log')}`,
    `PidFile ${join(folder, 'pid')}`,
    'AuthOrder mod_auth_file.c',
    `AuthUserFile ${join(folder, 'users')}`,
    'RequireValidShell off',
    'RootLogin on',
    'AllowOverwrite on',
    `User ${username}`,
    `Group ${execFileSync('id', ['-gn'], { encoding: 'utf8' }).trim()}`,
    'SFTPEngine on',
    `SFTPLog ${join(folder, 'sftp.log')}`,
    'LogFormat requests "%r"',
    `ExtendedLog ${join(folder, 'requests.log')} ALL requests`,
    `SFTPHostKey ${join(folder, 'host_key')}`,
    `SFTPAuthorizedUserKeys file:${join(folder, 'authorized_keys')}`,
    ...config,
  ];
  const { child, port } = await listen(folder, lines);
  const hostKeyLines = [`[127.0.0.1]:${port} ${hostKey}`];
  const knownHostsFile = join(folder, 'known_hosts');
  await writeFile(knownHostsFile, `${hostKeyLines.join('\n')}\n`);
  const pid = child.pid ?? 0;
  const server: ProftpdServer = {
    host: '127.0.0.1',
    port,
    user,
    password,
    requests: () => readFileSync(join(folder, 'requests.log'), 'utf8').trim().split('\n'),
    hostKeyLines,
    knownHostsFile,
    identityFile,
    home,
    loginFolder,
    root,
    url: `sftp://${user}@127.0.0.1:${port}${root}`,
    pid,
    connections: () => childrenOf(pid).length,
    dropConnections: () => {
      for (const session of descendantsOf(pid)) signal(session, 'SIGKILL');
    },
    stop: () => endTree(child),
  };
  return { server, child };
}

/** Starts ProFTPD on a free port, on another one when somebody was faster. */
async function listen(
  folder: string,
  lines: readonly string[],
): Promise<{ child: ChildProcess; port: number }> {
  const file = join(folder, 'proftpd.conf');
  const said: string[] = [];
  for (let attempt = 0; attempt < 5; attempt++) {
    const port = await freePort();
    await writeFile(file, `Port ${port}\n${lines.join('\n')}\n`);
    const child = spawn(PROFTPD, ['-n', '-q', '-c', file], { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.on('data', (text) => said.push(String(text)));
    while (child.exitCode === null && child.signalCode === null) {
      if (await answers(port)) return { child, port };
      await delay(10);
    }
  }
  throw new Error(`ProFTPD does not start:\n${said.join('')}`);
}

async function answers(port: number): Promise<boolean> {
  const socket = createConnection(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
