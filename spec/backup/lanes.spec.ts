import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createLanes, type Lanes } from '../../lib/backup/lanes.ts';

const MB = 1_000_000;
const STEP_MS = 20;

/** What the line gives so many lanes, in bytes a second. */
type Line = (lanes: number) => number;

/** A line that gives each lane so much, and all of them together at most `totalBytes`. */
const line =
  (laneBytes: number, totalBytes: number): Line =>
  (lanes) =>
    Math.min(lanes * laneBytes, totalBytes);

interface Simulation {
  readonly lanes: Lanes;
  /** Every number of lanes there was, in order. */
  readonly counts: number[];
  /** Lets so much time pass on the line; the lanes wait for this part of it. */
  run(seconds: number, on: Line, waiting?: number): void;
}

function simulate(most = 16): Simulation {
  let nowMs = 0;
  const counts = [4];
  const lanes = createLanes({
    first: 4,
    most,
    largestPackBytes: 10 * MB,
    now: () => nowMs,
    onChange: (count) => counts.push(count),
  });
  return {
    lanes,
    counts,
    run(seconds, on, waiting = 0) {
      for (const endMs = nowMs + seconds * 1000; nowMs < endMs; ) {
        nowMs += STEP_MS;
        lanes.waited(waiting * STEP_MS * lanes.count());
        lanes.sent((on(lanes.count()) * (1 - waiting) * STEP_MS) / 1000);
      }
    },
  };
}

const number = suite('the number of lanes');

number('is doubled as long as each lane brings more, and never above the limit', () => {
  const { counts, run } = simulate(16);
  run(20, line(12 * MB, 1000 * MB));
  assert.equal(counts, [4, 8, 16]);
  const limited = simulate(6);
  limited.run(20, line(12 * MB, 1000 * MB));
  assert.equal(limited.counts, [4, 6]);
});

number('reaches what a long line needs within seconds', () => {
  const { lanes, run } = simulate(16);
  run(4, line(12 * MB, 1000 * MB));
  assert.is(lanes.count(), 16);
});

number('goes back where more lanes bring nothing, and asks again more and more rarely', () => {
  const { counts, run } = simulate();
  run(20, line(100 * MB, 110 * MB));
  assert.equal(counts, [4, 8, 4]);
  run(600, line(100 * MB, 110 * MB));
  assert.ok(counts.length >= 7 && counts.length <= 13, String(counts));
  assert.is(counts.at(-1), 4);
});

number('follows a line that has become longer', () => {
  const { lanes, run } = simulate();
  run(10, line(100 * MB, 110 * MB));
  run(120, line(12 * MB, 1000 * MB));
  assert.is(lanes.count(), 16);
});

number('stays where the lanes wait for something to send', () => {
  const { counts, run } = simulate();
  run(30, line(12 * MB, 1000 * MB), 0.5);
  assert.equal(counts, [4]);
});

number('stays where each of more lanes would take longer than four seconds for a pack', () => {
  const slow = simulate();
  slow.run(600, line(4.9 * MB, 1000 * MB));
  assert.equal(slow.counts, [4]);
  const fast = simulate();
  fast.run(600, line(5.1 * MB, 1000 * MB));
  assert.equal(fast.counts, [4, 8, 16]);
});

number(
  'is halved when the server pushes back, once for all lanes that were told, and never below one',
  () => {
    const { lanes, counts, run } = simulate();
    run(5, line(12 * MB, 1000 * MB));
    assert.is(lanes.count(), 16);
    for (let lane = 0; lane < 16; lane += 1) lanes.pushedBack();
    assert.is(lanes.count(), 8);
    run(2, line(12 * MB, 1000 * MB));
    assert.is(lanes.count(), 8, 'held for a while');
    for (let time = 0; time < 6; time += 1) {
      lanes.pushedBack();
      run(2, line(12 * MB, 1000 * MB));
    }
    assert.equal(counts.slice(-4), [8, 4, 2, 1]);
    run(1200, line(12 * MB, 1000 * MB));
    assert.is(lanes.count(), 16, 'and grows again once the server is at ease');
  },
);

number.run();
