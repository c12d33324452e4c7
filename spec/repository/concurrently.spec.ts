import { setImmediate } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { concurrently } from '../../lib/repository/concurrently.ts';

const concurrent = suite('concurrent work');

concurrent('is done once for every item, begun in order, so many at a time', async () => {
  const begun: number[] = [];
  let underWay = 0;
  let most = 0;
  await concurrently([...Array(20).keys()], 3, async (item) => {
    begun.push(item);
    underWay += 1;
    most = Math.max(most, underWay);
    for (let turns = 0; turns < (item * 7) % 5; turns += 1) await setImmediate();
    underWay -= 1;
  });
  assert.equal(begun, [...Array(20).keys()]);
  assert.is(most, 3);
});

concurrent('takes items as they come', async () => {
  const items = async function* () {
    for (const item of ['a', 'b', 'c']) {
      await setImmediate();
      yield item;
    }
  };
  const done: string[] = [];
  await concurrently(items(), 2, async (item) => void done.push(item));
  assert.equal(done, ['a', 'b', 'c']);
});

concurrent('of nothing is nothing', async () => {
  await concurrently([], 4, async () => assert.unreachable());
});

concurrent('that fails begins nothing new, lets the rest end, and throws the first failure', async () => {
  const begun: number[] = [];
  const ended: number[] = [];
  let message = '';
  await concurrently([...Array(20).keys()], 3, async (item) => {
    begun.push(item);
    if (item === 1) throw new Error('the first to fail');
    await setImmediate();
    await setImmediate();
    if (item === 0) throw new Error('another');
    ended.push(item);
  }).catch((error: Error) => (message = error.message));
  assert.is(message, 'the first to fail');
  assert.equal([begun, ended], [[0, 1, 2], [2]]);
});

concurrent('whose items fail fails with them', async () => {
  const items = function* () {
    yield 1;
    throw new Error('no more');
  };
  let message = '';
  await concurrently(items(), 2, async () => {}).catch((error: Error) => (message = error.message));
  assert.is(message, 'no more');
});

concurrent.run();
