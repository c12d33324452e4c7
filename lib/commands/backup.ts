import type { BackupSummary } from '../backup/backup.ts';
import type { Found } from '../backup/scan.ts';
import { EXIT, UsageError } from '../errors.ts';
import { formatBytes, formatDuration } from '../units.ts';
import { chooseProgressFormat, createProgress } from '../view/progress.ts';
import { requireBackupId } from './backup-id.ts';
import { type Cli, defineCommand } from './cli.ts';
import { type OwnFolders, type SessionOptions, withSession } from './session.ts';

/** What a backup looks at before it claims the run, or right after that. */
const LISTED = ['backups/', 'resume/', 'packs/', 'index/', 'tmp/'];

export const backupCommand = defineCommand({
  command: 'backup [paths..]',
  describe: 'back up files and folders; run it again to go on after an interruption',
  builder: (argv) =>
    argv
      .positional('paths', { type: 'string', array: true, describe: 'what to back up' })
      .option('direct', {
        type: 'boolean',
        default: false,
        describe: 'send straight to the repository, resumable at any point',
      })
      .option('adopt', {
        type: 'string',
        requiresArg: true,
        describe: 'ID: go on with this unfinished backup, whichever machine began it',
      })
      .option('verify-resume', {
        type: 'boolean',
        default: false,
        describe: 'prove what counts as uploaded: read the files again, ask the remote for each pack',
      })
      .example('$0 backup --direct ~/Documents ~/Pictures', 'back up two folders'),

  async run(cli, options) {
    const { terminal } = cli;
    if (!options.direct) {
      throw new UsageError('back up: archive mode is not there yet', {
        hints: ['Add --direct: it sends straight to the repository and can be resumed.'],
      });
    }
    const { canonicalSources } = await import('../backup/sources.ts');
    const sourcePaths = canonicalSources(options.paths ?? [], cli.cwd);
    const adopt = options.adopt === undefined ? null : requireBackupId(options.adopt);
    const startedAt = performance.now();
    const view = createProgress(terminal, {
      format: chooseProgressFormat(terminal),
      now: () => performance.now(),
    });
    let summary: BackupSummary;
    let found: Iterable<Found> | null = null;
    try {
      const forSession: SessionOptions = {
        progress: view.report,
        makeDefaultRepository: true,
        checkJournal: true,
        mayPut: true,
        listAhead: LISTED,
        async whileOpening(own, opening) {
          await import('../backup/backup.ts');
          // What is read again takes as long as the files are large: what was found before it would be old.
          if (!options.verifyResume) found = await scanSources(sourcePaths, own, opening);
        },
      };
      summary = await withSession(cli, options, forSession, async (session) => {
        const { backUp } = await import('../backup/backup.ts');
        const { identifyProcess } = await import('../journal/owner.ts');
        const { config, paths, lanes, mostLanes } = session;
        return backUp(
          {
            sourcePaths,
            ownFolders: ownFolders(session),
            found,
            stateFolder: paths.stateFolder,
            adopt,
            verifyResume: options.verifyResume,
            lanes,
            mostLanes,
            compressOverBytes: config.compressOverBytes,
            host: cli.host,
            owner: identifyProcess(cli.pid)!,
            program: cli.program,
          },
          { ...session, progress: view.report, signal: cli.signal, now: cli.now },
        );
      });
    } finally {
      await view.close();
    }
    await showSummary(cli, summary, performance.now() - startedAt);
    return summary.failures > 0 ? EXIT.incomplete : EXIT.done;
  },
});

function ownFolders({ paths, localRoot }: OwnFolders): string[] {
  const { dataFolder, cacheFolder } = paths;
  return localRoot === null ? [dataFolder, cacheFolder] : [dataFolder, cacheFolder, localRoot];
}

/** Begins to look at the sources. @param opening how long there is nothing else to do */
async function scanSources(
  sourcePaths: readonly Buffer[],
  own: OwnFolders,
  opening: Promise<unknown>,
): Promise<Iterable<Found>> {
  const { excludedPaths } = await import('../backup/sources.ts');
  const { scan } = await import('../backup/scan.ts');
  const { scanAhead } = await import('../backup/scan-ahead.ts');
  return scanAhead(scan(sourcePaths, excludedPaths(ownFolders(own))), opening);
}

async function showSummary({ terminal }: Cli, summary: BackupSummary, durationMs: number): Promise<void> {
  if (terminal.json) {
    await terminal.resultJson({ type: 'summary', ...summary, durationSeconds: durationMs / 1000 });
    return;
  }
  const { backupId, files, bytes, sentBytes, failures } = summary;
  const count = `${files} ${files === 1 ? 'file' : 'files'}, ${formatBytes(bytes)}`;
  terminal.message(
    `${failures === 0 ? '✅' : '⚠️ '} Backup complete: ${count}; sent ${formatBytes(sentBytes)} in ${formatDuration(durationMs)}`,
  );
  if (failures > 0) {
    terminal.warning(`${failures} ${failures === 1 ? 'entry' : 'entries'} could not be read as named above`);
  }
  await terminal.result(backupId);
}
