import { rmSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { memoryRemote } from '../../lib/remote/memory.ts';
import { type Machine, readBack, repositoryAt, withMachine } from '../helpers/scenario.ts';
import { writeTree } from '../helpers/tree.ts';

function indexesOf({ objects }: Machine): string[] {
  return [...objects.keys()].filter((name) => name.startsWith('index/'));
}

function readAlone({ objects }: Machine, backupId: string) {
  return readBack(repositoryAt(memoryRemote(objects)), backupId);
}

const lost = suite('an index that has gone from the remote');

lost(
  'is put again by the next backup, which sends no file for that and can be restored by itself',
  async () => {
    await withMachine(async (machine) => {
      writeTree(machine.source, { a: 'first', 'b/c': 'second' });
      const first = await machine.backUp();
      for (const name of indexesOf(machine)) machine.objects.delete(name);

      const { backupId } = await machine.backUp({ now: () => new Date(Date.now() + 5000) });
      assert.ok(indexesOf(machine).length > 0);
      // The journal is no part of this: what is read is what any other machine would read.
      for (const id of [first.backupId, backupId]) {
        const { contents } = await readAlone(machine, id);
        assert.equal([...contents.values()].map(String).sort(), ['first', 'second']);
      }
    });
  },
);

lost('among others costs none of what those list', async () => {
  await withMachine(async (machine) => {
    writeTree(machine.source, { a: 'first' });
    await machine.backUp();
    const [old] = indexesOf(machine);
    writeTree(machine.source, { b: 'second' });
    await machine.backUp({ now: () => new Date(Date.now() + 5000) });
    machine.objects.delete(old!);
    rmSync(`${machine.source}/b`);
    const { backupId, sentBytes } = await machine.backUp({ now: () => new Date(Date.now() + 10_000) });
    const { contents } = await readAlone(machine, backupId);
    assert.equal([...contents.values()].map(String), ['first']);
    assert.ok(sentBytes < 2000, 'a manifest at most');
  });
});

lost.run();
