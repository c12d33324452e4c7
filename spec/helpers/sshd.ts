/** OpenSSH's own server on a free port of 127.0.0.1, with keys and a configuration of its own, as root or as anybody. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { RemoteSettings } from '../../lib/remote/settings.ts';
import { freePort } from './free-port.ts';
import { childrenOf, descendantsOf, endTree, signal } from './processes.ts';
import { skipTest } from './skip.ts';
import { withFolder } from './temporary.ts';

const SSHD = '/usr/sbin/sshd';
const SFTP_SERVER = '/usr/lib/openssh/sftp-server';

export interface SshdOptions {
  readonly hostKeyTypes?: readonly ('ed25519' | 'ecdsa' | 'rsa')[];
  /** Of the client's key. */
  readonly passphrase?: string;
  /** Channels a connection may hold. */
  readonly maxSessions?: number;
  /** Lines for sshd_config; the first value of an option counts, and these come first. */
  readonly config?: readonly string[];
  /** For the SFTP server: `-R` for one that only reads; sftp-server(8). */
  readonly sftpArguments?: readonly string[];
  /** SFTP by a program of its own (one process a channel) and not inside the connection's process. */
  readonly ownProgram?: boolean;
}

/** What a spec, or a program it starts, has to know of an SSH server to use it. */
export interface SshServer {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Lines for known_hosts, one a host key. */
  readonly hostKeyLines: readonly string[];
  /** Holds `hostKeyLines`. */
  readonly knownHostsFile: string;
  /** A private key that the server lets in; its public one lies beside it. */
  readonly identityFile: string;
  /** For the client: holds an empty `.ssh`. */
  readonly home: string;
  /** The login folder, where relative paths begin. */
  readonly loginFolder: string;
  /** An absolute folder in it, empty: where the repository goes. */
  readonly root: string;
  /** `sftp://user@127.0.0.1:port/root`. */
  readonly url: string;
  readonly pid: number;
  /** How many connections are open. */
  connections(): number;
  /** Ends every connection in the middle of whatever it does; new ones are let in. */
  dropConnections(): void;
  stop(): Promise<void>;
}

/** Lends a running sshd; without one on this machine the test counts as skipped. */
export async function withSshd(
  options: SshdOptions,
  run: (server: SshServer) => Promise<void>,
): Promise<void> {
  if (!existsSync(SSHD)) return skipTest('a test with sshd', `there is no ${SSHD} (Debian: openssh-server)`);
  await withFolder(async (folder) => {
    const { server, child } = await startSshd(folder, options);
    try {
      await run(server);
    } finally {
      await endTree(child);
    }
  });
}

/** Settings that are let into `server`: its key is known, nobody is asked anything. */
export function sshSettings(server: SshServer, overrides: Partial<RemoteSettings> = {}): RemoteSettings {
  return {
    maxConnections: 4,
    lanes: 4,
    temporaryToken: `t${process.pid.toString(36)}`,
    password: async () => null,
    ssh: {
      home: server.home,
      agentSocket: null,
      identityFiles: [server.identityFile],
      knownHostsFile: server.knownHostsFile,
      passphrase: async () => null,
      confirmHostKey: async () => false,
    },
    tls: { caFile: null, certificateFingerprint: null, insecureHttp: false },
    ...overrides,
  };
}

/** Makes a key pair, `file` and `file.pub`; @returns the public one as authorized_keys writes it. */
export function makeKey(file: string, type: string, passphrase = ''): string {
  execFileSync('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-C', '', '-f', file]);
  return readFileSync(`${file}.pub`, 'utf8').trim();
}

async function startSshd(
  folder: string,
  options: SshdOptions,
): Promise<{ server: SshServer; child: ChildProcess }> {
  const {
    hostKeyTypes = ['ed25519'],
    passphrase = '',
    maxSessions = 10,
    config = [],
    sftpArguments = [],
  } = options;
  const [home, loginFolder] = [join(folder, 'home'), join(folder, 'login')];
  const root = join(loginFolder, 'remote');
  await mkdir(join(home, '.ssh'), { recursive: true, mode: 0o700 });
  await mkdir(root, { recursive: true });
  const hostKeys = hostKeyTypes.map((type) => join(folder, `host_${type}`));
  const hostKeyTexts = hostKeyTypes.map((type, n) => makeKey(hostKeys[n] ?? '', type));
  const identityFile = join(folder, 'id_user');
  await writeFile(join(folder, 'authorized_keys'), `${makeKey(identityFile, 'ed25519', passphrase)}\n`);
  const lines = [
    ...config,
    ...hostKeys.map((file) => `HostKey ${file}`),
    `AuthorizedKeysFile ${join(folder, 'authorized_keys')}`,
    `Subsystem sftp ${options.ownProgram === true ? SFTP_SERVER : 'internal-sftp'} ${['-d', loginFolder, ...sftpArguments].join(' ')}`,
    `MaxSessions ${maxSessions}`,
    'MaxStartups 100:30:200',
    'StrictModes no',
    'UsePAM no',
    'UseDNS no',
    'PermitRootLogin yes',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PidFile none',
    ...(sshdVersion() >= 9.8 ? ['PerSourcePenalties no'] : []),
  ];
  await writeFile(join(folder, 'sshd_config'), `${lines.join('\n')}\n`);
  const { child, port } = await listen(join(folder, 'sshd_config'));

  const user = userInfo().username;
  const hostKeyLines = hostKeyTexts.map((key) => `[127.0.0.1]:${port} ${key}`);
  const knownHostsFile = join(folder, 'known_hosts');
  await writeFile(knownHostsFile, `${hostKeyLines.join('\n')}\n`);
  const pid = child.pid ?? 0;
  const server: SshServer = {
    host: '127.0.0.1',
    port,
    user,
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

/** Starts sshd on a free port, on another one when somebody was faster. */
async function listen(configFile: string): Promise<{ child: ChildProcess; port: number }> {
  // Where sshd drops its rights; Debian makes it when the service starts, and here it never does.
  if (userInfo().uid === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const said: string[] = [];
  for (let attempt = 0; attempt < 5; attempt++) {
    const port = await freePort();
    const address = ['-o', `ListenAddress=127.0.0.1:${port}`];
    const child = spawn(SSHD, ['-D', '-e', '-f', configFile, ...address], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const log = createInterface({ input: child.stderr });
    const listening = await Promise.race([
      once(child, 'exit').then(() => false),
      new Promise<boolean>((resolve) => {
        log.on('line', (line) => {
          said.push(line);
          if (line.startsWith('Server listening')) resolve(true);
        });
      }),
    ]);
    if (listening) return { child, port };
  }
  throw new Error(`sshd does not start:\n${said.join('\n')}`);
}

function sshdVersion(): number {
  const { stderr } = spawnSync(SSHD, ['-V'], { encoding: 'utf8' });
  return Number(/OpenSSH_(\d+\.\d+)/.exec(stderr)?.[1] ?? 0);
}
