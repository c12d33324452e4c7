import { type DamagedError, EXIT } from '../errors.ts';
import type { BackupHeader } from '../format/backup-header.ts';
import type { UnfinishedRun } from '../journal/unfinished.ts';
import { formatBytes, formatInstantForPeople } from '../units.ts';
import { defineCommand } from './cli.ts';
import { withSession } from './session.ts';

/** One backup as `list --json` gives it; the names are part of the interface. */
interface ListedBackup {
  readonly backupId: string;
  readonly state: 'complete' | 'unfinished';
  readonly startedAt: Date;
  readonly finishedAt: Date | null;
  readonly host: string;
  readonly sourcePaths: readonly string[];
  readonly files: number;
  readonly bytes: number;
  /** Entries that could not be read; `null` while it is unfinished. */
  readonly unreadable: number | null;
  readonly uploadedFiles: number;
  readonly uploadedBytes: number;
}

export const listCommand = defineCommand({
  command: 'list',
  describe: 'list the backups on the remote, the unfinished ones with their progress',
  builder: (argv) => argv.example('$0 list --json', 'for programs: one array of objects'),

  async run(cli, options) {
    const { terminal } = cli;
    const damaged: DamagedError[] = [];
    const note = (error: DamagedError) => void damaged.push(error);
    const listed = await withSession(cli, options, {}, async ({ repository, journal }) => {
      const { readBackups, readCheckpoints } = await import('../repository/backups.ts');
      const { unfinishedRuns } = await import('../journal/unfinished.ts');
      const { hasEnded } = await import('../journal/claims.ts');
      // The last to tell of a backup is right: killed between publishing and completing, a run is complete on the
      // remote and still unfinished here; of a run of its own the journal knows more than the last checkpoint.
      const checkpoints = (await readCheckpoints(repository, note))
        .filter((checkpoint) => !hasEnded(journal, checkpoint))
        .map(listCheckpoint);
      const unfinished = unfinishedRuns(journal)
        .filter(({ repositoryUuid }) => repositoryUuid === repository.config.repositoryId)
        .map(listUnfinished);
      const complete = (await readBackups(repository, note)).map(listComplete);
      const byId = new Map(
        [...checkpoints, ...unfinished, ...complete].map((backup) => [backup.backupId, backup]),
      );
      return [...byId.values()].sort((a, b) => (a.backupId < b.backupId ? -1 : 1));
    });
    if (terminal.json) await terminal.resultJson(listed);
    else if (listed.length > 0) await terminal.result(terminal.table(COLUMNS, listed.map(row)));
    else if (damaged.length === 0) await terminal.result('There is no backup yet.');
    if (damaged.length === 0) return EXIT.done;
    for (const { message } of damaged) terminal.failure(message);
    terminal.hint("'skylock verify' tells what else is damaged, 'skylock repair' mends what can be.");
    return EXIT.failed;
  },
});

const COLUMNS = [
  { title: 'Backup' },
  { title: 'Started' },
  { title: 'State' },
  { title: 'Host', shrinks: true },
  { title: 'Files', align: 'right' },
  { title: 'Size', align: 'right' },
  { title: 'Sources', shrinks: true },
] as const;

function row(backup: ListedBackup): string[] {
  const { files, uploadedFiles, unreadable } = backup;
  const isComplete = backup.state === 'complete';
  const state = isComplete
    ? unreadable
      ? `complete, ${unreadable} unreadable`
      : 'complete'
    : `unfinished, ${files === 0 ? 0 : Math.floor((100 * uploadedFiles) / files)}%`;
  return [
    backup.backupId,
    formatInstantForPeople(backup.startedAt),
    state,
    backup.host,
    String(files),
    formatBytes(backup.bytes),
    backup.sourcePaths.join(', '),
  ];
}

function listComplete(header: BackupHeader): ListedBackup {
  const { backupId, startedAt, finishedAt, host, sourcePaths, files, bytes, unreadable } = header;
  return {
    backupId,
    state: 'complete',
    startedAt,
    finishedAt,
    host,
    sourcePaths: sourcePaths.map(String),
    files,
    bytes,
    unreadable,
    uploadedFiles: files,
    uploadedBytes: bytes,
  };
}

function listUnfinished(run: UnfinishedRun): ListedBackup {
  const { backupId, startedAt, host, sourcePaths, uploadedFiles, uploadedBytes } = run;
  return {
    backupId,
    state: 'unfinished',
    startedAt,
    finishedAt: null,
    host,
    sourcePaths: sourcePaths.map(String),
    files: run.totalFiles ?? 0,
    bytes: run.totalBytes ?? 0,
    unreadable: null,
    uploadedFiles,
    uploadedBytes,
  };
}

/** An unfinished backup of another machine, or of this one before it lost its journal. */
function listCheckpoint(header: BackupHeader): ListedBackup {
  const { backupId, startedAt, host, sourcePaths, files, bytes, progress } = header;
  return {
    backupId,
    state: 'unfinished',
    startedAt,
    finishedAt: null,
    host,
    sourcePaths: sourcePaths.map(String),
    files: progress?.totalFiles ?? files,
    bytes: progress?.totalBytes ?? bytes,
    unreadable: null,
    uploadedFiles: files,
    uploadedBytes: bytes,
  };
}
