import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProgressEvent } from '../../lib/progress.ts';
import { drawEnd, drawLanes, drawTrouble, drawWhole, type Look, shareOf } from '../../lib/view/bars.ts';
import { createPaint } from '../../lib/view/paint.ts';
import { addToTally, createTally, sampleRates, type Tally } from '../../lib/view/tally.ts';
import { displayWidth } from '../../lib/view/width.ts';
import { FIRST_RUN, RESTORE, RESUMED_RUN } from './events.ts';

function look(width: number, nowMs: number, height = 24): Look {
  return { width, height, nowMs, spinner: '⠋', paint: (_style, text) => text };
}

/** What the events, one a second, add up to. */
function tallyOf(events: readonly ProgressEvent[]): Tally {
  const tally = createTally(0);
  for (const [second, event] of events.entries()) {
    addToTally(tally, event, second * 1_000);
    sampleRates(tally, second * 1_000);
  }
  return tally;
}

function lane(number: number, file: string, sentBytes: number, sizeBytes = 16_777_216): ProgressEvent {
  return { type: 'lane', lane: number, pack: { file, sentBytes, sizeBytes } };
}

const bars = suite('the bars');

bars('of a first run are those of the seed document, with bytes, rate and time left', () => {
  // 76 MB/s: 380 MB in the 5 seconds since the plan.
  assert.equal(drawWhole(tallyOf(FIRST_RUN), look(79, 8_000)), [
    '',
    '📦 Overall Progress',
    '█████░░░░░░░░░░░░░░░░░░░░░░░░░░░ 25/150 files (16%)',
    '380 MB of 2.34 GB · 76.0 MB/s · 26s left',
  ]);
});

bars('of a resumed run say so, and what was there is done but was not fast', () => {
  const tally = tallyOf(RESUMED_RUN);
  assert.equal(drawWhole(tally, look(79, 4_000)), [
    '',
    '📦 Overall Progress',
    '█████░░░░░░░░░░░░░░░░░░░░░░░░░░░ 25/150 files (16%) [RESUMED]',
    '380 MB of 2.34 GB · time left unknown',
  ]);
  addToTally(tally, { type: 'uploaded', uploadedFiles: 50, uploadedBytes: 760_000_000, sentBytes: 1 }, 7_000);
  sampleRates(tally, 7_000);
  assert.is(drawWhole(tally, look(79, 7_000))[3], '760 MB of 2.34 GB · 95.0 MB/s · 17s left');
});

bars('show no lane that has gone out of use, once it has sent what it had', () => {
  const tally = tallyOf([
    ...FIRST_RUN,
    ...[0, 1, 2].map((number) => lane(number, `file ${number}`, 1_000_000)),
  ]);
  const shown = () => drawLanes(tally, look(79, 60_000)).length;
  const before = shown();
  addToTally(tally, { type: 'lanes', lanes: before - 1 }, 60_000);
  assert.is(shown(), before, 'it still sends');
  addToTally(tally, { type: 'lane', lane: before - 1, pack: null }, 60_000);
  assert.is(shown(), before - 1);
});

bars('of a restore count what is there already, and its lanes come down', () => {
  const tally = tallyOf([...RESTORE, lane(0, 'a.txt', 8_000_000)]);
  assert.is(
    drawWhole(tally, look(79, 3_000))[2],
    '██████████░░░░░░░░░░░░░░░░░░░░░░ 50/150 files (33%) [RESUMED]',
  );
  assert.match(drawLanes(tally, look(79, 3_000))[0] ?? '', /^ {3}↓ a\.txt/);
});

bars('fill by bytes, and by files where there are none', () => {
  const tally = tallyOf(FIRST_RUN);
  const share = (files: number, total: number, bytes: number) =>
    shareOf({ ...tally, doneFiles: files, totalFiles: total, doneBytes: bytes, totalBytes: 1_000 });
  assert.is(share(0, 1, 430), 0.43);
  assert.is(share(3, 10, 900), 0.9);
  assert.is(shareOf({ ...tally, doneFiles: 3, totalFiles: 10, doneBytes: 0, totalBytes: 0 }), 0.3);
  assert.is(share(10, 10, 1_000), 1);
  assert.is(share(0, 0, 0), 1);
});

bars('keep the length of the bar while the count grows', () => {
  const tally = tallyOf(RESUMED_RUN);
  const cells = [0, 9, 10, 99, 100, 150].map((doneFiles) => {
    const line = drawWhole({ ...tally, doneFiles }, look(42, 4_000))[2] ?? '';
    return line.match(/[█░]/g)?.length;
  });
  assert.equal(new Set(cells).size, 1);
});

bars('fit into forty columns', () => {
  const tally = tallyOf([...FIRST_RUN, lane(0, '/home/user/Documents/IMG_0001.jpg', 8_000_000)]);
  const view = look(39, 8_000);
  assert.equal(
    [...drawWhole(tally, view), ...drawLanes(tally, view)],
    [
      '',
      '📦 Overall Progress',
      '██░░░░░░░░░░░░░░░░ 25/150 files (16%)',
      '380 MB of 2.34 GB',
      '77.6 MB/s · 25s left',
      '↑ …/IMG_0001.jpg  8.0/16.8 MB     0 B/s',
    ],
  );
});

bars('never take more columns than the window has, whatever the names and figures', () => {
  const file = fc.string({ unit: 'grapheme', maxLength: 80 });
  const figure = fc.integer({ min: 0, max: 2 ** 50 });
  fc.assert(
    fc.property(
      fc.integer({ min: 20, max: 120 }),
      file,
      figure,
      figure,
      fc.boolean(),
      (width, name, a, b, up) => {
        const tally = tallyOf(up ? RESUMED_RUN : RESTORE);
        Object.assign(tally, {
          totalFiles: b,
          totalBytes: b,
          doneFiles: Math.min(a, b),
          doneBytes: Math.min(a, b),
        });
        addToTally(tally, lane(0, name, 0, a), 4_000);
        sampleRates(tally, 4_000);
        addToTally(tally, lane(0, name, a, a), 9_000);
        addToTally(tally, { type: 'retrying', reason: name, delayMs: 5_000 }, 9_000);
        sampleRates(tally, 9_000);
        const view = look(width, 9_000);
        return [drawWhole, drawLanes, drawTrouble, drawEnd]
          .flatMap((draw) => draw(tally, view))
          .every((line) => displayWidth(line) <= width);
      },
    ),
  );
});

bars('leave no trace of a hostile name', () => {
  const tally = tallyOf([
    ...FIRST_RUN,
    lane(0, 'a\x1b[2J\nb', 1),
    { type: 'retrying', reason: '\x1b[A\n', delayMs: 9_000 },
  ]);
  const lines = [...drawLanes(tally, look(79, 7_000)), ...drawTrouble(tally, look(79, 7_000))];
  assert.match(lines[0] ?? '', 'a\\e[2J\\nb');
  assert.is(
    lines.some((line) => /[\x00-\x1f]/.test(line)),
    false,
  );
});

bars.run();

const lanes = suite('a lane');

lanes('shows its file, the bytes of its pack and its own rate', () => {
  const tally = tallyOf(FIRST_RUN);
  for (let second = 5; second <= 9; second += 1) {
    addToTally(tally, lane(0, 'a/b.jpg', (second - 5) * 2_000_000), second * 1_000);
    sampleRates(tally, second * 1_000);
  }
  const line = drawLanes(tally, look(79, 9_000))[0] ?? '';
  assert.match(line, /^ {3}↑ a\/b\.jpg +8\.0\/16\.8 MB {2}2\.00 MB\/s$/);
  assert.is(displayWidth(line), 79);
});

lanes('keeps its rate from one pack to the next', () => {
  const tally = tallyOf(FIRST_RUN);
  for (let second = 5; second <= 15; second += 1) {
    addToTally(tally, lane(0, 'a', 0, 1_000_000), second * 1_000);
    sampleRates(tally, second * 1_000);
    addToTally(tally, lane(0, 'a', 1_000_000, 1_000_000), second * 1_000 + 500);
    addToTally(tally, { type: 'lane', lane: 0, pack: null }, second * 1_000 + 999);
  }
  sampleRates(tally, 16_000);
  assert.match(drawLanes(tally, look(79, 16_000))[0] ?? '', /1\.\d\d MB\/s$/);
});

lanes('is idle only when it is so for a second', () => {
  const tally = tallyOf([...FIRST_RUN, lane(1, 'a', 10)]);
  addToTally(tally, { type: 'lane', lane: 1, pack: null }, 6_000);
  assert.match(drawLanes(tally, look(79, 6_900))[0] ?? '', /^ {3}↑ a/);
  assert.is(drawLanes(tally, look(79, 7_000))[0], '   · waiting');
});

lanes('has its place by its number, as long as there is room', () => {
  const tally = tallyOf([...FIRST_RUN, lane(2, 'c', 1), lane(0, 'a', 1), lane(1, 'b', 1)]);
  const names = (height: number) =>
    drawLanes(tally, look(79, 8_000, height)).map((line) => line.trim().slice(2, 3));
  assert.equal(names(24), ['a', 'b', 'c']);
  assert.equal(names(9), ['a', 'b']);
  assert.equal(names(2), ['a']);
});

lanes.run();

const trouble = suite('a line that is down');

trouble('is named with the time of the next attempt, for at least two seconds', () => {
  const tally = tallyOf(FIRST_RUN);
  assert.equal(drawTrouble(tally, look(79, 8_000)), []);
  addToTally(tally, { type: 'retrying', reason: 'connection reset', delayMs: 500 }, 8_000);
  assert.equal(drawTrouble(tally, look(79, 8_000)), ['Trying again in 1s: connection reset']);
  assert.equal(drawTrouble(tally, look(79, 8_600)), ['Trying again now: connection reset']);
  assert.equal(drawTrouble(tally, look(79, 10_000)), []);
});

trouble.run();

const paint = suite('colour');

paint('is for terminals whose person has not declined it', () => {
  const red = (isTTY: boolean, env: Record<string, string>) => createPaint({ isTTY }, env)('red', 'x');
  assert.is(stripVTControlCharacters(red(true, {})), 'x');
  assert.is.not(red(true, {}), 'x');
  assert.is.not(red(true, { NO_COLOR: '' }), 'x');
  for (const plain of [red(false, {}), red(true, { NO_COLOR: '1' }), red(true, { TERM: 'dumb' })]) {
    assert.is(plain, 'x');
  }
});

paint.run();
