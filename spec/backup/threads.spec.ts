import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { withMachine } from '../helpers/scenario.ts';
import { writeTree } from '../helpers/tree.ts';

/** @returns how many threads were begun meanwhile */
async function threadsFor(work: () => Promise<unknown>): Promise<number> {
  let count = 0;
  const onWorker = () => {
    count += 1;
  };
  process.on('worker', onWorker);
  try {
    await work();
  } finally {
    process.off('worker', onWorker);
  }
  return count;
}

const test = suite('the threads that read and pack');

test('are begun when there is something to pack, and not when there is nothing', async () => {
  await withMachine(async (machine) => {
    writeTree(machine.source, [
      ['text', 'text'],
      ['none', ''],
      ['folder/', ''],
    ]);
    assert.is(await threadsFor(() => machine.backUp()), 2, 'the first backup');
    assert.is(await threadsFor(() => machine.backUp()), 0, 'nothing new');
    writeFileSync(join(machine.source, 'empty too'), '');
    assert.is(await threadsFor(() => machine.backUp()), 0, 'nothing to read in what is new');
    writeFileSync(join(machine.source, 'text'), 'another text');
    assert.is(await threadsFor(() => machine.backUp()), 2, 'a file that was changed');
  });
});

test.run();
