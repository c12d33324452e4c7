import { EXIT } from '../errors.ts';
import { formatCount } from '../units.ts';
import type { RepairSummary } from '../upkeep/repair.ts';
import type { Action } from '../upkeep/repair-step.ts';
import { chooseProgressFormat, createProgress } from '../view/progress.ts';
import { type Cli, defineCommand } from './cli.ts';
import { withSession } from './session.ts';

export const repairCommand = defineCommand({
  command: 'repair',
  describe: 'mend a damaged repository: indexes are made anew, what cannot be read is given up',
  builder: (argv) =>
    argv
      .option('dry-run', { type: 'boolean', default: false, describe: 'only say what would be done' })
      .option('read-data', {
        type: 'boolean',
        default: false,
        describe: 'fetch every pack, to find and take out what is damaged inside',
      })
      .example('$0 repair --dry-run', 'see what would be done'),

  async run(cli, options) {
    const { terminal } = cli;
    const { dryRun, readData } = options;
    const view = createProgress(terminal, {
      format: chooseProgressFormat(terminal),
      now: () => performance.now(),
    });
    // Results go to the window as well: nothing may be drawn there any more when the first one comes.
    let closed: Promise<void> | null = null;
    const closeView = () => (closed ??= view.close());
    let summary: RepairSummary;
    try {
      const forSession = { progress: view.report, checkJournal: true, mayPut: !dryRun };
      summary = await withSession(cli, options, forSession, async (session) => {
        const { repair } = await import('../upkeep/repair.ts');
        return repair(
          { dryRun, readData },
          {
            ...session,
            progress: view.report,
            signal: cli.signal,
            onAction: async (action) => {
              await closeView();
              await showAction(cli, action, dryRun);
            },
          },
        );
      });
    } finally {
      await closeView();
    }
    await showSummary(cli, summary);
    return summary.lostChunks > 0 || summary.unreadableBackups > 0 ? EXIT.incomplete : EXIT.done;
  },
});

const DONE: Readonly<Record<Action['action'], string>> = {
  put: 'put',
  removed: 'removed',
  set_aside: 'set aside',
  dropped: 'dropped from the indexes',
  kept: 'kept, cannot be mended',
};

async function showAction({ terminal }: Cli, action: Action, dryRun: boolean): Promise<void> {
  if (terminal.json) await terminal.resultJson({ type: 'action', ...action, dryRun });
  else {
    const would = dryRun && action.action !== 'kept' ? 'would be ' : '';
    await terminal.result(`${action.object}: ${would}${DONE[action.action]}: ${action.reason}`);
  }
}

async function showSummary({ terminal }: Cli, summary: RepairSummary): Promise<void> {
  if (terminal.json) {
    await terminal.resultJson({ type: 'summary', ...summary });
    return;
  }
  const { actions, lostChunks, unreadableBackups, dryRun } = summary;
  if (actions === 0) terminal.message('✅ Nothing to mend');
  else if (dryRun) terminal.message(`🔧 ${formatCount(actions, 'step')} would be taken; nothing was changed`);
  else terminal.message(`🔧 Mended in ${formatCount(actions, 'step')}`);
  if (lostChunks > 0) {
    terminal.warning(`${formatCount(lostChunks, 'chunk')} cannot be read any more`);
    terminal.hint(
      "'skylock backup' sends again what the sources still have; 'skylock verify' then names the rest.",
    );
  }
  if (unreadableBackups > 0) {
    terminal.warning(`${formatCount(unreadableBackups, 'backup')} cannot be opened and cannot be mended`);
  }
}
