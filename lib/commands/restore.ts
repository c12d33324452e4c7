import { resolve } from 'node:path';
import { EXIT } from '../errors.ts';
import { BACKUPS_PREFIX } from '../repository/repository.ts';
import type { RestoreSummary } from '../restore/tally.ts';
import { formatBytes, formatCount, formatDuration } from '../units.ts';
import { chooseProgressFormat, createProgress } from '../view/progress.ts';
import { type Cli, defineCommand } from './cli.ts';
import { describeUnfinished, findBackup, LATEST, pathInBackup, requireBackupName } from './find-backup.ts';
import { type SessionOptions, withSession } from './session.ts';

export const restoreCommand = defineCommand({
  command: 'restore <id> [paths..]',
  describe: 'restore a backup, or some of it; run it again to go on after an interruption',
  builder: (argv) =>
    argv
      .positional('id', { type: 'string', demandOption: true, describe: "a backup's id, or latest" })
      .positional('paths', {
        type: 'string',
        array: true,
        describe: 'files and folders as they are in the backup; all of it without them',
      })
      .option('target', {
        alias: 't',
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: 'DIR: folder to restore into, each path below it in full',
      })
      .option('overwrite', {
        choices: ['never', 'if-changed', 'always'] as const,
        requiresArg: true,
        default: 'never' as const,
        describe: 'what becomes of files that are there already and differ; always compares contents',
      })
      .example('$0 restore latest --target /tmp/restored', 'all of the newest backup')
      .example('$0 restore 20251107_142030 /home/ann/notes -t .', 'one folder of an older one'),

  async run(cli, options) {
    const { terminal } = cli;
    const name = requireBackupName(options.id);
    const paths = (options.paths ?? []).map(pathInBackup);
    const startedAt = performance.now();
    const view = createProgress(terminal, {
      format: chooseProgressFormat(terminal),
      now: () => performance.now(),
    });
    let summary: RestoreSummary;
    let unfinished: string | null = null;
    try {
      const forSession: SessionOptions = {
        progress: view.report,
        checkJournal: true, // a place of a chunk that is wrong there would look like damage on the remote
        listAhead: name === LATEST ? [BACKUPS_PREFIX] : [],
        async whileOpening() {
          await import('../restore/restore.ts');
        },
      };
      summary = await withSession(cli, options, forSession, async (session) => {
        const { restore } = await import('../restore/restore.ts');
        const { identifyProcess } = await import('../journal/owner.ts');
        const backup = await findBackup(session.repository, name);
        unfinished = describeUnfinished(backup);
        const request = {
          backup,
          paths,
          target: resolve(cli.cwd, options.target),
          overwrite: options.overwrite,
          owner: identifyProcess(cli.pid)!,
          userId: cli.userId,
        };
        return restore(request, { ...session, progress: view.report, signal: cli.signal });
      });
    } finally {
      await view.close();
    }
    await showSummary(cli, summary, performance.now() - startedAt);
    if (summary.failures > 0 && options.overwrite === 'never') {
      terminal.hint("What was there before was kept; '--overwrite if-changed' replaces what differs.");
    }
    if (unfinished !== null) terminal.warning(`${unfinished}; the rest could not be restored`);
    return summary.failures > 0 || unfinished !== null ? EXIT.incomplete : EXIT.done;
  },
});

async function showSummary({ terminal }: Cli, summary: RestoreSummary, durationMs: number): Promise<void> {
  if (terminal.json) {
    await terminal.resultJson({ type: 'summary', ...summary, durationSeconds: durationMs / 1000 });
    return;
  }
  const { files, bytes, presentFiles, fetchedBytes, failures, target } = summary;
  const present = presentFiles > 0 ? `, ${presentFiles} of them there before` : '';
  terminal.message(
    `${failures === 0 ? '✅' : '⚠️ '} Restored into ${target}: ${formatCount(files, 'file')}, ${formatBytes(bytes)}${present}; ` +
      `fetched ${formatBytes(fetchedBytes)} in ${formatDuration(durationMs)}`,
  );
  if (failures === 0) return;
  terminal.warning(
    `${failures} ${failures === 1 ? 'entry' : 'entries'} could not be restored as named above`,
  );
}
