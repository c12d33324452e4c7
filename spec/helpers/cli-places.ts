/** Where the specs of the command line back up to: real servers behind a line of our own, and a folder. */
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { missingApache, withApache } from './apache.ts';
import { type FaultProxy, withFaultProxy } from './fault-proxy.ts';
import { skipTest } from './skip.ts';
import { type SshdOptions, type SshServer, withSshd } from './sshd.ts';
import { withFolder } from './temporary.ts';
import type { WebServer, WebServerOptions } from './web-server.ts';

export const REPOSITORY_PASSWORD = 'correct horse 7c2f battery';

/** A remote, and what the program needs to get in. */
export interface Place {
  readonly url: string;
  /** What lies on the remote lies in this folder of the spec's machine. */
  readonly root: string;
  /** The remote and its passwords, for the program's environment. */
  readonly env: Readonly<Record<string, string>>;
  /** What leads there; `null` for a folder. */
  readonly line: FaultProxy | null;
}

/** A place at the other end of a line. */
export interface FarPlace extends Place {
  readonly line: FaultProxy;
}

export interface SftpPlace extends FarPlace {
  readonly server: SshServer;
}

export interface WebdavPlace extends FarPlace {
  readonly server: WebServer;
}

/** OpenSSH's server. */
export async function withSftp(
  use: (place: SftpPlace) => Promise<void>,
  options: SshdOptions = {},
): Promise<void> {
  await withSshd(options, (server) =>
    withFaultProxy(server.port, async (line) => {
      // The line has the server's key, as it is the server's for whoever comes through it.
      const keys = server.hostKeyLines.map((known) => known.replace(/\]:\d+/, `]:${line.port}`));
      appendFileSync(server.knownHostsFile, `${keys.join('\n')}\n`);
      const url = `sftp://${server.user}@127.0.0.1:${line.port}${server.root}`;
      const env = {
        ...environment(url),
        SKYLOCK_KNOWN_HOSTS: server.knownHostsFile,
        SKYLOCK_SSH_IDENTITY: server.identityFile,
      };
      await use({ url, root: server.root, env, line, server });
    }),
  );
}

/** Apache with mod_dav and Basic authentication. */
export async function withWebdav(
  use: (place: WebdavPlace) => Promise<void>,
  options: WebServerOptions = {},
): Promise<void> {
  const missing = missingApache();
  if (missing !== null) return skipTest('a test with Apache', missing);
  await withApache({ password: 'open sesame 51d0', ...options }, (server) =>
    withFaultProxy(server.port, async (line) => {
      const url = `http://${server.user}@127.0.0.1:${line.port}/backups`;
      const env = { ...environment(url), SKYLOCK_REMOTE_PASSWORD: server.password };
      await use({ url, root: join(server.root, 'backups'), env, line, server });
    }),
  );
}

/** A folder of this machine. */
export async function withLocal(use: (place: Place) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const root = join(folder, 'repository');
    await use({ url: root, root, env: environment(root), line: null });
  });
}

export const PLACES = {
  SFTP: withSftp,
  WebDAV: withWebdav,
  'a local folder': withLocal,
} as const;

function environment(url: string): Record<string, string> {
  return { SKYLOCK_REMOTE: url, SKYLOCK_PASSWORD: REPOSITORY_PASSWORD };
}

/** Sizes of what lies there, whole or half-written, by name; `packs/` and `tmp/` are what a run sends. */
export function objectsAt({ root }: Place): Map<string, number> {
  const sizes = new Map<string, number>();
  const look = (folder: string) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
      try {
        if (entry.isDirectory()) look(name);
        else sizes.set(name, statSync(join(root, name)).size);
      } catch {
        // Renamed while we looked.
      }
    }
  };
  if (existsSync(root)) look('');
  return sizes;
}

/** Packs that are whole, by name. */
export function packsAt(place: Place): Map<string, number> {
  return new Map([...objectsAt(place)].filter(([name]) => name.startsWith('packs/')));
}

/** Packs and whatever was left of packs that were not whole. */
export function packBytesAt(place: Place): number {
  const names = [...objectsAt(place)].filter(([name]) => /^(packs|tmp)\//.test(name));
  return names.reduce((sum, [, size]) => sum + size, 0);
}

export function largestPackAt(place: Place): number {
  return Math.max(0, ...packsAt(place).values());
}

/** Everything that lies there, as one: for secrets and names that must not be in it. */
export function contentAt(place: Place): Buffer {
  return Buffer.concat([...objectsAt(place).keys()].map((name) => readFileSync(join(place.root, name))));
}
