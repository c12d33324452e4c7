import { globSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { RemoteError, systemErrorCode } from '../../errors.ts';
import { matchesPatternList } from './patterns.ts';

/** What `~/.ssh/config` says of one host. `null`: it says nothing. */
export interface HostConfig {
  /** The name or address to connect to. */
  readonly hostName: string;
  readonly user: string | null;
  readonly port: number | null;
  readonly identityFiles: readonly string[];
  /** Offer no key but those of `identityFiles`, even if the agent holds more. */
  readonly identitiesOnly: boolean;
  readonly knownHostsFiles: readonly string[] | null;
  /** The name to look the host's key up under. */
  readonly hostKeyAlias: string | null;
}

/** How deep files may include one another, as in OpenSSH. */
const MAX_INCLUDE_DEPTH = 16;
/** Files that include themselves, or each other, twice would be read 2^16 times. */
const MAX_FILES = 1000;

/**
 * Reads `.ssh/config` in `home`; without such a file nothing is said. The first value of an option counts, as in OpenSSH.
 * `Match` blocks other than `Match all`, and options that mean nothing here, are passed over. Our own, because the one
 * library there is runs commands (`Match exec`, `nslookup`) and does not follow `Include`.
 * @param alias the host as the person wrote it
 * @throws RemoteError when the file cannot be read or asks for a proxy, which Skylock does not do
 * @see ssh_config(5)
 */
export function readHostConfig(alias: string, home: string): HostConfig {
  const options = new Map<string, string[][]>();
  collectOptions(
    join(home, '.ssh', 'config'),
    { alias, home, depth: 0, active: true, read: { files: 0 } },
    options,
  );
  const first = (option: string) => options.get(option)?.[0]?.[0] ?? null;

  refuseProxy(alias, first);
  const hostName = expand(first('hostname') ?? alias, { h: alias });
  const user = first('user');
  const port = first('port') === null ? null : Number(first('port'));
  if (port !== null && !(Number.isInteger(port) && port >= 1 && port <= 65_535)) {
    throw new RemoteError(`read ~/.ssh/config: the port of '${alias}' is not a number from 1 to 65535`, {
      retryable: false,
    });
  }
  const local = userInfo().username;
  const tokens = { h: hostName, n: alias, d: home, r: user ?? local, u: local, p: String(port ?? 22) };
  const path = (text: string) => resolvePath(expand(text, tokens), home);
  const named = (files: readonly string[]) => files.filter((file) => file.toLowerCase() !== 'none').map(path);
  const knownHosts = options.get('userknownhostsfile')?.[0];
  return {
    hostName,
    user,
    port,
    identityFiles: named((options.get('identityfile') ?? []).map((values) => values[0] ?? 'none')),
    identitiesOnly: first('identitiesonly')?.toLowerCase() === 'yes',
    knownHostsFiles: knownHosts === undefined ? null : named(knownHosts),
    hostKeyAlias: first('hostkeyalias'),
  };
}

interface Context {
  readonly alias: string;
  readonly home: string;
  readonly depth: number;
  /** Does the block that includes this file speak of our host? */
  readonly active: boolean;
  readonly read: { files: number };
}

/** Adds each option of `file` that is about our host: name in lower case → its values, one a line, in order. */
function collectOptions(file: string, context: Context, options: Map<string, string[][]>): void {
  let active = context.active;
  context.read.files += 1;
  if (context.read.files > MAX_FILES) {
    throw new RemoteError(`read ~/.ssh/config: its Include lines lead to more than ${MAX_FILES} files`, {
      retryable: false,
      hints: ['Does a file include itself?'],
    });
  }
  for (const line of readLines(file)) {
    const { option, values } = parseLine(line);
    if (option === 'host') active = context.active && matchesPatternList(values, context.alias);
    else if (option === 'match') active = context.active && values[0]?.toLowerCase() === 'all';
    else if (option === 'include' && active && context.depth < MAX_INCLUDE_DEPTH) {
      for (const included of values.flatMap((pattern) => includedFiles(pattern, context.home))) {
        collectOptions(included, { ...context, depth: context.depth + 1 }, options);
      }
    } else if (active && values.length > 0) {
      const before = options.get(option);
      if (before === undefined) options.set(option, [values]);
      else before.push(values);
    }
  }
}

function readLines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split(/\r?\n/);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw new RemoteError(`read ${file}: ${(error as Error).message}`, { retryable: false, cause: error });
  }
}

/** `Option value…`, `Option=value`, `"a quoted value"`; a word that begins with `#` ends the line. */
function parseLine(line: string): { option: string; values: string[] } {
  const [, option = '', rest = ''] = /^\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*)$/.exec(line) ?? [];
  const values: string[] = [];
  for (const [word, quoted] of rest.matchAll(/"([^"]*)"|\S+/g)) {
    if (quoted === undefined && word.startsWith('#')) break;
    values.push(quoted ?? word);
  }
  return { option: option.toLowerCase(), values };
}

function includedFiles(pattern: string, home: string): string[] {
  const path = resolvePath(pattern, home);
  return globSync(isAbsolute(path) ? path : join(home, '.ssh', path)).sort();
}

function resolvePath(path: string, home: string): string {
  return path.replace(/^~(?=\/|$)/, () => home);
}

function expand(text: string, tokens: Readonly<Record<string, string>>): string {
  return text.replace(/%(.)/g, (whole, token: string) => (token === '%' ? '%' : (tokens[token] ?? whole)));
}

function refuseProxy(alias: string, first: (option: string) => string | null): void {
  for (const [option, name] of [
    ['proxyjump', 'ProxyJump'],
    ['proxycommand', 'ProxyCommand'],
  ] as const) {
    const value = first(option);
    if (value === null || value.toLowerCase() === 'none') continue;
    throw new RemoteError(`connect to ${alias}: its ${name} in ~/.ssh/config is not supported`, {
      retryable: false,
      hints: [
        `Open a tunnel with ssh -N -L 2222:${alias}:22 and the jump host, and use sftp://user@localhost:2222/…`,
        'Or name the host by an address that needs no proxy.',
      ],
    });
  }
}
