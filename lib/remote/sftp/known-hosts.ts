import { createHash, createHmac } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { RemoteError, systemErrorCode } from '../../errors.ts';
import { matchesPatternList } from './patterns.ts';

/** One line of a known_hosts file. @see sshd(8), SSH_KNOWN_HOSTS FILE FORMAT */
export interface KnownHost {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly revoked: boolean;
  /** Comma list of patterns, or one hashed name `|1|salt|hash`. */
  readonly hosts: string;
  readonly keyType: string;
  readonly key: Buffer;
}

export type HostKeyVerdict =
  | { readonly state: 'known' }
  | { readonly state: 'unknown' }
  /** Another key is known for this host. */
  | { readonly state: 'changed'; readonly entry: KnownHost }
  | { readonly state: 'revoked'; readonly entry: KnownHost };

/** Types of host keys this program can check; a line with another type says nothing about what to expect. */
const SUPPORTED_TYPES: ReadonlyMap<string, readonly string[]> = new Map([
  ['ssh-ed25519', ['ssh-ed25519']],
  ['ecdsa-sha2-nistp256', ['ecdsa-sha2-nistp256']],
  ['ecdsa-sha2-nistp384', ['ecdsa-sha2-nistp384']],
  ['ecdsa-sha2-nistp521', ['ecdsa-sha2-nistp521']],
  ['ssh-rsa', ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa']],
]);

/** @returns `host`, or `[host]:port` for a port that is not 22. */
export function hostLabel(host: string, port: number): string {
  return port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`;
}

/** @returns `SHA256:…` as ssh-keygen prints it. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/** @param key as the server sends it: a string (length, bytes) that says its type, then its numbers; RFC 4253, 6.6 */
export function keyType(key: Buffer): string {
  const length = key.length < 4 ? 0 : key.readUInt32BE(0);
  return key.toString('latin1', 4, 4 + length);
}

/** Reads known_hosts files, those that are absent as empty; lines that make no sense are passed over, as OpenSSH does. */
export function readKnownHosts(files: readonly string[]): KnownHost[] {
  return files.flatMap((file) =>
    readText(file)
      .split('\n')
      .flatMap((text, n) => parseLine(file, n + 1, text)),
  );
}

/**
 * What the files say of the key a server shows.
 * @param label see {@link hostLabel}
 */
export function checkHostKey(known: readonly KnownHost[], label: string, key: Buffer): HostKeyVerdict {
  const aboutHost = known.filter(({ hosts }) => speaksOf(hosts, label));
  const revoked = aboutHost.find((entry) => entry.revoked && entry.key.equals(key));
  if (revoked !== undefined) return { state: 'revoked', entry: revoked };
  const trusted = aboutHost.filter((entry) => !entry.revoked);
  if (trusted.some((entry) => entry.key.equals(key))) return { state: 'known' };
  // A key of another type is as alien as another key of the same type: we asked for the types we know, and whoever
  // stands between us and the server would rather be unknown than changed.
  const expected = trusted.filter((entry) => SUPPORTED_TYPES.has(entry.keyType));
  const other = expected.find((entry) => entry.keyType === keyType(key)) ?? expected[0];
  if (other !== undefined) return { state: 'changed', entry: other };
  // As OpenSSH does: the key of the host's port 22 is good for its other ports, though it is not missed there.
  const [, plain] = /^\[(.*)\]:\d+$/.exec(label) ?? [];
  const onPort22 = plain === undefined ? null : checkHostKey(known, plain, key).state;
  return { state: onPort22 === 'known' ? 'known' : 'unknown' };
}

/** @returns the signature algorithms for the keys that are known of this host: to be asked for before all others. */
export function knownAlgorithms(known: readonly KnownHost[], label: string): string[] {
  const types = known
    .filter(({ hosts, revoked }) => !revoked && speaksOf(hosts, label))
    .flatMap((entry) => SUPPORTED_TYPES.get(entry.keyType) ?? []);
  return [...new Set(types)];
}

/** Adds a line to a known_hosts file, which is made (mode 0600, folder 0700) when absent. */
export function addKnownHost(file: string, label: string, key: Buffer): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    // Without a line break at its end the last line would swallow ours.
    const gap = /[^\n]$/.test(readText(file)) ? '\n' : '';
    const line = `${gap}${label} ${keyType(key)} ${key.toString('base64')}\n`;
    writeFileSync(file, line, { flag: 'a', mode: 0o600 });
  } catch (error) {
    throw new RemoteError(`add the host key to ${file}: ${(error as Error).message}`, {
      retryable: false,
      cause: error,
    });
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw new RemoteError(`read ${file}: ${(error as Error).message}`, { retryable: false, cause: error });
  }
}

function parseLine(file: string, line: number, text: string): KnownHost[] {
  const words = text.trim().split(/\s+/);
  const marker = words[0]?.startsWith('@') ? words.shift() : null;
  const [hosts = '', type = '', base64 = ''] = words;
  const key = Buffer.from(base64, 'base64');
  // An authority signs keys and is none itself; certificates are not understood here.
  if (hosts === '' || hosts.startsWith('#') || keyType(key) !== type || type === '') return [];
  if (marker !== null && marker !== '@revoked') return [];
  return [{ file, line, revoked: marker === '@revoked', hosts, keyType: type, key }];
}

function speaksOf(hosts: string, label: string): boolean {
  const [, salt, hash] = /^\|1\|([^|]+)\|([^|]+)$/.exec(hosts) ?? [];
  if (salt === undefined) return matchesPatternList(hosts.toLowerCase().split(','), label);
  return createHmac('sha1', Buffer.from(salt, 'base64')).update(label).digest('base64') === hash;
}
