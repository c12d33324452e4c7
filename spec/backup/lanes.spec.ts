import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createLanes, type Lanes } from '../../lib/backup/lanes.ts';

const MB = 1_000_000;
const STEP_MS = 20;

/** What the line gives so many lanes at a moment, in bytes a second. */
type Line = (lanes: number, seconds: number) => number;

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
    smallestPackBytes: MB,
    largestPackBytes: 10 * MB,
    now: () => nowMs,
    onChange: (count) => counts.push(count),
  });
  return {
    lanes,
    counts,
    run(seconds, on, waiting = 0) {
      for (const endMs = nowMs + seconds * 1000; nowMs < endMs; ) {
        const goOn = Array.from({ length: lanes.count() }, () => lanes.waits());
        nowMs += waiting * STEP_MS;
        for (const goesOn of goOn) goesOn();
        nowMs += (1 - waiting) * STEP_MS;
        lanes.sent((on(lanes.count(), nowMs / 1000) * (1 - waiting) * STEP_MS) / 1000);
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

number('is judged by waits in the window alone, not by what came before it', () => {
  const { lanes, counts, run } = simulate();
  const on = line(12 * MB, 1000 * MB);
  while (lanes.count() < 8) run(STEP_MS / 1000, on);
  const goOn = Array.from({ length: 4 }, () => lanes.waits());
  run(0.52, on); // the first window after a change, which counts for nothing, and a little of the next
  for (const goesOn of goOn) goesOn();
  run(0.6, on);
  assert.equal(counts, [4, 8, 16]);
});

number('goes back where some of the added lanes wait, and wait still', () => {
  const { lanes, counts, run } = simulate();
  const on = line(12 * MB, 1000 * MB);
  while (lanes.count() < 8) run(STEP_MS / 1000, on);
  for (let lane = 0; lane < 4; lane += 1) lanes.waits();
  run(2, on);
  assert.equal(counts, [4, 8, 4]);
});

number('is halved on a slow line as long as that costs next to nothing', () => {
  const { counts, run } = simulate();
  run(600, line(10 * MB, 0.1 * MB));
  assert.equal(counts.slice(0, 3), [4, 2, 1]);
  run(3 * 3600, line(10 * MB, 0.1 * MB));
  assert.is(counts.at(-1), 1);
  assert.ok(counts.length < 60, `more are asked for more and more rarely: ${counts}`);
  assert.ok(Math.max(...counts.slice(3)) <= 2, 'and never more than twice as many');
});

number('stays on a slow line whose server slows each connection', () => {
  const { counts, run } = simulate();
  run(600, line(0.05 * MB, 1000 * MB));
  assert.equal(counts.slice(0, 3), [4, 2, 4]);
  run(3 * 3600, line(0.05 * MB, 1000 * MB));
  assert.is(counts.filter((count) => count < 2).length, 0);
  assert.is(counts.at(-1), 4);
});

number('does not follow a slow line that wavers', () => {
  const { counts, run } = simulate();
  const wavering: Line = (lanes, seconds) =>
    0.05 * MB * lanes * (Math.floor(seconds / 7) % 2 === 0 ? 0.4 : 1.6);
  run(3 * 3600, wavering);
  assert.is(counts.filter((count) => count < 2).length, 0);
  assert.is(counts.at(-1), 4);
});

number('grows again to what there was to begin with when that brings more, however slow', () => {
  const { lanes, run } = simulate();
  run(1200, line(10 * MB, 0.1 * MB));
  assert.ok(lanes.count() <= 2);
  run(3600, line(0.5 * MB, 1000 * MB));
  assert.is(lanes.count(), 4);
});

number('stays where the smallest pack takes a lane no longer than six seconds', () => {
  const quick = simulate();
  quick.run(600, line(10 * MB, (4 * MB) / 5.9));
  assert.equal(quick.counts, [4]);
  const slow = simulate();
  slow.run(600, line(10 * MB, (4 * MB) / 6.1));
  assert.equal(slow.counts.slice(0, 2), [4, 2]);
});

number('stays on a slow line where the lanes wait for something to send', () => {
  const { counts, run } = simulate();
  run(600, line(10 * MB, 0.1 * MB), 0.5);
  assert.equal(counts, [4]);
});

number('falls when a line becomes slow, and grows again when it is fast', () => {
  const { lanes, run } = simulate();
  run(5, line(12 * MB, 1000 * MB));
  assert.is(lanes.count(), 16);
  run(1200, line(12 * MB, MB));
  assert.is(lanes.count(), 4);
  run(3600, line(12 * MB, 0.1 * MB));
  assert.ok(lanes.count() <= 2);
  run(1200, line(12 * MB, 1000 * MB));
  assert.is(lanes.count(), 16);
});

number('is at once what the server gives, and more of it is asked for after a while', () => {
  const { lanes, counts, run } = simulate();
  for (const limit of [3, 3, 1, 5]) lanes.limited(limit);
  assert.equal(counts, [4, 3, 1]);
  const on = line(12 * MB, 1000 * MB);
  for (const holdSeconds of [30, 60]) {
    run(holdSeconds - 1, on);
    assert.is(lanes.count(), 1);
    for (let time = 0; time < 150 && lanes.count() === 1; time += 1) run(STEP_MS / 1000, on);
    assert.is(lanes.count(), 2);
    lanes.limited(1);
  }
  assert.equal(counts, [4, 3, 1, 2, 1, 2, 1]);
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
