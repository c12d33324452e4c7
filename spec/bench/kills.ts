/**
 * Kills backups at random moments, runs them again, and counts what was sent twice: `make bench-resume`.
 * `kills.ts [rounds=10]`. All programs have the same moments, the same data and the same server, each a line of its own.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { formatBytes, formatDuration, formatRate } from '../../lib/units.ts';
import { seeded } from './content.ts';
import type { Bench } from './group.ts';
import { histograms } from './histogram.ts';
import { openAccount } from './journey.ts';
import { killAt } from './kill.ts';
import { describeRun } from './machine.ts';
import { measure } from './measure.ts';
import { writePart } from './page.ts';
import { type Place, placeOn, withPlaceOnLine } from './places.ts';
import { table } from './report.ts';
import { median } from './results.ts';
import { readOptions, withBench } from './run.ts';
import { PEERS, type Tool, type ToolName } from './tools/tool.ts';

const DOCS = resolve(import.meta.dirname, '../../docs');
/** `bench-resume` writes into the first of them that has a part for it. */
const PAGES = [join(DOCS, 'reliability.md'), join(DOCS, 'benchmarks.md')];
const PART = 'make bench-resume';
const CHART = 'bytes-sent-again.svg';

const TOOLS: readonly ToolName[] = ['skylock', ...PEERS];
const DATA = 'mixed-512m';
/** A whole run takes half a minute. */
const LINE_BYTES_PER_SECOND = 16 * 2 ** 20;
/** The moments of death, as parts of what one whole run sends. */
const [EARLIEST, LATEST] = [0.1, 0.9];

const COLUMNS = [
  '',
  'kills',
  'sent again, median',
  'worst',
  'of what had been sent, median',
  'time on the line, median',
];

/** One backup that was killed and run again; bytes on the line. */
interface Kill {
  readonly whole: number;
  readonly untilKill: number;
  readonly secondRun: number;
}

const { only, rounds } = readOptions(process.argv.slice(2), 10);
const tools = TOOLS.filter((name) => only.length === 0 || only.includes(name));
const startedAt = performance.now();
process.exitCode = await withBench(rounds, async (bench) => {
  const random = seeded('moments of death');
  const moments = Array.from(
    { length: rounds },
    () => EARLIEST + (random.below(10_000) / 10_000) * (LATEST - EARLIEST),
  );
  bench.data(DATA);
  const wanted = bench.tools.filter(({ name }) => tools.includes(name));
  const told = await Promise.all(wanted.map((tool) => killOften(tool, moments, bench)));
  tell(bench, told);
});

interface Told {
  readonly tool: Tool;
  readonly kills: readonly Kill[];
  /** Why there are not as many as there were to be. */
  readonly failure: string | null;
}

async function killOften(tool: Tool, moments: readonly number[], bench: Bench): Promise<Told> {
  const missing = tool.missing();
  if (missing !== null) return { tool, kills: [], failure: missing };
  const kills: Kill[] = [];
  const ownBench = { ...bench, folder: join(bench.folder, tool.name) };
  try {
    const server = placeOn('sftp', bench.servers, '');
    const place: Place = { ...server, folder: join(server.folder, tool.name) };
    const options = { bytesPerSecond: LINE_BYTES_PER_SECOND };
    await withPlaceOnLine(place, options, async (onLine, line) => {
      const { path } = bench.data(DATA);
      const first = await openAccount(tool, onLine, ownBench);
      const begun = await line.quiet();
      await measure(first.backup(path), bench.signal);
      const whole = (await line.quiet()) - begun;
      bench.say(`${tool.title}: a whole run sends ${formatBytes(whole)}`);
      for (const [index, moment] of moments.entries()) {
        const account = await openAccount(tool, onLine, ownBench);
        const before = await line.quiet();
        await killAt(account.backup(path), line.reached(before + moment * whole), bench.signal);
        const killed = await line.quiet();
        await measure(account.backup(path), bench.signal);
        const kill = { whole, untilKill: killed - before, secondRun: (await line.quiet()) - killed };
        kills.push(kill);
        bench.say(`${tool.title}: kill ${index + 1} of ${moments.length}, ${describe(kill)}`);
      }
    });
    return { tool, kills, failure: null };
  } catch (error) {
    bench.signal.throwIfAborted();
    const failure = error instanceof Error ? error.message : String(error);
    bench.say(`${tool.title}: ${failure}`);
    return { tool, kills, failure };
  }
}

/** A run may send a little less than another one: chunks are cut where a secret of the repository says. */
function sentAgain({ whole, untilKill, secondRun }: Kill): number {
  return Math.max(0, untilKill + secondRun - whole);
}

function describe(kill: Kill): string {
  return `after ${formatBytes(kill.untilKill)}: ${formatBytes(sentAgain(kill))} sent again`;
}

function tell(bench: Bench, told: readonly Told[]): void {
  const rows = told.map(({ tool, kills, failure }) => {
    if (kills.length === 0) return [tool.title, failure ?? '–', '', '', '', ''];
    const again = kills.map(sentAgain);
    const lost = kills.map((kill) => sentAgain(kill) / kill.untilKill);
    const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
    return [
      tool.title,
      failure === null ? String(kills.length) : `${kills.length}, then: ${failure}`,
      formatBytes(median(again)),
      formatBytes(Math.max(...again)),
      percent(median(lost)),
      `${(median(again) / LINE_BYTES_PER_SECOND).toFixed(1)} s`,
    ];
  });
  const counted = told.filter(({ kills }) => kills.length > 0);
  const title = 'Bytes sent again after a kill, as a part of one whole run';
  const chart = histograms(
    title,
    counted.map(({ tool, kills }) => ({
      name: tool.title,
      shares: kills.map((kill) => sentAgain(kill) / kill.whole),
    })),
  );
  const rate = formatRate(LINE_BYTES_PER_SECOND);
  const text = [
    describeRun(
      bench.tools.filter(({ name }) => tools.includes(name)),
      rounds,
      new Date(),
    ),
    `512 MiB in four files to sshd over a line of ${rate}, SIGKILL at a random moment, the same command again.`,
    `![${title}](images/${CHART})`,
    table(COLUMNS, rows),
  ].join('\n\n');
  process.stdout.write(`\n${text}\n\nin ${formatDuration(performance.now() - startedAt)}\n`);
  if (only.length > 0) return;
  mkdirSync(join(DOCS, 'images'), { recursive: true });
  writeFileSync(join(DOCS, 'images', CHART), chart);
  process.stdout.write(`written to ${writePart(PAGES, PART, text)}\n`);
}
