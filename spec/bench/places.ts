/** The servers, and where on them the programs put what they back up. */
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { missingApache, withApache } from '../helpers/apache.ts';
import { type SshServer, withSshd } from '../helpers/sshd.ts';
import type { WebServer } from '../helpers/web-server.ts';
import { type Line, type LineOptions, withLine } from './line.ts';

/** An account on a server. `folder` is where what it holds lies on this machine. */
export type Place = SshPlace | WebPlace | { readonly kind: 'folder'; readonly folder: string };

export interface SshPlace {
  readonly kind: 'sftp';
  readonly folder: string;
  readonly port: number;
  readonly user: string;
  readonly identityFile: string;
  readonly knownHostsFile: string;
}

export interface WebPlace {
  readonly kind: 'webdav';
  readonly folder: string;
  /** With the user's name, ending in a slash. */
  readonly url: string;
  readonly user: string;
  readonly password: string;
}

/** `null`: there is none on this machine. */
export interface Servers {
  readonly ssh: SshServer | null;
  readonly web: WebServer | null;
}

/** Lends sshd and Apache, as far as they are there. */
export async function withServers(use: (servers: Servers) => Promise<void>): Promise<void> {
  const withWeb = async (ssh: SshServer | null) => {
    if (missingApache() !== null) return use({ ssh, web: null });
    await withApache({}, (web) => use({ ssh, web }));
  };
  if (!existsSync('/usr/sbin/sshd')) return withWeb(null);
  await withSshd({}, withWeb);
}

/** @throws when there is no such server here */
export function placeOn(kind: Place['kind'], { ssh, web }: Servers, folder: string): Place {
  if (kind === 'folder') return { kind, folder };
  if (kind === 'webdav') {
    if (web === null) throw new Error(`no WebDAV server: ${missingApache()}`);
    return { kind, folder: web.root, url: web.url, user: web.user, password: web.password };
  }
  if (ssh === null) throw new Error('no SSH server: sshd is not installed (Debian: openssh-server)');
  const { port, user, identityFile, knownHostsFile, root } = ssh;
  return { kind, folder: root, port, user, identityFile, knownHostsFile };
}

/** Lends the same account at the end of a line. */
export async function withPlaceOnLine<T>(
  place: Place,
  options: LineOptions,
  use: (place: Place, line: Line) => Promise<T>,
): Promise<T> {
  if (place.kind !== 'sftp') throw new Error(`there is no line to a place of kind ${place.kind}`);
  return withLine(place.port, options, async (line) => {
    const knownHostsFile = `${place.knownHostsFile}-${line.port}`;
    const keys = await readFile(place.knownHostsFile, 'utf8');
    await writeFile(knownHostsFile, keys.replaceAll(`]:${place.port} `, `]:${line.port} `));
    return use({ ...place, port: line.port, knownHostsFile }, line);
  });
}

export async function emptyFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true, force: true });
}
