import { resolve } from 'node:path';
import { UsageError } from '../errors.ts';

/** `null` for the user or the port leaves it to `~/.ssh/config` and then to the usual (this user, 22). */
export interface SftpLocation {
  readonly kind: 'sftp';
  readonly user: string | null;
  /** A name, an alias of `~/.ssh/config` or an address (IPv6 without its brackets), as it was written. */
  readonly host: string;
  readonly port: number | null;
  /** Absolute, or, without a leading `/`, relative to the login folder (`.` is that folder itself). */
  readonly path: string;
}

export interface WebdavLocation {
  readonly kind: 'webdav';
  /** `https://user@host:port/path` or `http:`, percent-encoded, without a password and a trailing `/`. */
  readonly url: string;
}

export interface LocalLocation {
  readonly kind: 'local';
  /** Absolute. */
  readonly path: string;
}

export type RemoteLocation = SftpLocation | WebdavLocation | LocalLocation;

const SCHEMES: ReadonlyMap<string, 'sftp' | 'https' | 'http' | 'file'> = new Map([
  ['sftp', 'sftp'],
  ['https', 'https'],
  ['webdavs', 'https'],
  ['http', 'http'],
  ['webdav', 'http'],
  ['file', 'file'],
]);

const FORMS = [
  'A remote is sftp://user@host/folder, webdavs://user@host/folder or the path of a local folder.',
];

/**
 * @param text a URL or the path of a folder; @param cwd what a relative path is relative to
 * @throws UsageError that says what is wrong and never repeats what may be a password
 */
export function parseRemoteUrl(text: string, cwd: string): RemoteLocation {
  if (text === '') throw malformed(text, 'it is empty');
  if (/[\0-\x1f\x7f]/.test(text)) throw malformed('', 'it holds a control character');
  const [, scheme, rest] = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(.*)$/.exec(text) ?? [];
  if (scheme === undefined || rest === undefined) return parsePath(text, cwd);
  const kind = SCHEMES.get(scheme.toLowerCase());
  if (kind === undefined) throw malformed(text, `'${scheme}' is no kind of remote`);
  refusePassword(text, rest);
  if (/[?#]/.test(rest)) {
    throw malformed(text, `'?' and '#' have no place in it`, [
      "Write '?' as %3F and '#' as %23 if the folder's name holds them.",
    ]);
  }
  const { user, host, port, segments } = parseAuthority(text, rest);
  // A WebDAV server has a root to itself; that of an SFTP server is the whole machine's and has to be asked for.
  if (!rest.includes('/') && (kind === 'sftp' || kind === 'file')) {
    throw malformed(text, 'the folder is missing', FORMS);
  }
  if (kind === 'file') {
    if (user !== null || port !== null || (host !== '' && host !== 'localhost')) {
      throw malformed(text, 'a file URL names no other machine', [
        'Write file:///folder, with three slashes.',
      ]);
    }
    return { kind: 'local', path: resolve('/', segments.join('/')) };
  }
  if (host === '') throw malformed(text, 'the host is missing', FORMS);
  if (kind === 'sftp') return { kind, user, host, port, path: sftpPath(segments) };
  return { kind: 'webdav', url: canonicalHttpUrl(text, kind, user, host, port, segments) };
}

/** @returns the location as a person would write it, without any secret: the same text for the same place. */
export function formatRemoteUrl(location: RemoteLocation): string {
  if (location.kind === 'local') return location.path;
  if (location.kind === 'webdav') return location.url;
  const path = location.path.startsWith('/')
    ? location.path
    : `/~/${location.path === '.' ? '' : location.path}`;
  return `sftp://${authority(location.user, location.host, location.port)}${encodePath(path.split('/'))}`;
}

/** Is `host` (of a URL, IPv6 with or without brackets) this machine's own loopback? */
export function isThisMachine(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);
}

function parsePath(text: string, cwd: string): LocalLocation {
  if (/^(sftp|webdavs?|https?|file):/i.test(text)) {
    throw malformed(text, "'//' is missing after the ':'", FORMS);
  }
  if (/^[^/]*@[^/]*:/.test(text)) {
    throw malformed(text, 'user@host:folder is no URL', [
      'Write sftp://user@host/folder, or sftp://user@host/~/folder for a folder under the login folder.',
      'Put ./ before it if a local folder has this name.',
    ]);
  }
  if (/^~(\/|$)/.test(text)) {
    throw malformed(text, "'~' is not expanded here", ['Write the whole path of the folder.']);
  }
  return { kind: 'local', path: resolve(cwd, text) };
}

interface Authority {
  readonly user: string | null;
  /** IPv6 without its brackets. */
  readonly host: string;
  readonly port: number | null;
  /** Of the path, decoded, without `.` and empty ones. */
  readonly segments: readonly string[];
}

/** RFC 3986, section 3.2; the host is `name`, `1.2.3.4` or `[::1]`. */
function parseAuthority(text: string, rest: string): Authority {
  const slash = rest.indexOf('/');
  const whole = slash < 0 ? rest : rest.slice(0, slash);
  const at = whole.lastIndexOf('@');
  const parts = /^(\[[0-9A-Fa-f:.]+(?:%[^\]]+)?\]|[^:[\]]*)(?::(.*))?$/.exec(whole.slice(at + 1));
  if (parts === null) throw malformed(text, 'the host is not a name or an address');
  const [, host = '', digits] = parts;
  const port = digits === undefined || digits === '' ? null : Number(digits);
  if (port !== null && !(/^\d+$/.test(digits ?? '') && port >= 1 && port <= 65_535)) {
    // The text is not shown: without an '@' what follows the ':' may still be a password.
    throw malformed('', 'the port is not a number from 1 to 65535', FORMS);
  }
  // What begins with '-' could be taken for an option by a program it is handed to.
  if (/^-|[\s%\\<>^|`{}"]/.test(host.replace(/^\[.*\]$/, ''))) {
    throw malformed(text, 'the host is not a name or an address');
  }
  const user = at < 0 ? null : decode(text, whole.slice(0, at), 'user name');
  if (user === '') throw malformed(text, "the user name before the '@' is empty");
  return {
    user,
    host: host.replace(/^\[(.*)\]$/, '$1').replace('%25', '%'),
    port,
    segments: (slash < 0 ? '' : rest.slice(slash + 1))
      .split('/')
      .filter((segment) => segment !== '' && segment !== '.')
      .map((segment) => decodeSegment(text, segment)),
  };
}

function decodeSegment(text: string, encoded: string): string {
  const segment = decode(text, encoded, 'folder');
  if (segment === '..') throw malformed(text, "'..' has no place in it");
  if (segment.includes('/')) throw malformed(text, '%2F cannot be part of a name');
  return segment;
}

function decode(text: string, encoded: string, what: string): string {
  try {
    const decoded = decodeURIComponent(encoded);
    if (!/[\0-\x1f\x7f]/.test(decoded)) return decoded;
  } catch {
    // A lone '%', or bytes that are no UTF-8: the same message as for a control character.
  }
  throw malformed(text, `the ${what} is not percent-encoded UTF-8`, ["Write a '%' in a name as %25."]);
}

function sftpPath(segments: readonly string[]): string {
  if (segments[0] !== '~') return `/${segments.join('/')}`;
  return segments.slice(1).join('/') || '.';
}

function canonicalHttpUrl(
  text: string,
  scheme: 'http' | 'https',
  user: string | null,
  host: string,
  port: number | null,
  segments: readonly string[],
): string {
  const written = `${scheme}://${authority(user, host, port)}${encodePath(['', ...segments])}`;
  if (!URL.canParse(written)) throw malformed(text, 'the host is not a name or an address');
  // WHATWG's parser lowers the host's letters and drops the scheme's own port.
  return new URL(written).href.replace(/\/$/, '');
}

function authority(user: string | null, host: string, port: number | null): string {
  const name = host.includes(':') ? `[${host}]` : host;
  return `${user === null ? '' : `${encodeURIComponent(user)}@`}${name}${port === null ? '' : `:${port}`}`;
}

/** Percent-encodes what RFC 3986 does not allow in a segment; `~` stays, as it means the login folder. */
function encodePath(segments: readonly string[]): string {
  return segments.map(encodeURIComponent).join('/');
}

/** A '/' inside a password makes the path seem to begin early: after a ':' that no port follows, all up to an '@' counts. */
function refusePassword(text: string, rest: string): void {
  const inAuthority = /^[^/]*:[^/]*@/.test(rest);
  const acrossSlash = /^[^/@[]*:(?!\d*(?:\/|$)).*@/.test(rest);
  if (!inAuthority && !acrossSlash) return;
  throw malformed(text, 'a password has no place in it', [
    'Others can read it there: in the list of processes, in shell history.',
    'Put it into SKYLOCK_REMOTE_PASSWORD (or SKYLOCK_REMOTE_PASSWORD_FILE, SKYLOCK_REMOTE_PASSWORD_COMMAND).',
  ]);
}

/** All before the last `@` may hold a password and is not shown. */
function malformed(text: string, reason: string, hints: readonly string[] = []): UsageError {
  const shown = text.replace(/^([A-Za-z0-9+.-]*:\/*)?.*@/, '$1…@');
  return new UsageError(`read remote${shown === '' ? '' : ` '${shown}'`}: ${reason}`, { hints });
}
