import { EXIT, SkylockError } from '../errors.ts';
import type { UnfinishedRun } from '../journal/unfinished.ts';
import { formatBytes, formatDuration, formatInstantForPeople } from '../units.ts';
import { requireBackupId } from './backup-id.ts';
import { defineCommand } from './cli.ts';
import { backupCommandLine } from './command-line.ts';
import { withJournal } from './session.ts';

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
    const runs = await withJournal(cli, options, async (journal) => {
      if (journal === null) return [];
      const { unfinishedRuns } = await import('../journal/unfinished.ts');
      return unfinishedRuns(journal).filter(({ backupId }) => id === null || backupId === id);
    });
    if (id !== null && runs.length === 0) {
      throw new SkylockError(`show backup ${id}: nothing of this id is unfinished`, {
        hints: [
          "See 'skylock resume-status' for all that is unfinished, 'skylock list' for what is complete.",
        ],
      });
    }
    if (terminal.json) await terminal.resultJson(id === null ? runs.map(asJson) : asJson(runs[0]!));
    else if (runs.length === 0) await terminal.result('Nothing is unfinished.');
    else await terminal.result(runs.map((run) => describe(run, cli.now())).join('\n\n'));
    return EXIT.done;
  },
});

function describe(run: UnfinishedRun, now: Date): string {
  const { totalFiles, totalBytes, uploadedFiles, uploadedBytes, runningPid } = run;
  const progress =
    totalFiles === null || totalBytes === null
      ? 'the first scan is not through yet'
      : `${uploadedFiles}/${totalFiles} files, ${formatBytes(uploadedBytes)} of ${formatBytes(totalBytes)}`;
  const age = formatDuration(now.getTime() - run.updatedAt.getTime());
  return [
    `${run.backupId}  ${runningPid === null ? 'interrupted' : `running (process ${runningPid})`}`,
    `  Sources:   ${run.sourcePaths.join('\n             ')}`,
    `  Remote:    ${run.remote}`,
    `  Started:   ${formatInstantForPeople(run.startedAt)}`,
    `  Last seen: ${formatInstantForPeople(run.updatedAt)} (${age} ago)`,
    `  Uploaded:  ${progress}`,
    ...(runningPid === null ? [`  Go on:     ${backupCommandLine(run.sourcePaths)}`] : []),
  ].join('\n');
}

function asJson(run: UnfinishedRun): object {
  const { backupId, remote, host, startedAt, updatedAt, sourcePaths, runningPid, ...counts } = run;
  const { totalFiles, totalBytes, uploadedFiles, uploadedBytes } = counts;
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
    resumeCommand: backupCommandLine(sourcePaths),
  };
}
