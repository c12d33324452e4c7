import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { identifyProcess, isAlive } from '../../lib/journal/owner.ts';
import { childrenOf, endTree } from '../helpers/processes.ts';
import { withFolder } from '../helpers/temporary.ts';
import { HERE, NOBODY } from './fixture.ts';

const owner = suite('the owner of a run');

owner('is alive as long as its process', async () => {
  const child = spawn('sleep', ['60']);
  await once(child, 'spawn');
  const identity = identifyProcess(child.pid!)!;
  assert.ok(isAlive(identity));
  await endTree(child);
  assert.not(isAlive(identity));
});

owner('is not alive because its number is in use again', () => {
  assert.ok(isAlive(HERE));
  assert.not(isAlive({ ...HERE, startedAt: String(Number(HERE.startedAt) - 1) }));
});

owner('is not alive when it lived before the last boot', () => {
  assert.not(isAlive({ ...HERE, bootId: 'another boot' }));
});

owner('that never was is not alive', () => {
  assert.is(identifyProcess(NOBODY.pid), null);
  assert.not(isAlive(NOBODY));
});

owner('that has ended, but was not waited for, is not alive', async () => {
  // The shell's child ends, and what the shell becomes does not ask after it.
  const parent = spawn('sh', ['-c', 'true & exec sleep 60']);
  try {
    let zombie: number | undefined;
    while (zombie === undefined || (await stateOf(zombie)) !== 'Z') {
      await delay(5);
      [zombie] = childrenOf(parent.pid!);
    }
    assert.is(identifyProcess(zombie), null);
  } finally {
    await endTree(parent);
  }
});

owner('is known by its start, whatever its program is called', async () => {
  await withFolder(async (folder) => {
    const program = join(folder, 'a) Z (b 1 2');
    await copyFile('/bin/sleep', program);
    const before = identifyProcess(process.pid)!;
    const child = spawn(program, ['60']);
    try {
      while (!(await readFile(`/proc/${child.pid}/comm`, 'utf8')).startsWith('a)')) await delay(5);
      const { startedAt } = identifyProcess(child.pid!)!;
      assert.match(startedAt, /^\d+$/);
      assert.ok(Number(startedAt) > Number(before.startedAt));
    } finally {
      await endTree(child);
    }
  });
});

async function stateOf(pid: number): Promise<string | undefined> {
  return /^State:\s+(\w)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
}

owner.run();
