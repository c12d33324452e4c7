import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createRate, timeLeftMs } from '../../lib/view/rate.ts';

const rate = suite('a rate');

rate('means nothing before two seconds have passed', () => {
  const each = createRate();
  assert.is(each.perSecond(0), null);
  each.sample(0, 500);
  each.sample(1_999, 2_500);
  assert.is(each.perSecond(1_999), null);
  assert.is(each.perSecond(2_000), 1_000);
});

rate('is of what was added, not of what was there', () => {
  const each = createRate();
  each.sample(0, 1_000_000);
  each.sample(4_000, 1_000_400);
  assert.is(each.perSecond(4_000), 100);
});

rate('is the average of the last ten seconds', () => {
  const each = createRate();
  for (let s = 0; s <= 20; s += 1) each.sample(s * 1_000, s * 100);
  for (let s = 21; s <= 25; s += 1) each.sample(s * 1_000, 2_000 + (s - 20) * 300);
  assert.is(each.perSecond(25_000), 200);
  for (let s = 26; s <= 30; s += 1) each.sample(s * 1_000, 2_000 + (s - 20) * 300);
  assert.is(each.perSecond(30_000), 300);
});

rate('falls while nothing comes, and is zero after ten seconds', () => {
  const each = createRate();
  each.sample(0, 0);
  each.sample(5_000, 5_000);
  assert.is(each.perSecond(5_000), 1_000);
  assert.is(each.perSecond(10_000), 500);
  assert.is(each.perSecond(15_000), 0);
  assert.is(each.perSecond(60_000), 0);
});

rate('does not turn back with a pack that is begun anew', () => {
  const each = createRate();
  each.sample(0, 0);
  each.sample(2_000, 2_000);
  each.sample(3_000, 0);
  assert.is(each.perSecond(4_000), 500);
  each.sample(4_000, 3_000);
  assert.is(each.perSecond(4_000), 750);
});

rate('is the same however often it is told', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), (stepMs) => {
      const each = createRate();
      for (let ms = 0; ms <= 30_000; ms += stepMs) each.sample(ms, ms * 7);
      return Math.abs((each.perSecond(30_000) ?? 0) - 7_000) < 7_000 * 0.02;
    }),
    { numRuns: 20 },
  );
});

rate.run();

const left = suite('the time left');

left('is the rest at this rate', () => {
  assert.is(timeLeftMs(10_000, 1_000), 10_000);
  assert.is(timeLeftMs(0, null), 0);
  assert.is(timeLeftMs(-5, 0), 0);
});

left('is unknown without a rate, and when it is too long to mean anything', () => {
  assert.is(timeLeftMs(1, null), null);
  assert.is(timeLeftMs(1, 0), null);
  assert.is(timeLeftMs(1e12, 1), null);
});

left.run();
