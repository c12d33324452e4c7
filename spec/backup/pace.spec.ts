import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createPace, steadyPace } from '../../lib/backup/pace.ts';

const MIB = 1024 * 1024;
const PACKS = 4;
const pace = suite('the size of packs');

pace('begins small and is about four seconds of what a lane puts', () => {
  const following = createPace(4);
  assert.is(following.packBytes(PACKS), MIB);
  following.observe(10 * MIB, 4000);
  assert.is(following.packBytes(PACKS), 10 * MIB);
});

pace('never leaves 1 to 32 MiB', () => {
  const slow = createPace(4);
  slow.observe(1000, 60_000);
  assert.is(slow.packBytes(PACKS), MIB);
  const fast = createPace(4);
  fast.observe(32 * MIB, 0);
  assert.is(fast.packBytes(PACKS), 32 * MIB);
  assert.is(fast.largestBytes, 32 * MIB);
});

for (const packs of [4, 6, 10, 128]) {
  pace(`lets ${packs} packs together hold at most 128 MiB`, () => {
    for (const following of [createPace(packs), createPace(4)]) {
      following.observe(1000 * MIB, 1000);
      const size = following.packBytes(packs);
      assert.is(size, Math.min(32 * MIB, Math.floor((128 * MIB) / packs)));
    }
  });
}

pace('never makes packs larger than the buffers that were made for them', () => {
  const following = createPace(10);
  following.observe(1000 * MIB, 1000);
  assert.is(following.packBytes(5), following.largestBytes);
});

pace('follows a line that has become slow', () => {
  const following = createPace(4);
  for (let pack = 0; pack < 20; pack += 1) following.observe(32 * MIB, 500);
  for (let pack = 0; pack < 8; pack += 1) following.observe(MIB, 4000);
  assert.ok(following.packBytes(PACKS) < 2 * MIB);
});

pace('is left alone where it is fixed', () => {
  const steady = steadyPace(12_345);
  steady.observe(MIB, 1);
  assert.is(steady.packBytes(PACKS), 12_345);
  assert.is(steady.largestBytes, 12_345);
});

pace.run();
