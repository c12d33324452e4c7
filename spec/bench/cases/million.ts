/** A million files, and one of 64 GiB: whether it ends, in how much memory, and whether a file costs more than before. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { provideSparseFile, SPARSE_BYTES } from '../data.ts';
import { lookAt } from '../folder-look.ts';
import { formatFactor, formatMemory, formatMs } from '../format.ts';
import { type Goal, ours } from '../goals.ts';
import type { Bench, Group } from '../group.ts';
import { caseId, journeyGroup, measureRun, openAccount } from '../journey.ts';
import { killAt } from '../kill.ts';
import { measure } from '../measure.ts';
import { emptyFolder, placeOn } from '../places.ts';
import { scriptCommand } from './journal.ts';

const MOST_MEMORY = 300 * 2 ** 20;
const FOLDER = 'a folder on this machine';

const tenThousand: Group = journeyGroup({
  id: 'ten-thousand',
  title: `10,000 files of up to 1 KiB, ${FOLDER}`,
  data: 'thin-10k',
  place: 'folder',
  tools: ['skylock'],
  steps: ['first'],
  goals: [],
});
const FEW = caseId(tenThousand.id, 'first');

const wholeMillion: Group = journeyGroup({
  id: 'whole-million',
  title: `a million files of up to 1 KiB, ${FOLDER}`,
  data: 'thin-1m',
  place: 'folder',
  tools: ['skylock'],
  steps: ['first', 'again'],
  goals: [],
});
const [MANY, MANY_AGAIN, MANY_RESUMED] = [
  caseId(wholeMillion.id, 'first'),
  caseId(wholeMillion.id, 'again'),
  'whole-million:resumed',
];
const HUGE = 'huge';

export const million: Group = {
  id: 'million',
  cases: [
    ...tenThousand.cases,
    ...wholeMillion.cases,
    { id: MANY_RESUMED, title: `a million files of up to 1 KiB, ${FOLDER}: resumed after SIGKILL at half` },
  ],
  goals: [
    memoryGoal('a million files, first run', MANY),
    memoryGoal('a million files, again', MANY_AGAIN),
    memoryGoal('a million files, resumed', MANY_RESUMED),
    {
      title: 'time per file at a million',
      goal: '≤ 1.3 × that at 10,000',
      judge(results) {
        const [manyMs, fewMs] = [ours(results, MANY, 'wallMs'), ours(results, FEW, 'wallMs')];
        if (manyMs === null || fewMs === null) return null;
        const [many, few] = [manyMs / 1_000_000, fewMs / 10_000];
        const measured = `${formatFactor(many / few)} (${formatMs(many)} to ${formatMs(few)})`;
        return { measured, met: many <= 1.3 * few };
      },
    },
  ],
  async run(bench) {
    await tenThousand.run({ ...bench, rounds: 3 }); // three seconds of it
    await wholeMillion.run(bench);
    await resumeMillion(bench);
  },
};

/** Not by the launcher, so what that starts Node with is said here. */
export const huge: Group = {
  id: 'huge',
  cases: [{ id: HUGE, title: 'one file of 64 GiB, sparse, a remote that keeps nothing' }],
  goals: [memoryGoal('one file of 64 GiB', HUGE)],
  async run(bench) {
    const path = provideSparseFile(bench.dataFolder, bench.say);
    const folder = join(bench.folder, 'script');
    await emptyFolder(folder);
    const script = scriptCommand('null-remote.ts', [folder, path], bench);
    const asLaunched = {
      ...script,
      args: ['--max-semi-space-size=4', ...script.args],
      env: { ...script.env, MALLOC_ARENA_MAX: '2' },
    };
    const { stdout, ...usage } = await measure(asLaunched, bench.signal);
    const { bytes, sentBytes } = JSON.parse(stdout);
    if (bytes !== SPARSE_BYTES) throw new Error(`backed up ${bytes} bytes, not ${SPARSE_BYTES}`);
    bench.results.add(HUGE, 'skylock', { ...usage, bytesIn: bytes, bytesSent: sentBytes, bytesStored: null });
    bench.say(`huge · ${formatMs(usage.wallMs)}`);
    await emptyFolder(folder);
  },
};

function memoryGoal(title: string, id: string): Goal {
  return {
    title,
    goal: 'finishes; peak memory ≤ 300 MiB',
    judge(results) {
      const found = results.summary(id, 'skylock');
      if (found === null || found.peakBytes === null) return null;
      const measured = `${formatMemory(found.peakBytes)}, in ${formatMs(found.wallMs)}`;
      return { measured, met: found.peakBytes <= MOST_MEMORY };
    },
  };
}

async function resumeMillion(bench: Bench): Promise<void> {
  const whole = bench.results.summary(MANY, 'skylock')?.bytesStored;
  if (whole === undefined || whole === null) throw new Error('the first run could not be measured');
  const data = bench.data('thin-1m');
  const place = placeOn('folder', bench.servers, join(bench.folder, 'place'));
  const account = await openAccount(bench.tools[0]!, place, bench);
  const ended = new AbortController();
  const half = grownTo(join(place.folder, 'repository'), whole / 2, ended.signal);
  await killAt(account.backup(data.path), half, bench.signal).finally(() => ended.abort());
  const sample = await measureRun(
    account.backup(data.path),
    { data, place, line: null, isRestore: false },
    bench.signal,
  );
  bench.results.add(MANY_RESUMED, 'skylock', sample);
  bench.say(`million · resumed: ${formatMs(sample.wallMs)}`);
  await emptyFolder(place.folder);
}

async function grownTo(folder: string, bytes: number, stop: AbortSignal): Promise<void> {
  while (!stop.aborted && (!existsSync(folder) || lookAt(folder).bytes < bytes)) await sleep(50);
}
