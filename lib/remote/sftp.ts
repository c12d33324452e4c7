import { userInfo } from 'node:os';
import type { Client, ConnectConfig } from 'ssh2';
import SftpClient from 'ssh2-sftp-client';
import { requireName, requirePrefix } from './name.ts';
import { type Remote, SMALL_BYTES } from './remote.ts';
import type { RemoteSettings } from './settings.ts';
import type { Authenticator } from './sftp/authentication.ts';
import type { SftpChannel } from './sftp/channel.ts';
import { serverChecksums } from './sftp/checksums.ts';
import { type Connection, connect, type Dial } from './sftp/connection.ts';
import { collectKeys } from './sftp/credentials.ts';
import { requestFailure } from './sftp/failures.ts';
import { readFolder, statPath } from './sftp/folders.ts';
import { type HostKeyChecker, hostKeyChecker } from './sftp/host-key.ts';
import { hostLabel } from './sftp/known-hosts.ts';
import { fillTemporary, getFile, nameTemporary, putFile, removeFile } from './sftp/objects.ts';
import { channelPool, type Use } from './sftp/pool.ts';
import { readHostConfig } from './sftp/ssh-config.ts';
import { temporaryName } from './temporary.ts';
import { formatRemoteUrl, type SftpLocation } from './url.ts';
import { MAX_LISTED, walk } from './walk.ts';

export interface SftpOptions {
  /** A server that has said nothing for so long, asked for a sign of life, is gone. */
  readonly silenceMs?: number;
  /** A server that has refused another connection is asked for one again after so long. */
  readonly askAgainMs?: number;
  /** A listing of more names is refused. */
  readonly maxListed?: number;
}

/** Folders that are listed at the same time. */
const LISTINGS = 64;

/**
 * Objects as files under a folder of an SFTP server. The first call connects; `~/.ssh/config`, known_hosts and key files
 * are read then.
 */
export async function openSftp(
  location: SftpLocation,
  settings: RemoteSettings,
  { silenceMs = 60_000, askAgainMs = 5 * 60_000, maxListed = MAX_LISTED }: SftpOptions = {},
): Promise<Remote> {
  const pool = channelPool(connector(location, settings, silenceMs), {
    maxConnections: settings.maxConnections,
    maxChannels: settings.lanes + 1, // one for what is small, while every lane transfers
    askAgainMs,
  });
  const root = location.path.replace(/\/+$/, '');
  const pathOf = (name: string) => `${root}/${name}`;
  const checksums = serverChecksums(root || '/');
  const folders = new Set<string>();
  const placeOf = (name: string) => ({
    temporary: pathOf(temporaryName(settings.temporaryToken)),
    path: pathOf(name),
    folders,
  });

  return {
    url: formatRemoteUrl(location),

    async put(name, bytes, options = {}) {
      requireName(name);
      const { beforeNaming } = options;
      const doing = `put ${name}`;
      const place = placeOf(name);
      const use = useFor(bytes.length);
      if (beforeNaming === undefined) {
        await pool.withChannel(use, (channel) => putFile(channel, doing, place, bytes, options), options);
        return;
      }
      // The channel is given back meanwhile: what is waited for may need it.
      const fill = (channel: SftpChannel) => fillTemporary(channel, doing, place, bytes, options);
      await pool.withChannel(use, fill, options);
      try {
        await beforeNaming();
        options.signal?.throwIfAborted();
      } catch (error) {
        const remove = (channel: SftpChannel) => removeFile(channel, doing, place.temporary);
        await pool.withChannel('small', remove).catch(() => {}); // the first error is the one to tell
        throw error;
      }
      await pool.withChannel('small', (channel) => nameTemporary(channel, doing, place, bytes.length));
    },

    prepare(puts) {
      pool.prepare(puts).catch(() => {}); // whoever puts is told
    },

    async get(name, range) {
      requireName(name);
      const use = useFor(range?.length ?? Number.POSITIVE_INFINITY);
      return pool.withChannel(use, (channel) => getFile(channel, `get ${name}`, pathOf(name), range));
    },

    async *list(prefix) {
      requirePrefix(prefix);
      const pages = walk(prefix.replace(/\/$/, ''), {
        concurrency: LISTINGS,
        maxListed,
        readFolder: (folder, count) =>
          pool.withChannel('small', (channel) =>
            readFolder(channel, root, folder, count).catch((error: unknown) => {
              throw requestFailure(`list ${folder || 'the repository'}`, error);
            }),
          ),
      });
      for await (const { objects } of pages) yield* objects;
    },

    async stat(name) {
      requireName(name);
      const doing = `look at ${name}`;
      const stats = await pool.withChannel('small', (channel) =>
        statPath(channel, pathOf(name)).catch((error: unknown) => {
          throw requestFailure(doing, error);
        }),
      );
      return stats?.isFile() === true ? { name, sizeBytes: stats.size } : null;
    },

    async sha256(names) {
      for (const name of names) requireName(name);
      return pool.withChannel('transfer', (channel) => checksums.of(channel, names));
    },

    async remove(name) {
      requireName(name);
      await pool.withChannel('small', (channel) => removeFile(channel, `remove ${name}`, pathOf(name)));
    },

    async close() {
      pool.close();
    },
  };
}

function useFor(bytes: number): Use {
  return bytes <= SMALL_BYTES ? 'small' : 'transfer';
}

/** Prepares, at the first connection, what all connections share. */
function connector(
  location: SftpLocation,
  settings: RemoteSettings,
  silenceMs: number,
): (signal: AbortSignal) => Promise<Connection> {
  const { ssh } = settings;
  let asked = 0;
  const asking = async <T>(answer: Promise<T>): Promise<T> => {
    asked += 1;
    try {
      return await answer;
    } finally {
      asked -= 1;
    }
  };
  const prepare = () => {
    const config = readHostConfig(location.host, ssh.home);
    const user = location.user ?? config.user ?? userInfo().username;
    const port = location.port ?? config.port ?? 22;
    const passphrase = (file: string) => asking(ssh.passphrase(file));
    const named = [...ssh.identityFiles, ...config.identityFiles];
    const authenticator: Authenticator = {
      user,
      namesKeys: named.length > 0,
      keys: once(() => collectKeys({ ...ssh, passphrase }, named, config.identitiesOnly)),
      password: once(() => asking(settings.password())),
      worked: null,
      unusable: new Map(),
    };
    const hostKey: HostKeyChecker = hostKeyChecker(
      config.hostKeyAlias?.toLowerCase() ?? hostLabel(config.hostName, port),
      ssh.knownHostsFile !== null
        ? [ssh.knownHostsFile]
        : [...(config.knownHostsFiles ?? [`${ssh.home}/.ssh/known_hosts`]), '/etc/ssh/ssh_known_hosts'],
      (question) => asking(ssh.confirmHostKey(question)),
    );
    const where = `${user}@${hostLabel(config.hostName, port)}`;
    return { dial, host: config.hostName, port, where, hostKey, authenticator, silenceMs };
  };
  let prepared: ReturnType<typeof prepare> | null = null;
  return async (signal) => {
    prepared ??= prepare();
    return connect({ ...prepared, asking: () => asked > 0, signal });
  };
}

/**
 * ssh2-sftp-client connects and opens the first session; the requests go to ssh2's sessions themselves. Its own operations
 * know one session a connection, wait for each write, and take a server's 'Failure' for 'no such file'.
 */
const dial: Dial = async (config: ConnectConfig) => {
  const quiet = () => {}; // by itself it prints to the terminal
  const sftpClient = new SftpClient('skylock', { error: quiet, end: quiet, close: quiet });
  const { client } = sftpClient as unknown as { client: Client };
  let first: Error | null = null;
  client.on('error', (error) => {
    first ??= error;
  });
  try {
    return { client, sftp: await sftpClient.connect(config) };
  } catch (error) {
    throw first ?? error; // the library's has lost its code and level
  }
};

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | null = null;
  return () => (made ??= make());
}
