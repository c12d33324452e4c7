import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createPace, steadyPace } from '../../lib/backup/pace.ts';

const MIB = 1024 * 1024;
const PACKS = 4;
const pace = suite('the size of packs');

pace('begins small and is about four seconds of what a lane puts', () => {
  const following = createPace(PACKS);
  assert.is(following.packBytes(PACKS), MIB);
  following.observe(10 * MIB, 4000);
  assert.is(following.packBytes(PACKS), 10 * MIB);
});

pace('never leaves 1 to 32 MiB', () => {
  const slow = createPace(2);
  slow.observe(1000, 60_000);
  assert.is(slow.packBytes(2), MIB);
  const fast = createPace(2);
  fast.observe(32 * MIB, 0);
  assert.is(fast.packBytes(2), 32 * MIB);
  assert.is(fast.largestBytes, 32 * MIB);
});

for (const packs of [4, 6, 8, 9, 18, 128]) {
  const most = packs <= 8 ? 64 * MIB : 128 * MIB;
  pace(`lets ${packs} packs together hold at most ${most / MIB} MiB`, () => {
    for (const following of [createPace(packs), createPace(4)]) {
      following.observe(1000 * MIB, 1000);
      assert.is(following.packBytes(packs), Math.floor(most / packs));
    }
  });
}

pace('never makes packs larger than the buffers that were made for them', () => {
  const following = createPace(10);
  following.observe(1000 * MIB, 1000);
  assert.is(following.packBytes(4), following.largestBytes);
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
