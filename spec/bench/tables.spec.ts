import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatFactor, formatMemory, formatMs } from './format.ts';
import { limitGoal, ratioGoal, throughputGoal } from './goals.ts';
import type { Group } from './group.ts';
import { replacePart } from './page.ts';
import { figureTables, goalTable, table } from './report.ts';
import { createResults, median, type Sample } from './results.ts';
import { readOptions } from './run.ts';

const RUN: Sample = {
  wallMs: 4000,
  cpuMs: 3000,
  peakBytes: 100 * 2 ** 20,
  bytesIn: 1e9,
  bytesSent: 1e9,
  bytesStored: 1e9,
};

/** Three rounds of ours, one of restic, and a borg that could not. */
function someResults() {
  const results = createResults();
  for (const wallMs of [4000, 9000, 5000])
    results.add('big:first', 'skylock', { ...RUN, wallMs, peakBytes: wallMs });
  results.add('big:first', 'restic', { ...RUN, wallMs: 10_000, cpuMs: null });
  results.fail('big:first', 'borg', 'not installed (Debian: borgbackup)');
  return results;
}

const results = suite('what was measured');

results('is told as its median, and the memory as the most', () => {
  assert.is(median([3, 1, 2]), 2);
  assert.is(median([4, 1, 2, 3]), 2.5);
  const found = someResults().summary('big:first', 'skylock');
  assert.equal([found?.wallMs, found?.peakBytes, found?.rounds], [5000, 9000, 3]);
  assert.is(someResults().summary('big:first', 'restic')?.cpuMs, null);
  assert.is(someResults().summary('big:first', 'borg'), null);
  assert.is(someResults().summary('small:first', 'skylock'), null);
});

results('names who took part in the order in which they did, those that failed too', () => {
  assert.equal(someResults().whoTook('big:first'), ['skylock', 'restic', 'borg']);
  const failing = someResults();
  failing.fail('big:first', 'borg', 'another reason');
  assert.is(failing.failure('big:first', 'borg'), 'not installed (Debian: borgbackup)');
});
results.run();

const goals = suite('a goal');
const ratio = {
  title: '`big`',
  goal: '≤ 0.5 × the fastest',
  of: 'big:first',
  to: ['borg', 'restic'] as const,
};

goals('is judged against the fastest of those that were measured', () => {
  const faster = someResults();
  faster.add('big:first', 'borg', { ...RUN, wallMs: 8000 });
  assert.equal(ratioGoal({ ...ratio, atMost: 0.5 }).judge(someResults()), {
    measured: '0.50 × restic (5.00 s to 10.0 s)',
    met: true,
  });
  assert.is(ratioGoal({ ...ratio, atMost: 0.5 }).judge(faster)?.met, false);
  assert.is(throughputGoal({ ...ratio, atLeast: 2 }).judge(someResults())?.met, true);
  assert.is(
    throughputGoal({ ...ratio, atLeast: 2 }).judge(faster)?.measured,
    '1.60 × borg (5.00 s to 8.00 s)',
  );
});

goals('is not judged when something it needs was not measured', () => {
  assert.is(ratioGoal({ ...ratio, to: ['borg'], atMost: 0.5 }).judge(someResults()), null);
  assert.is(ratioGoal({ ...ratio, of: 'small:first', atMost: 0.5 }).judge(someResults()), null);
  assert.is(limitGoal('', '', formatMs, () => null).judge(someResults()), null);
});

goals('by itself is met up to its limit', () => {
  const judged = (value: number) =>
    limitGoal('', '', formatMs, () => ({ value, limit: 10 })).judge(someResults());
  assert.equal([judged(10)?.met, judged(10.1)?.met], [true, false]);
});
goals.run();

const tables = suite('the tables');
const GROUP: Group = {
  id: 'big',
  cases: [{ id: 'big:first', title: '`big`, SFTP: backup' }],
  goals: [ratioGoal({ ...ratio, atMost: 0.4 }), ratioGoal({ ...ratio, of: 'small:first', atMost: 1 })],
  run: async () => {},
};

tables('say of each goal what was measured and whether that is enough', () => {
  assert.equal(goalTable([GROUP], someResults()).split('\n').slice(2), [
    '| `big` | 0.50 × restic (5.00 s to 10.0 s) | ≤ 0.5 × the fastest | **missed** |',
    '| `big` | not measured | ≤ 0.5 × the fastest | – |',
  ]);
});

tables('have a row for each program, one that says so for each that could not', () => {
  const titleOf = (who: string) => who.toUpperCase();
  const lines = figureTables([GROUP], someResults(), { titleOf }).split('\n');
  assert.is(lines[0], '**`big`, SFTP: backup**');
  assert.equal(lines.slice(4), [
    '| SKYLOCK | 5.00 s | 1.00 × | 3.00 s | 0 MiB | 1.00 GB | 1.00 GB | 3 |',
    '| RESTIC | 10.0 s | 2.00 × | – | 100 MiB | 1.00 GB | 1.00 GB | 1 |',
    '| BORG | not installed (Debian: borgbackup) |  |  |  |  |  |  |',
  ]);
});

tables('keep their cells whole', () => {
  assert.is(table(['a'], [['tar | ssh\ncat \\| more']]), '| a |\n| --- |\n| tar \\| ssh cat \\| more |');
});

for (const [ms, said] of [
  [0.0441, '0.044 ms'],
  [9.94, '9.9 ms'],
  [71.4, '71 ms'],
  [999.4, '999 ms'],
  [1320, '1.32 s'],
  [13_600, '13.6 s'],
  [323_000, '323 s'],
] as const) {
  tables(`show ${ms} ms as ${said}`, () => assert.is(formatMs(ms), said));
}

tables('show factors with the digits that count', () => {
  assert.equal([0.0042, 0.54, 1, 12.34, 215.4].map(formatFactor), [
    '0.0042 ×',
    '0.54 ×',
    '1.00 ×',
    '12.3 ×',
    '215 ×',
  ]);
  assert.is(formatMemory(213.6 * 2 ** 20), '214 MiB');
});
tables.run();

const page = suite('the part of a page that is written');
const PAGE = 'before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n';

page('is replaced, and nothing else', () => {
  const written = replacePart(PAGE, 'bench', '\nnew\n\n');
  assert.is(written, PAGE.replace('old', 'new'));
  assert.is(replacePart(written, 'bench', 'new'), written);
});

page('has to be there', () => {
  assert.throws(() => replacePart(PAGE, 'other', 'new'), /no part/);
  assert.throws(() => replacePart('<!-- bench: end --><!-- bench: begin -->', 'bench', ''), /no part/);
});
page.run();

const options = suite('the options');

options('name groups and rounds; what is empty means nothing', () => {
  assert.equal(readOptions(['only=big small', 'rounds=5'], 3), { only: ['big', 'small'], rounds: 5 });
  assert.equal(readOptions(['only=', 'rounds='], 3), { only: [], rounds: 3 });
  for (const wrong of ['rounds=0', 'rounds=many', 'big']) assert.throws(() => readOptions([wrong], 3), wrong);
});
options.run();
