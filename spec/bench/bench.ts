/**
 * Measures Skylock beside the programs it is compared with: `make bench`, `make bench-quick`, `make bench-million`.
 * `bench.ts all|quick|million [only='big small'] [rounds=3]`
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { formatDuration } from '../../lib/units.ts';
import { big, bigWebdav, quickBackups, small, smallWebdav, tree } from './cases/backup.ts';
import { distances, quickDistance } from './cases/distance.ts';
import { journal } from './cases/journal.ts';
import { huge, million } from './cases/million.ts';
import { resume, sentAgain } from './cases/resume.ts';
import { startUp } from './cases/start.ts';
import { barChart, type ChartCase } from './chart.ts';
import type { Bench, Group } from './group.ts';
import { describeRun } from './machine.ts';
import { writePart } from './page.ts';
import { figureTables, goalTable } from './report.ts';
import { readOptions, withBench } from './run.ts';

const DOCS = resolve(import.meta.dirname, '../../docs');

interface Suite {
  readonly groups: readonly Group[];
  readonly rounds: number;
  /** The part of the page that a whole run writes, and the chart above its tables; `null`: it prints only. */
  readonly part: string | null;
  readonly chart: string | null;
}

const SUITES: Readonly<Record<string, Suite>> = {
  all: {
    groups: [big, small, tree, bigWebdav, smallWebdav, resume, ...distances, journal, startUp],
    rounds: 3,
    part: 'make bench',
    chart: 'benchmarks.svg',
  },
  quick: { groups: [...quickBackups, quickDistance, startUp], rounds: 1, part: null, chart: null },
  million: { groups: [million, huge], rounds: 1, part: 'make bench-million', chart: null },
};

const [name = '', ...words] = process.argv.slice(2);
const suite = SUITES[name];
if (suite === undefined) throw new Error(`run ${name}: the suites are ${Object.keys(SUITES).join(', ')}`);
const { only, rounds } = readOptions(words, suite.rounds);
const unknown = only.filter((id) => !suite.groups.some((group) => group.id === id));
if (unknown.length > 0) {
  throw new Error(`measure ${unknown.join(', ')}: there are ${suite.groups.map(({ id }) => id).join(', ')}`);
}
const groups = suite.groups.filter(({ id }) => only.length === 0 || only.includes(id));

const startedAt = performance.now();
process.exitCode = await withBench(rounds, async (bench) => {
  for (const group of groups) await measureGroup(group, bench);
  tell(bench);
});

async function measureGroup(group: Group, bench: Bench): Promise<void> {
  try {
    await group.run(bench);
  } catch (error) {
    bench.signal.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    bench.say(`${group.id}: ${reason}`);
    for (const { id } of group.cases) {
      if (bench.results.summary(id, 'skylock') === null) bench.results.fail(id, 'skylock', reason);
    }
  }
}

/** Prints everything; a whole run is written into the page as well. */
function tell(bench: Bench): void {
  const { results, tools, dataFolder } = bench;
  const titleOf = (who: string) => tools.find((tool) => tool.name === who)?.title ?? who;
  const resent = tools.flatMap((tool) => {
    const bytes = results.value(sentAgain(tool.name));
    return bytes === null ? [] : [`${tool.title} ${(bytes / 1e6).toFixed(0)} MB`];
  });
  const parts = [
    describeRun(tools, rounds, new Date()),
    goalTable(groups, results),
    ...(resent.length === 0 ? [] : [`Sent again after SIGKILL at half of \`big\`: ${resent.join(', ')}.`]),
    figureTables(groups, results, { titleOf }),
  ];
  process.stdout.write(`\n${parts.join('\n\n')}\n\nin ${formatDuration(performance.now() - startedAt)}\n`);
  mkdirSync(dataFolder, { recursive: true });
  writeFileSync(join(dataFolder, `results-${name}.json`), JSON.stringify(results.raw(), null, 1));
  if (suite!.part === null || only.length > 0) return;
  if (suite!.chart !== null) {
    const cases = groups
      .flatMap((group) => group.cases)
      .flatMap((one): ChartCase[] => {
        const whos = results.whoTook(one.id).filter((who) => results.summary(one.id, who) !== null);
        if (whos.length < 2 || whos[0] !== 'skylock') return [];
        const bars = whos.map((who) => ({ who: titleOf(who), wallMs: results.summary(one.id, who)!.wallMs }));
        return [{ title: one.title.replaceAll('`', ''), bars }];
      });
    const title = "Time taken, in multiples of Skylock's (logarithmic)";
    mkdirSync(join(DOCS, 'images'), { recursive: true });
    writeFileSync(join(DOCS, 'images', suite!.chart), barChart(title, cases));
    parts.splice(1, 0, `![${title}](images/${suite!.chart})`);
  }
  const page = writePart([join(DOCS, 'benchmarks.md')], suite!.part, parts.join('\n\n'));
  process.stdout.write(`written to ${page}\n`);
}
