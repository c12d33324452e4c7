import { loadConfig } from '../config/config.ts';
import { dataPaths } from '../config/paths.ts';
import { EXIT, SkylockError, UsageError } from '../errors.ts';
import type { BackupHeader } from '../format/backup-header.ts';
import type { UnfinishedRun } from '../journal/unfinished.ts';
import type { Repository } from '../repository/repository.ts';
import { formatBytes, formatDuration, formatInstantForPeople } from '../units.ts';
import { requireBackupId } from './backup-id.ts';
import { type Cli, defineCommand, type Flags } from './cli.ts';
import { backupCommandLine } from './command-line.ts';
import { withJournal, withSession } from './session.ts';

export const resumeStatusCommand = defineCommand({
  command: 'resume-status [id]',
  describe: 'show what is unfinished, how far it is, and what to type to go on',
  builder: (argv) =>
    argv
      .positional('id', { type: 'string', describe: 'one backup; all unfinished ones without it' })
      .example('$0 resume-status', 'everything unfinished')
      .example('$0 resume-status 20251107_142030 --json', 'one, for programs'),

  async run(cli, options) {
    const { terminal } = cli;
    const id = options.id === undefined ? null : requireBackupId(options.id);
    const isMeant = ({ backupId }: UnfinishedRun) => id === null || backupId === id;
    const known = (await runsOfJournal(cli, options)).filter(isMeant);
    // Only where this machine knows nothing is the remote asked, for what other machines have begun.
    const runs = known.length > 0 ? known : (await runsOfRemote(cli, options)).filter(isMeant);
    if (id !== null && runs.length === 0) {
      throw new SkylockError(`show backup ${id}: nothing of this id is unfinished`, {
        hints: [
          "See 'skylock resume-status' for all that is unfinished, 'skylock list' for what is complete.",
        ],
      });
    }
    const here = { host: cli.host, remote: await usualRemote(cli) };
    const objects = runs.map((run) => asJson(run, here));
    if (terminal.json) await terminal.resultJson(id === null ? objects : objects[0]);
    else if (runs.length === 0) await terminal.result('Nothing is unfinished.');
    else await terminal.result(runs.map((run) => describe(run, here, cli.now())).join('\n\n'));
    return EXIT.done;
  },
});

/** Where the commands are typed. */
interface Here {
  readonly host: string;
  readonly remote: string;
}

/** @returns the remote a backup goes to that names none; none is like one whose URL makes no sense */
async function usualRemote(cli: Cli): Promise<string> {
  const { remote } = loadConfig({ ...cli, flags: {} });
  const { formatRemoteUrl, parseRemoteUrl } = await import('../remote/url.ts');
  const { defaultRepository } = dataPaths(cli.env, cli.home);
  try {
    return formatRemoteUrl(parseRemoteUrl(remote ?? defaultRepository, cli.cwd));
  } catch (error) {
    if (error instanceof UsageError) return '';
    throw error;
  }
}

async function runsOfJournal(cli: Cli, flags: Flags): Promise<UnfinishedRun[]> {
  return withJournal(cli, flags, async (journal) => {
    if (journal === null) return [];
    const { unfinishedRuns } = await import('../journal/unfinished.ts');
    return unfinishedRuns(journal);
  });
}

/** @returns what the checkpoints on the remote tell of; nothing when no remote and password are configured, or it fails */
async function runsOfRemote(cli: Cli, flags: Flags): Promise<UnfinishedRun[]> {
  const { remote, password } = loadConfig({ ...cli, flags });
  if (remote === null || password.source === null) return [];
  try {
    return await withSession(cli, flags, { retryForMs: 0 }, async ({ repository }) => {
      const { listBackupIds, readCheckpoints } = await import('../repository/backups.ts');
      const completeIds = await listBackupIds(repository);
      return (await readCheckpoints(repository))
        .filter(({ backupId }) => !completeIds.includes(backupId))
        .map((header) => runOfCheckpoint(header, repository));
    });
  } catch (error) {
    if (!(error instanceof SkylockError) || cli.signal.aborted) throw error;
    cli.terminal.warning(`other machines' backups are not shown: ${error.message}`);
    return [];
  }
}

function runOfCheckpoint(header: BackupHeader, { remote, config }: Repository): UnfinishedRun {
  const { backupId, host, startedAt, sourcePaths, files, bytes, progress } = header;
  return {
    id: 0,
    backupId,
    repositoryUuid: config.repositoryId,
    remote: remote.url,
    host,
    startedAt,
    updatedAt: progress?.updatedAt ?? startedAt,
    sourcePaths,
    totalFiles: progress?.totalFiles ?? null,
    totalBytes: progress?.totalBytes ?? null,
    uploadedFiles: files,
    uploadedBytes: bytes,
    lanes: null,
    runningPid: null,
  };
}

function describe(run: UnfinishedRun, here: Here, now: Date): string {
  const { totalFiles, totalBytes, uploadedFiles, uploadedBytes, runningPid } = run;
  const progress =
    totalFiles === null || totalBytes === null
      ? 'the first scan is not through yet'
      : `${uploadedFiles}/${totalFiles} files, ${formatBytes(uploadedBytes)} of ${formatBytes(totalBytes)}`;
  const age = formatDuration(now.getTime() - run.updatedAt.getTime());
  return [
    `${run.backupId}  ${runningPid === null ? 'interrupted' : `running (process ${runningPid})`}`,
    `  Sources:   ${run.sourcePaths.join('\n             ')}`,
    ...(run.host === here.host ? [] : [`  Machine:   ${run.host}`]),
    `  Remote:    ${run.remote}`,
    `  Started:   ${formatInstantForPeople(run.startedAt)}`,
    `  Last seen: ${formatInstantForPeople(run.updatedAt)} (${age} ago)`,
    `  Uploaded:  ${progress}`,
    ...(run.lanes === null ? [] : [`  Lanes:     ${run.lanes}`]),
    ...(runningPid === null ? [`  Go on:     ${backupCommandLine(run, here)}`] : []),
  ].join('\n');
}

function asJson(run: UnfinishedRun, here: Here): object {
  const { backupId, remote, host, startedAt, updatedAt, sourcePaths, runningPid, ...counts } = run;
  const { totalFiles, totalBytes, uploadedFiles, uploadedBytes, lanes } = counts;
  return {
    backupId,
    state: runningPid === null ? 'interrupted' : 'running',
    pid: runningPid,
    startedAt,
    lastUpdated: updatedAt,
    remote,
    host,
    sourcePaths: sourcePaths.map(String),
    uploadedFiles,
    totalFiles,
    uploadedBytes,
    totalBytes,
    lanes,
    resumeCommand: backupCommandLine(run, here),
  };
}
