/** Killed at half of it, and run again: how long the rest takes, and what is sent twice. */
import { join } from 'node:path';
import { formatBytes } from '../../../lib/units.ts';
import { formatMs } from '../format.ts';
import { limitGoal, ours } from '../goals.ts';
import type { Bench, Group } from '../group.ts';
import { measureRun, openAccount } from '../journey.ts';
import { killAt } from '../kill.ts';
import { placeOn, withPlaceOnLine } from '../places.ts';
import { PEERS, type Tool, type ToolName } from '../tools/tool.ts';

const TOOLS: readonly ToolName[] = ['skylock', ...PEERS];
const FULL = 'resume:full';
const RESUMED = 'resume:resumed';
/** All packs that are in flight together, however many lanes there are: see docs/decisions/packs.md. */
const IN_FLIGHT_BYTES = 128 * 2 ** 20;

export const resume: Group = {
  id: 'resume',
  cases: [
    { id: FULL, title: '`big`, SFTP, through the line that counts: backup' },
    { id: RESUMED, title: '`big`, SFTP, killed at half of it: the second run' },
  ],
  goals: [
    limitGoal('`big`, resumed after SIGKILL at half', '≤ 0.5 × the full run + 0.5 s', formatMs, (results) => {
      const [value, full] = [ours(results, RESUMED, 'wallMs'), ours(results, FULL, 'wallMs')];
      return value === null || full === null ? null : { value, limit: 0.5 * full + 500 };
    }),
    limitGoal(
      '`big`, resumed after SIGKILL at half: sent again',
      '≤ lanes × pack size (128 MiB)',
      formatBytes,
      (results) => {
        const value = results.value(sentAgain('skylock'));
        return value === null ? null : { value, limit: IN_FLIGHT_BYTES };
      },
    ),
  ],
  async run(bench) {
    for (let round = 1; round <= bench.rounds; round += 1) {
      for (const tool of bench.tools.filter(({ name }) => TOOLS.includes(name))) {
        if (round > 1 && tool.name !== 'skylock') continue; // once shows what they do
        const missing = tool.missing();
        const failed = (reason: string) => bench.results.fail(RESUMED, tool.name, reason);
        if (missing !== null) failed(missing);
        else {
          await killAndResume(tool, bench).catch((error: Error) => {
            bench.signal.throwIfAborted();
            bench.say(`resume · ${tool.title}: ${error.message}`);
            failed(error.message);
          });
        }
      }
    }
  },
};

/** The name under which the bytes are noted that a tool sent twice. */
export function sentAgain(tool: ToolName): string {
  return `bytes sent again by ${tool}`;
}

async function killAndResume(tool: Tool, bench: Bench): Promise<void> {
  const { results, signal } = bench;
  const data = bench.data('big');
  await withPlaceOnLine(
    placeOn('sftp', bench.servers, join(bench.folder, 'place')),
    {},
    async (place, line) => {
      const way = { data, place, line, isRestore: false };
      const whole = await openAccount(tool, place, bench);
      const full = await measureRun(whole.backup(data.path), way, signal);
      results.add(FULL, tool.name, full);

      const account = await openAccount(tool, place, bench);
      const before = await line.quiet();
      await killAt(account.backup(data.path), line.reached(before + data.bytes / 2), signal);
      const sentFirst = (await line.quiet()) - before;
      const resumed = await measureRun(account.backup(data.path), way, signal);
      results.add(RESUMED, tool.name, resumed);
      const again = sentFirst + resumed.bytesSent! - full.bytesSent!;
      results.note(sentAgain(tool.name), Math.max(0, again));
      bench.say(
        `resume · ${tool.title}: ${formatMs(full.wallMs)}, then ${formatMs(resumed.wallMs)} with ${formatBytes(Math.max(0, again))} sent again`,
      );
    },
  );
}
