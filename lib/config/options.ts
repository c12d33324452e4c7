import {
  duration,
  fingerprint,
  type Parse,
  path,
  remote,
  size,
  text,
  wholeNumber,
  yesOrNo,
} from './parse.ts';

/** What can be configured, by flag, environment and file; secrets themselves excepted. */
export interface ConfigValues {
  /** A URL or the path of a folder; `null` for the embedded default. */
  readonly remote: string | null;
  /** At most so many to the remote at once. */
  readonly connections: number;
  /** How long to go on trying when nothing gets through. */
  readonly retryForMs: number;
  /** Compression is tried on files larger than this. */
  readonly compressOverBytes: number;
  readonly passwordFile: string | null;
  readonly passwordCommand: string | null;
  readonly remotePasswordFile: string | null;
  readonly remotePasswordCommand: string | null;
  readonly identityFile: string | null;
  readonly knownHosts: string | null;
  readonly caFile: string | null;
  /** 64 lower-case hexadecimal digits. */
  readonly certificateFingerprint: string | null;
  readonly insecureHttp: boolean;
}

export interface ConfigOption<T> {
  /** In the file; the flag is the same with `-`. */
  readonly key: string;
  readonly env?: string;
  readonly parse: Parse<NonNullable<T>>;
  readonly default: T;
  /** How help texts call the value; absent where the option is its own value. */
  readonly argument?: string;
  readonly help: string;
}

export const CONFIG_OPTIONS: { readonly [P in keyof ConfigValues]: ConfigOption<ConfigValues[P]> } = {
  remote: {
    key: 'remote',
    env: 'SKYLOCK_REMOTE',
    parse: remote,
    default: null,
    argument: 'URL',
    help: 'where backups go: sftp://user@host/folder, webdavs://user@host/folder or a local folder',
  },
  connections: {
    key: 'connections',
    parse: wholeNumber(1, 8),
    default: 4,
    argument: 'N',
    help: 'connections to the remote at once, 1 to 8 [4]',
  },
  retryForMs: {
    key: 'retry_for',
    parse: duration,
    default: 10 * 60_000,
    argument: 'DURATION',
    help: 'how long to go on trying when nothing gets through [10m]',
  },
  compressOverBytes: {
    key: 'compress_over',
    parse: size,
    default: 0,
    argument: 'SIZE',
    help: 'compress files larger than this only [0]',
  },
  passwordFile: {
    key: 'password_file',
    env: 'SKYLOCK_PASSWORD_FILE',
    parse: path,
    default: null,
    argument: 'FILE',
    help: "file with the repository's password",
  },
  passwordCommand: {
    key: 'password_command',
    env: 'SKYLOCK_PASSWORD_COMMAND',
    parse: text,
    default: null,
    argument: 'COMMAND',
    help: "command that prints the repository's password",
  },
  remotePasswordFile: {
    key: 'remote_password_file',
    env: 'SKYLOCK_REMOTE_PASSWORD_FILE',
    parse: path,
    default: null,
    argument: 'FILE',
    help: 'file with the password of the account at the remote',
  },
  remotePasswordCommand: {
    key: 'remote_password_command',
    env: 'SKYLOCK_REMOTE_PASSWORD_COMMAND',
    parse: text,
    default: null,
    argument: 'COMMAND',
    help: 'command that prints the password of the account at the remote',
  },
  identityFile: {
    key: 'identity_file',
    env: 'SKYLOCK_SSH_IDENTITY',
    parse: path,
    default: null,
    argument: 'FILE',
    help: 'SSH key to offer beside those in ~/.ssh',
  },
  knownHosts: {
    key: 'known_hosts',
    env: 'SKYLOCK_KNOWN_HOSTS',
    parse: path,
    default: null,
    argument: 'FILE',
    help: 'known SSH hosts, instead of ~/.ssh/known_hosts',
  },
  caFile: {
    key: 'ca_file',
    parse: path,
    default: null,
    argument: 'FILE',
    help: "PEM file with the authority that signed the WebDAV server's certificate",
  },
  certificateFingerprint: {
    key: 'certificate_fingerprint',
    parse: fingerprint,
    default: null,
    argument: 'SHA256',
    help: 'trust the WebDAV server with exactly this certificate',
  },
  insecureHttp: {
    key: 'insecure_http',
    parse: yesOrNo,
    default: false,
    help: 'allow http:// to another machine: the password goes over the line in clear',
  },
};

/** @returns the option's flag, without `--` */
export function flagOf({ key }: { readonly key: string }): string {
  return key.replaceAll('_', '-');
}

/** A flag as yargs takes it. None has a default, so that one which was not given can be told from one that was. */
export interface Flag {
  readonly type: 'string' | 'boolean';
  readonly describe: string;
  readonly alias?: string;
  readonly requiresArg?: boolean;
  readonly group: string;
}

const GROUP = 'Settings:';

/** The flags every command takes: those of the options, and two that belong to one call alone. */
export const FLAGS: Readonly<Record<string, Flag>> = {
  ...Object.fromEntries(Object.values(CONFIG_OPTIONS).map((option) => [flagOf(option), flagFor(option)])),
  quiet: { type: 'boolean', alias: 'q', describe: 'print results, warnings and errors only', group: GROUP },
  json: { type: 'boolean', describe: 'print results as JSON', group: GROUP },
};

function flagFor({ argument, help }: { readonly argument?: string; readonly help: string }): Flag {
  if (argument === undefined) return { type: 'boolean', describe: help, group: GROUP };
  return { type: 'string', describe: `${argument}: ${help}`, requiresArg: true, group: GROUP };
}
