/** What is told of the journal and the state file: their functions, called as a backup calls them, in a process of their own. */
import { join } from 'node:path';
import { formatMs } from '../format.ts';
import { limitGoal, ours } from '../goals.ts';
import type { Bench, Group } from '../group.ts';
import { caseId, journeyGroup } from '../journey.ts';
import { type Command, measure } from '../measure.ts';
import { emptyFolder } from '../places.ts';
import { environment } from '../tools/tool.ts';

const FILES = 'thin-100k';
const WORK = 'journal: ms of work a file';
const EXPORT_CPU = 'state file: ms of processor time';
const EXPORT_WALL = 'state file: ms with waiting for the disk';
const FOUND = 'unfinished run: ms until found';
const CLAIMED = 'unfinished run: ms until taken over as well';

const hundredThousand: Group = journeyGroup({
  id: 'hundred-thousand',
  title: '100,000 files of up to 1 KiB, a folder on this machine',
  data: FILES,
  place: 'folder',
  tools: ['skylock'],
  steps: ['first'],
  goals: [],
});
const RUN = caseId(hundredThousand.id, 'first');

export const journal: Group = {
  id: 'journal',
  cases: hundredThousand.cases,
  goals: [
    limitGoal('journal work per file', '≤ 0.1 ms in the mean', formatMs, (results) => {
      const value = results.value(WORK);
      return value === null ? null : { value, limit: 0.1 };
    }),
    {
      title: 'state file export, 100,000 files',
      goal: '≤ 1 % of the run',
      judge(results) {
        const [cpuMs, wallMs, runMs] = [
          results.value(EXPORT_CPU),
          results.value(EXPORT_WALL),
          ours(results, RUN, 'wallMs'),
        ];
        if (cpuMs === null || wallMs === null || runMs === null) return null;
        const percent = (ms: number) => `${((100 * ms) / runMs).toFixed(1)} %`;
        const waiting = `${percent(wallMs)} with waiting for the disk, which goes on beside the run`;
        return { measured: `${percent(cpuMs)} (${waiting})`, met: cpuMs <= 0.01 * runMs };
      },
    },
    {
      title: 'an unfinished run found among 1,000 runs and a million rows',
      goal: '≤ 10 ms',
      judge(results) {
        const [foundMs, claimedMs] = [results.value(FOUND), results.value(CLAIMED)];
        if (foundMs === null || claimedMs === null) return null;
        const measured = `${formatMs(foundMs)}, and ${formatMs(claimedMs)} to take it over`;
        return { measured, met: foundMs + claimedMs <= 10 };
      },
    },
  ],
  async run(bench) {
    await hundredThousand.run({ ...bench, rounds: 1 });
    const runMs = ours(bench.results, RUN, 'wallMs');
    if (runMs === null) throw new Error('the backup of 100,000 files could not be measured');
    const work = await answerOf(bench, 'journal-work.ts', [String(runMs / 1000)]);
    bench.results.note(WORK, work.journalMsAFile!);
    bench.results.note(EXPORT_CPU, work.savedCpuMs!);
    bench.results.note(EXPORT_WALL, work.savedWallMs!);
    bench.say(`journal · ${formatMs(work.journalMsAFile!)} a file, export ${formatMs(work.savedCpuMs!)}`);
    const found = await answerOf(bench, 'find-run.ts', []);
    bench.results.note(FOUND, found.foundMs!);
    bench.results.note(CLAIMED, found.claimedMs!);
    bench.say(`journal · unfinished run found in ${formatMs(found.foundMs!)}`);
  },
};

/** Runs one of our own scripts, in an empty folder of its own. @returns the figures it prints */
async function answerOf(
  bench: Bench,
  script: string,
  args: readonly string[],
): Promise<Record<string, number>> {
  const folder = join(bench.folder, 'script');
  await emptyFolder(folder);
  try {
    const { stdout } = await measure(scriptCommand(script, [folder, ...args], bench), bench.signal);
    return JSON.parse(stdout);
  } finally {
    await emptyFolder(folder);
  }
}

/** @param script in the folder of those that are processes of their own */
export function scriptCommand(script: string, args: readonly string[], bench: Bench): Command {
  return {
    file: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, '../process', script), ...args],
    env: environment(bench.folder),
  };
}
