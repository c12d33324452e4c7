import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel, type Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ThreadOptions } from '../../lib/backup/packer.ts';
import { InterruptedError, SkylockError } from '../../lib/errors.ts';
import { DATA_CHUNK_SIZES } from '../../lib/format/chunker.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { startThread } from '../../lib/repository/thread.ts';
import { assertRejects } from '../format/fixtures.ts';
import { assertHolds, repositoryAt, withMachine } from '../helpers/scenario.ts';
import { withFolder } from '../helpers/temporary.ts';
import { writeTree } from '../helpers/tree.ts';
import { KEYS } from './fixtures.ts';

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

test('touch nothing where another journal has come into the place of the one they belong to', async () => {
  await withMachine(async (machine) => {
    writeTree(machine.source, { text: 'text' });
    const replace = () => {
      for (const suffix of ['', '-wal', '-shm']) rmSync(machine.journalFile + suffix, { force: true });
    };
    await assertRejects(
      () => machine.backUp({ onEvent: ({ type }) => type === 'source_scanning' && replace() }),
      SkylockError,
      /^use journal .*: another one has come into its place$/,
    );
    assert.equal(
      [...machine.objects.keys()].filter((name) => /^(packs|backups)\//.test(name)),
      [],
    );
    const { backupId } = await machine.backUp();
    await assertHolds(repositoryAt(memoryRemote(machine.objects)), backupId, [machine.source]);
  });
});

test('tell what a person can do something about, and do not throw it as well', async () => {
  await withFolder(async (folder) => {
    for (const name of ['reader-thread', 'packer-thread']) {
      const told: unknown[] = [];
      const { port1, port2 } = new MessageChannel();
      const { promise: ended, resolve } = Promise.withResolvers<Error>();
      const workerData: ThreadOptions = {
        journalFile: join(folder, 'journal.db'),
        claim: 'of another journal',
        journalRepository: 1,
        sourceSet: 1,
        master: KEYS.master,
        chunkSizes: DATA_CHUNK_SIZES,
        packBytes: 1000,
        largestPackBytes: 1000,
        packs: 1,
        compressOverBytes: 0,
        link: port1,
      };
      startThread(new URL(`../../lib/backup/${name}`, import.meta.url), {
        workerData,
        transfer: [port1],
        youngGenerationMb: 8,
        onAnswer: (answer) => told.push(answer),
        onEnd: resolve,
      });
      assert.is((await ended).message, `${name} has ended`);
      port2.close();
      assert.match(JSON.stringify(told), /^\[{"type":"failed","message":"use journal .*another one has come/);
    }
  });
});

test('can be ended while the sources are still being looked at, and the next run goes on', async () => {
  await withMachine(async (machine) => {
    writeTree(
      machine.source,
      Object.fromEntries(Array.from({ length: 1200 }, (_, index) => [`${index}`, `text ${index}`])),
    );
    const stop = new AbortController();
    let threads = 0;
    const onWorker = () => {
      threads += 1;
      stop.abort();
    };
    process.once('worker', onWorker);
    await assertRejects(() => machine.backUp({ signal: stop.signal }), InterruptedError, /while scanning/);
    assert.ok(threads > 0);
    const { resumed, files } = await machine.backUp();
    assert.equal([resumed, files], [true, 1200]);
  });
});

test('have ended when the backup is put, which then has their memory', async () => {
  await withMachine(async (machine) => {
    writeTree(machine.source, { text: 'text' });
    const ended: Promise<unknown>[] = [];
    const onWorker = (worker: Worker) => void ended.push(once(worker, 'exit'));
    process.on('worker', onWorker);
    const remote = memoryRemote(machine.objects);
    let hadEnded = 0;
    const put: Remote['put'] = async (name, ...rest) => {
      // What is not asked to end before would wait for this put, and this put for it.
      if (name.startsWith('backups/')) {
        const patience = sleep(10_000, [], { ref: false });
        hadEnded = (await Promise.race([Promise.all(ended), patience])).length;
      }
      return remote.put(name, ...rest);
    };
    try {
      await machine.backUp({ remote: { ...remote, put } });
    } finally {
      process.off('worker', onWorker);
    }
    assert.equal([ended.length, hadEnded], [2, 2]);
  });
});

test.run();
