/** What the helpers for real web servers have in common. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Certificate, makeCertificate } from './certificate.ts';
import { freePort } from './free-port.ts';
import { startServer } from './server-process.ts';

export interface WebServerOptions {
  readonly tls?: boolean;
  readonly auth?: 'basic' | 'digest' | 'none';
  readonly user?: string;
  readonly password?: string;
  /** Lines for the part of the server's configuration that speaks of its root. */
  readonly directives?: readonly string[];
}

export interface WebServer {
  /** With the user's name, without the password, as `--remote` takes it. */
  readonly url: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** The folder that is served: what lies in it is what lies on the remote. */
  readonly root: string;
  /** SHA-256 of the certificate in hexadecimal; empty without TLS. */
  readonly certificateFingerprint: string;
  readonly caFile: string;
  readonly pid: number;
  /** Ends the server; with SIGKILL its connections break at once. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same port, after `stop`. */
  restart(): Promise<void>;
}

/** What a configuration is written from. `folder` holds `root`, `basic` and `digest` (password files) and `error.log`. */
export interface WebServerSetting {
  readonly folder: string;
  readonly port: number;
  readonly certificate: Certificate | null;
  readonly auth: 'basic' | 'digest' | 'none';
  readonly directives: readonly string[];
}

export interface WebServerProgram {
  readonly command: string;
  readonly args: (configurationFile: string) => readonly string[];
  readonly configuration: (setting: WebServerSetting) => readonly string[];
  /** Folders beside `root` that the server writes into. */
  readonly folders: readonly string[];
}

export async function startWebServer(
  program: WebServerProgram,
  folder: string,
  options: WebServerOptions,
): Promise<WebServer> {
  const { tls = false, auth = 'basic', user = 'anna', password = 'geheim', directives = [] } = options;
  const root = join(folder, 'root');
  await ownFolders(folder, [root, ...program.folders.map((name) => join(folder, name))]);
  await writeUsers(folder, user, password);
  const certificate = tls ? await makeCertificate(folder) : null;
  const port = await freePort();
  const file = join(folder, 'server.conf');
  const lines = program.configuration({ folder, port, certificate, auth, directives });
  await writeFile(file, `${lines.join('\n')}\n`);
  const start = () =>
    startServer(program.command, program.args(file), port).catch(async (error: Error) => {
      const log = await readFile(join(folder, 'error.log'), 'utf8').catch(() => '');
      throw new Error(`${error.message}\n${log}`);
    });
  let running = await start();
  return {
    url: `${tls ? 'https' : 'http'}://${encodeURIComponent(user)}@127.0.0.1:${port}/`,
    port,
    user,
    password,
    root,
    certificateFingerprint: certificate?.fingerprint ?? '',
    caFile: certificate?.certificateFile ?? '',
    get pid() {
      return running.pid;
    },
    stop: (signal) => running.stop(signal),
    restart: async () => {
      running = await start();
    },
  };
}

/** Run by root, a web server serves as another user, who has to get through to the folders and own them. */
async function ownFolders(folder: string, folders: readonly string[]): Promise<void> {
  const isRoot = process.getuid?.() === 0;
  for (const path of folders) {
    await mkdir(path);
    if (isRoot) await chown(path, await idOf('-u'), await idOf('-g'));
  }
  if (isRoot) await chmod(folder, 0o711);
}

async function idOf(flag: '-u' | '-g'): Promise<number> {
  return Number((await promisify(execFile)('id', [flag, 'www-data'])).stdout);
}

async function writeUsers(folder: string, user: string, password: string): Promise<void> {
  // nginx knows no bcrypt; both know Apache's own MD5.
  const { stdout } = await promisify(execFile)('htpasswd', ['-nbm', user, password]);
  await writeFile(join(folder, 'basic'), stdout, { mode: 0o644 });
  const ha1 = createHash('md5').update(`${user}:skylock:${password}`).digest('hex');
  await writeFile(join(folder, 'digest'), `${user}:skylock:${ha1}\n`, { mode: 0o644 });
}
