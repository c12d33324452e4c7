import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError } from '../../lib/errors.ts';
import { abandonRun, unfinishedRuns } from '../../lib/journal/unfinished.ts';
import type { ProgressEvent } from '../../lib/progress.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { assertRejects } from '../format/fixtures.ts';
import { failingRemote } from '../helpers/failing-remote.ts';
import { HERE, machineIn, readBack, repositoryAt, withMachine } from '../helpers/scenario.ts';
import { withFolder } from '../helpers/temporary.ts';
import { writeTree } from '../helpers/tree.ts';
import {
  assertWhole,
  eventOf,
  FILE_BYTES,
  FILES,
  fill,
  interrupt,
  OFTEN,
  packBytes,
} from './checkpoint-fixtures.ts';

const OTHER_BOOT = { ...HERE, bootId: 'another boot' };
const LATER = () => new Date(Date.now() + 11 * 60 * 1000);

const checkpoint = suite('a checkpoint');

checkpoint(
  'lets a machine whose journal is gone go on under the same id, and sends nothing again',
  async () => {
    await withMachine(async (machine) => {
      fill(machine.source);
      const dead = { ...HERE, startedAt: 'long ago' };
      await interrupt(machine, { request: { owner: dead } });
      const begun = [...machine.objects.keys()].filter((name) => name.startsWith('resume/'));
      assert.is(begun.length, 1);
      const before = packBytes(machine);
      rmSync(join(machine.folder, 'data'), { recursive: true });

      const { backupId, events, sentBytes } = await machine.backUp();
      assert.is(`resume/${backupId}`, begun[0]);
      const { resumed } = eventOf(events, 'backup_started');
      assert.ok(resumed !== null);
      assert.is(resumed.totalFiles, FILES);
      assert.ok(resumed.uploadedFiles > 0);
      // What the checkpoint lists is not even read: it counts as uploaded once it was looked at.
      assert.is(eventOf(events, 'planned').uploadedFiles, resumed.uploadedFiles);
      assert.is(packBytes(machine), before + sentBytes);
      assert.ok(packBytes(machine) < FILES * FILE_BYTES * 1.1);
      await assertWhole(machine, backupId);
      assert.is(machine.objects.has(begun[0]!), false, 'the checkpoint goes with the run');
    });
  },
);

checkpoint('whose taking over was cut short is taken over by the next run', async () => {
  await withMachine(async (machine) => {
    fill(machine.source);
    await interrupt(machine, { request: { owner: { ...HERE, startedAt: 'long ago' } } });
    const before = new Map(machine.objects);
    rmSync(join(machine.folder, 'data'), { recursive: true });
    // Of what a run that goes well fetches before its plan, the last is the list of files.
    const whole = failingRemote(memoryRemote(machine.objects), []);
    let gets = 0;
    const onEvent = ({ type }: ProgressEvent) => {
      if (type === 'source_scanning') gets ||= whole.calls.filter((call) => call.startsWith('get ')).length;
    };
    const { events } = await machine.backUp({ remote: whole, onEvent });
    const { uploadedFiles } = eventOf(events, 'planned');
    assert.ok(uploadedFiles > 0);

    machine.objects.clear();
    for (const [name, bytes] of before) machine.objects.set(name, bytes);
    rmSync(join(machine.folder, 'data'), { recursive: true });
    const failing = failingRemote(memoryRemote(machine.objects), [{ verb: 'get', call: gets }]);
    await assertRejects(() => machine.backUp({ remote: failing }), RemoteError);
    const resumed = await machine.backUp();
    assert.is(eventOf(resumed.events, 'planned').uploadedFiles, uploadedFiles, 'the rest is not read again');
    assert.is(eventOf(resumed.events, 'backup_started').resumed?.totalFiles, FILES);
    await assertWhole(machine, resumed.backupId);
  });
});

checkpoint('does not hide what has changed since', async () => {
  await withMachine(async (machine) => {
    fill(machine.source);
    await interrupt(machine, { request: { owner: { ...HERE, startedAt: 'long ago' } } });
    rmSync(join(machine.folder, 'data'), { recursive: true });
    writeTree(machine.source, { 'file-00': 'changed' });
    rmSync(join(machine.source, 'file-01'));
    const { backupId } = await machine.backUp();
    const { contents } = await readBack(repositoryAt(memoryRemote(machine.objects)), backupId);
    assert.is(contents.size, FILES - 1);
    const changed = [...contents].find(([path]) => path.endsWith('/file-00'));
    assert.is(String(changed?.[1]), 'changed');
  });
});

checkpoint('of a process that lives on this machine is left to it', async () => {
  await withMachine(async (machine) => {
    fill(machine.source);
    await interrupt(machine);
    rmSync(join(machine.folder, 'data'), { recursive: true });
    try {
      await machine.backUp();
      assert.unreachable();
    } catch (error) {
      assert.is((error as { exitStatus?: number }).exitStatus, 11);
      assert.match((error as Error).message, String(HERE.pid));
    }
  });
});

checkpoint(
  'of another machine of this name is taken over when it has rested, or when it is named',
  async () => {
    for (const take of [{ now: LATER }, { adopt: true }]) {
      await withFolder(async (folder) => {
        const first = machineIn(join(folder, 'first'), new Map());
        const second = machineIn(join(folder, 'second'), first.objects);
        fill(first.source);
        const request = { owner: OTHER_BOOT };
        await interrupt(first, { sources: [first.source], request });
        const id = [...first.objects.keys()]
          .find((name) => name.startsWith('resume/'))!
          .slice('resume/'.length);
        // The sources lie in the same place on both.
        const { backupId, events } = await second.backUp({
          sources: [first.source],
          ...('now' in take ? { now: take.now } : { request: { adopt: id } }),
        });
        assert.is(backupId, id);
        assert.ok(eventOf(events, 'planned').uploadedFiles > 0);
        await assertWhole(second, backupId);
      });
    }
  },
);

checkpoint(
  'that is fresh is another machine’s work: a new backup is begun, and sends nothing again',
  async () => {
    await withFolder(async (folder) => {
      const first = machineIn(join(folder, 'first'), new Map());
      const second = machineIn(join(folder, 'second'), first.objects);
      fill(first.source);
      await interrupt(first, { sources: [first.source], request: { owner: OTHER_BOOT } });
      const id = [...first.objects.keys()]
        .find((name) => name.startsWith('resume/'))!
        .slice('resume/'.length);
      const { backupId, events } = await second.backUp({ sources: [first.source] });
      assert.is.not(backupId, id);
      assert.match(eventOf(events, 'notice').text, id);
      assert.ok(packBytes(second) < FILES * FILE_BYTES * 1.1);
      await assertWhole(second, backupId);
    });
  },
);

checkpoint(
  'takes up a twentieth of the time at most: after a slow one the pause is as long as that takes',
  async () => {
    await withMachine(async (machine) => {
      fill(machine.source);
      const remote = memoryRemote(machine.objects);
      const puts: { readonly begunAt: number; readonly endedAt: number }[] = [];
      const second = Promise.withResolvers<void>();
      const put: Remote['put'] = async (name, bytes, options) => {
        const begunAt = performance.now();
        // The files wait for the second checkpoint, as on a slow line.
        if (name.startsWith('packs/') && bytes.length > 20_000) await second.promise;
        if (name.startsWith('resume/')) await new Promise((resolve) => setTimeout(resolve, 20));
        await remote.put(name, bytes, options);
        if (!name.startsWith('resume/')) return;
        puts.push({ begunAt, endedAt: performance.now() });
        if (puts.length === 2) second.resolve();
      };
      await machine.backUp({ ...OFTEN, remote: { ...remote, put } });
      const [one, other] = puts;
      // Timers count whole milliseconds.
      assert.ok(other!.begunAt - one!.endedAt >= (one!.endedAt - one!.begunAt) / 0.05 - 2);
    });
  },
);

checkpoint('that cannot be put does not end the backup', async () => {
  await withMachine(async (machine) => {
    fill(machine.source);
    const remote = memoryRemote(machine.objects);
    const { backupId, events } = await machine.backUp({
      ...OFTEN,
      remote: {
        ...remote,
        async put(name, bytes, options) {
          if (name.startsWith('resume/')) throw new Error('no checkpoint today');
          await new Promise((resolve) => setTimeout(resolve, 2));
          await remote.put(name, bytes, options);
        },
      },
    });
    assert.match(eventOf(events, 'notice').text, 'no checkpoint today');
    await assertWhole(machine, backupId);
  });
});

checkpoint('goes with the run that put it, and is not looked for by one that put none', async () => {
  await withMachine(async (machine) => {
    fill(machine.source);
    const often = failingRemote(memoryRemote(machine.objects), []);
    await machine.backUp({ remote: often, ...OFTEN });
    assert.ok(often.calls.some((call) => call.startsWith('put resume/')));
    assert.equal(
      [...machine.objects.keys()].filter((name) => name.startsWith('resume/')),
      [],
    );

    const never = failingRemote(memoryRemote(machine.objects), []);
    writeTree(machine.source, { 'file-00': 'changed' });
    await machine.backUp({ remote: never, now: () => new Date(Date.now() + 5000) });
    assert.equal(
      never.calls.filter((call) => call.includes('resume/')),
      ['list resume/'],
    );
  });
});

for (const [whose, losesJournal] of [
  ['that has the journal', false],
  ['whose journal is gone', true],
] as const) {
  checkpoint(`that is damaged is told of, and costs a machine ${whose} nothing that was sent`, async () => {
    await withMachine(async (machine) => {
      fill(machine.source);
      await interrupt(machine, { request: { owner: { ...HERE, startedAt: 'long ago' } } });
      const [name] = [...machine.objects.keys()].filter((one) => one.startsWith('resume/'));
      machine.objects.set(name!, machine.objects.get(name!)!.subarray(0, -1));
      if (losesJournal) rmSync(join(machine.folder, 'data'), { recursive: true });
      const before = packBytes(machine);
      const { backupId, events, resumed, sentBytes } = await machine.backUp();
      assert.match(eventOf(events, 'notice').text, `a checkpoint is damaged and not used: open ${name}`);
      assert.is(resumed, !losesJournal);
      assert.is(packBytes(machine), before + sentBytes);
      assert.ok(packBytes(machine) < FILES * FILE_BYTES * 1.1);
      await assertWhole(machine, backupId);
    });
  });
}

checkpoint('that cannot be removed is left over, and the next backup removes it', async () => {
  await withMachine(async (machine) => {
    fill(machine.source);
    await interrupt(machine);
    const remote = memoryRemote(machine.objects);
    const remove = async () => {
      throw new RemoteError('remove: not today', { retryable: false });
    };
    const { backupId } = await machine.backUp({ remote: { ...remote, remove } });
    await assertWhole(machine, backupId);
    assert.ok(machine.objects.has(`resume/${backupId}`));
    const other = machineIn(join(machine.folder, 'other'), machine.objects);
    await other.backUp({ now: () => new Date(Date.now() + 5000) });
    assert.is(machine.objects.has(`resume/${backupId}`), false);
  });
});

checkpoint('of a run that was forgotten on this machine is not gone on with', async () => {
  await withMachine(async (machine) => {
    fill(machine.source);
    await interrupt(machine, { request: { owner: { ...HERE, startedAt: 'long ago' } } });
    const forgotten = await machine.withJournal((journal) => {
      const [run] = unfinishedRuns(journal);
      abandonRun(journal, run!);
      return run!.backupId;
    });
    const { backupId, resumed } = await machine.backUp({ now: () => new Date(Date.now() + 5000) });
    assert.is.not(backupId, forgotten);
    assert.is(resumed, false);
    assert.is(machine.objects.has(`resume/${forgotten}`), false, 'what is left of it is removed');
    await assertWhole(machine, backupId);
  });
});

checkpoint(
  'that is named beside an unfinished run of these sources is refused, and nothing changes',
  async () => {
    await withMachine(async (machine) => {
      fill(machine.source);
      await interrupt(machine, { request: { owner: { ...HERE, startedAt: 'long ago' } } });
      try {
        await machine.backUp({ request: { adopt: '20200101_000000' } });
        assert.unreachable();
      } catch (error) {
        assert.is((error as { exitStatus?: number }).exitStatus, 2);
        assert.match((error as { hints: string[] }).hints.join(), 'skylock cleanup');
      }
      assert.is((await machine.backUp()).resumed, true);
    });
  },
);

checkpoint.run();
