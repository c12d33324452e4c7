import { EXIT, SkylockError } from '../errors.ts';
import type { Journal } from '../journal/database.ts';
import type { UnfinishedRun } from '../journal/unfinished.ts';
import { formatDuration, parseDuration } from '../units.ts';
import { requireBackupId } from './backup-id.ts';
import { defineCommand } from './cli.ts';
import { withJournal } from './session.ts';

export const cleanupCommand = defineCommand({
  command: 'cleanup [id]',
  describe: 'forget unfinished backups; what they sent stays useful',
  builder: (argv) =>
    argv
      .positional('id', { type: 'string', describe: 'one backup, however old it is' })
      .option('older-than', {
        type: 'string',
        default: '7d',
        requiresArg: true,
        describe: 'forget those of which nothing was sent for so long',
      })
      .option('dry-run', { type: 'boolean', default: false, describe: 'only say what would be forgotten' })
      .example('$0 cleanup --older-than 7d', 'forget what nobody went on with for a week'),

  async run(cli, options) {
    const { terminal } = cli;
    const id = options.id === undefined ? null : requireBackupId(options.id);
    const olderThanMs = parseDuration(options.olderThan, '--older-than');
    const olderThan = new Date(cli.now().getTime() - olderThanMs);
    const forgotten = await withJournal(cli, options, async (journal, { stateFolder }) =>
      journal === null ? [] : forget(journal, stateFolder, { id, olderThan, dryRun: options.dryRun }),
    );
    if (id !== null && forgotten.length === 0) {
      throw new SkylockError(`forget backup ${id}: nothing of this id is unfinished`, {
        hints: ["See 'skylock resume-status'."],
      });
    }
    const did = options.dryRun ? 'would be forgotten' : 'forgotten';
    if (terminal.json) {
      await terminal.resultJson(
        forgotten.map(({ backupId, sourcePaths }) => ({ backupId, sourcePaths: sourcePaths.map(String) })),
      );
    } else if (forgotten.length === 0) {
      await terminal.result(`No unfinished backup is older than ${formatDuration(olderThanMs)}.`);
    } else {
      await terminal.result(
        forgotten.map((run) => `${run.backupId}  ${did}: ${run.sourcePaths.join(', ')}`).join('\n'),
      );
    }
    return EXIT.done;
  },
});

async function forget(
  journal: Journal,
  stateFolder: string,
  {
    id,
    olderThan,
    dryRun,
  }: { readonly id: string | null; readonly olderThan: Date; readonly dryRun: boolean },
): Promise<UnfinishedRun[]> {
  const unfinished = await import('../journal/unfinished.ts');
  if (id === null) {
    return dryRun
      ? unfinished.expiredRuns(journal, olderThan)
      : unfinished.abandonExpiredRuns(journal, olderThan, stateFolder);
  }
  const runs = unfinished.unfinishedRuns(journal).filter(({ backupId }) => backupId === id);
  if (dryRun) return runs;
  for (const run of runs) unfinished.abandonRun(journal, run);
  await unfinished.removeStaleStateFiles(journal, stateFolder);
  return runs;
}
