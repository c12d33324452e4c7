import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type Config, loadConfig } from '../config/config.ts';
import { findPassword } from '../config/password.ts';
import { type DataPaths, dataPaths } from '../config/paths.ts';
import { removeDeadWrites } from '../config/write-file.ts';
import type { Journal } from '../journal/database.ts';
import type { Progress } from '../progress.ts';
import { listAhead } from '../remote/ahead.ts';
import type { Remote } from '../remote/remote.ts';
import type { RemoteSettings } from '../remote/settings.ts';
import type { RemoteLocation } from '../remote/url.ts';
import type { Repository } from '../repository/repository.ts';
import type { Cli, Flags } from './cli.ts';
import { openDefault, openNamed } from './open-repository.ts';

/** A repository and the journal, opened for one command. */
export interface Session {
  readonly config: Config;
  readonly paths: DataPaths;
  readonly repository: Repository;
  readonly journal: Journal;
  /** The repository's number in the journal. */
  readonly journalRepository: number;
  /** Transfers at once to begin with. */
  readonly lanes: number;
  /** So many where that brings more. */
  readonly mostLanes: number;
  /** The remote's folder when it lies on this machine. */
  readonly localRoot: string | null;
}

export interface SessionOptions {
  /** Told of retries and notices. */
  readonly progress?: Progress;
  /** Make the repository that is used while no remote is named, if it is not there. */
  readonly makeDefaultRepository?: boolean;
  /** In place of the configured one. */
  readonly retryForMs?: number;
  /** Look at the whole journal before anything is built on it. */
  readonly checkJournal?: boolean;
  /** Objects will be put: what is left of those puts when this process dies has to be known as its own. */
  readonly mayPut?: boolean;
  /** Folders of the remote that will be listed: that begins with the connection. */
  readonly listAhead?: readonly string[];
  /** Work that needs neither remote nor keys, lent the time in which keys are derived. It changes nothing. */
  readonly whileOpening?: (own: OwnFolders, opening: Promise<unknown>) => Promise<void>;
}

export type OwnFolders = Pick<Session, 'paths' | 'localRoot'>;

/** Packs sent at once to begin with; on SFTP they are channels that share few connections. */
const LANES = 4;
/** Each of them carries no more than a window a round trip (2 MiB): so many of them fill a connection on a long line. */
const LANES_A_CONNECTION = 4;
/** Longer than packs in flight are given to end. */
const GRACE_MS = 5000;

/** Opens remote, repository and journal, lends them to `work`, and closes them in mirror order. */
export async function withSession<Result>(
  cli: Cli,
  flags: Flags,
  options: SessionOptions,
  work: (session: Session) => Promise<Result>,
): Promise<Result> {
  const configured = loadConfig({ ...cli, flags });
  const config = { ...configured, retryForMs: options.retryForMs ?? configured.retryForMs };
  const paths = dataPaths(cli.env, cli.home);
  const { progress = () => {} } = options;
  const { parseRemoteUrl, formatRemoteUrl } = await import('../remote/url.ts');
  const location = parseRemoteUrl(config.remote ?? paths.defaultRepository, cli.cwd);
  const isDefault = config.remote === null;

  const isSftp = location.kind === 'sftp';
  const lanes = isSftp ? Math.max(LANES, config.connections) : config.connections;
  const mostLanes = isSftp ? config.connections * LANES_A_CONNECTION : lanes;
  const temporaryToken = newTemporaryToken();
  const deriving = Promise.withResolvers<void>();
  const onPassword = () => setImmediate(deriving.resolve); // by then the other thread has its work
  const connecting = connect(cli, config, location, { lanes: mostLanes, temporaryToken, progress }).then(
    (connected) => listAhead(connected, options.listAhead ?? []),
  );
  const forDefault = { makeDefaultRepository: false, ...options, progress, onPassword };
  const opening = isDefault
    ? connecting.then((remote) => openDefault(remote, paths, cli, forDefault))
    : openNamed({ url: formatRemoteUrl(location), connecting }, config, paths, cli, onPassword);
  opening.catch(() => {}); // thrown where it is waited for
  const remote = await connecting;
  const hurry = closeAfterGrace(cli.signal, remote);
  const localRoot = location.kind === 'local' ? location.path : null;
  try {
    // A journal is not made for a repository that cannot be opened; one that is there is opened meanwhile.
    await (existsSync(paths.journalFile) ? Promise.race([deriving.promise, opening]) : opening);
    return await withOpenJournal(cli, paths, options, async (journal) => {
      await options.whileOpening?.({ paths, localRoot }, opening);
      const repository = await opening;
      const { rememberRepository } = await import('../journal/repositories.ts');
      const journalRepository = rememberRepository(journal, repository.config.repositoryId, remote.url);
      if (options.mayPut === true) {
        for (const file of [paths.configFile, paths.defaultKeyFile]) removeDeadWrites(file, cli.now());
        const { identifyProcess } = await import('../journal/owner.ts');
        const { noteToken } = await import('../journal/temporaries.ts');
        noteToken(journal, journalRepository, temporaryToken, identifyProcess(cli.pid)!);
      }
      return work({ config, paths, repository, journal, journalRepository, lanes, mostLanes, localRoot });
    });
  } finally {
    hurry.cancel();
    await remote.close();
  }
}

/** Once the person has asked to stop, a call that waits for the remote must not keep them waiting. */
function closeAfterGrace(signal: AbortSignal, remote: Remote): { cancel(): void } {
  let timer: NodeJS.Timeout | undefined;
  const begin = () => {
    timer = setTimeout(() => void remote.close().catch(() => {}), GRACE_MS); // what it was used for fails, and says so
  };
  signal.addEventListener('abort', begin, { once: true });
  return {
    cancel() {
      signal.removeEventListener('abort', begin);
      clearTimeout(timer);
    },
  };
}

/** Lends the journal alone, or `null` when there is none on this machine yet. */
export async function withJournal<Result>(
  cli: Cli,
  flags: Flags,
  work: (journal: Journal | null, paths: DataPaths) => Promise<Result>,
): Promise<Result> {
  loadConfig({ ...cli, flags }); // a setting that makes no sense is an error here as everywhere
  const paths = dataPaths(cli.env, cli.home);
  if (!existsSync(paths.journalFile)) return work(null, paths);
  return withOpenJournal(cli, paths, {}, (journal) => work(journal, paths));
}

async function withOpenJournal<Result>(
  cli: Cli,
  { journalFile }: DataPaths,
  { checkJournal = false }: SessionOptions,
  work: (journal: Journal) => Promise<Result>,
): Promise<Result> {
  const { openJournal } = await import('../journal/database.ts');
  const { journal, movedAside } = await openJournal(journalFile, { now: cli.now(), check: checkJournal });
  try {
    if (movedAside !== null) {
      cli.terminal.warning(`the journal was damaged and is now ${movedAside}: a new one is begun`);
      cli.terminal.hint('What it knew of the remote is read from there; nothing that was sent is lost.');
    }
    return await work(journal);
  } finally {
    journal.close();
  }
}

/** @returns what no other process's temporary objects begin with */
export function newTemporaryToken(): string {
  return randomBytes(8).toString('hex');
}

export interface ConnectOptions {
  readonly lanes: number;
  readonly temporaryToken: string;
  /** Told of retries. */
  readonly progress: Progress;
}

/** Opens the adapter with retries around it. */
export async function connect(
  cli: Cli,
  config: Config,
  location: RemoteLocation,
  { lanes, temporaryToken, progress }: ConnectOptions,
): Promise<Remote> {
  const { openRemote } = await import('../remote/open.ts');
  const { withRetry } = await import('../remote/retry.ts');
  const remote = await openRemote(location, remoteSettings(cli, config, { lanes, temporaryToken }));
  return withRetry(remote, {
    retryForMs: config.retryForMs,
    signal: cli.signal,
    onRetry: (reason, delayMs) => progress({ type: 'retrying', reason, delayMs }),
  });
}

function remoteSettings(
  cli: Cli,
  config: Config,
  own: Pick<RemoteSettings, 'lanes' | 'temporaryToken'>,
): RemoteSettings {
  const { terminal, env, home } = cli;
  return {
    maxConnections: config.connections,
    ...own,
    password: () => findPassword(config.remotePassword, terminal),
    ssh: {
      home,
      agentSocket: env.SSH_AUTH_SOCK || null,
      identityFiles: config.identityFile === null ? [] : [config.identityFile],
      knownHostsFile: config.knownHosts,
      passphrase: (keyFile) => terminal.askSecret(`Passphrase of ${keyFile}:`, cli.signal),
      confirmHostKey: ({ host, keyType, fingerprint }) =>
        terminal.confirm(`${host} is not known. Its ${keyType} key is ${fingerprint}. Trust it?`, cli.signal),
    },
    tls: {
      caFile: config.caFile,
      certificateFingerprint: config.certificateFingerprint,
      insecureHttp: config.insecureHttp,
    },
  };
}
