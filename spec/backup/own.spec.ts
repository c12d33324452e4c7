import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkpointId, type OwnRun, removeOwnCheckpoints, takenIds } from '../../lib/backup/own.ts';
import { SkylockError } from '../../lib/errors.ts';
import { backupIdAt } from '../../lib/journal/backup-ids.ts';
import type { Run } from '../../lib/journal/runs.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { assertRejects } from '../format/fixtures.ts';
import { assertHolds, repositoryAt, withMachine } from '../helpers/scenario.ts';
import { writeTree } from '../helpers/tree.ts';
import { repositoryOver } from '../repository/fixtures.ts';

const START = new Date('2025-11-07T14:20:30Z');
const FIRST = backupIdAt(START);
const idAfter = (seconds: number) => backupIdAt(new Date(START.getTime() + seconds * 1000));

/** @param backupId what the run is called: where another was ready first, it is not what it began with */
function ownRun(backupId = FIRST): OwnRun {
  const run: Run = {
    id: 1,
    backupId,
    sourceSet: 1,
    journalRepository: 1,
    startedAt: START,
    resumed: false,
    totalFiles: null,
    uploadedFiles: 0,
    claims: ['ours'],
    takenOver: [],
  };
  return { run, host: 'here', matchKey: Buffer.alloc(32) };
}

/** A repository whose server has something under every name for which `isThere`; what is asked of it without end fails. */
function garbageUnder(isThere: (name: string) => boolean) {
  const { remote, ...rest } = repositoryOver();
  let calls = 0;
  const counted = <T>(answer: T): T => {
    calls += 1;
    if (calls > 1000) throw new Error('asked without end');
    return answer;
  };
  const given: Remote = {
    ...remote,
    get: async (name) => counted(isThere(name) ? Buffer.from('a page that greets you') : null),
    remove: async () => counted(undefined),
  };
  return { ...rest, remote: given };
}

const NONE_FREE =
  /^find a free backup id: each of the 100 from \d{8}_\d{6} on is taken or damaged on the remote$/;

const ids = suite('the id of a checkpoint');

ids('is the first whose backup is not damaged, up to the hundredth', async () => {
  for (const taken of [0, 1, 99]) {
    const repository = garbageUnder(
      (name) => name.startsWith('backups/') && name < `backups/${idAfter(taken)}`,
    );
    assert.is(await checkpointId(repository, ownRun()), idAfter(taken));
  }
});

ids('is not looked for without end where a server has something under every name', async () => {
  for (const isThere of [() => true, (name: string) => name < `backups/${idAfter(100)}`]) {
    await assertRejects(() => checkpointId(garbageUnder(isThere), ownRun()), SkylockError, NONE_FREE);
  }
});

ids('is found though the run is called by a much later one than it began with', async () => {
  const later = idAfter(500);
  assert.is(
    await checkpointId(
      garbageUnder(() => false),
      ownRun(later),
    ),
    later,
  );
});

ids.run();

const publishing = suite('the id of a backup');

publishing('is the next where something damaged has come under its own', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, { text: 'text' });
    const named: string[] = [];
    const { backupId } = await machine.backUp({
      onEvent(event) {
        if (event.type !== 'backup_started') return;
        named.push(event.backupId);
        machine.objects.set(`backups/${event.backupId}`, Buffer.from('a page that greets you'));
      },
    });
    assert.ok(backupId > named[0]!, `${backupId} after ${named[0]}`);
    await assertHolds(repositoryAt(memoryRemote(machine.objects)), backupId, [machine.source]);
  }),
);

publishing('is looked at again where it took long to get there', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, { text: 'text' });
    const remote = memoryRemote(machine.objects);
    const { now } = performance;
    let first = '';
    let laterMs = 0;
    performance.now = () => now.call(performance) + laterMs;
    try {
      const put: Remote['put'] = async (name, ...rest) => {
        await remote.put(name, ...rest);
        if (!name.startsWith('index/')) return;
        laterMs = 60_000;
        machine.objects.set(`backups/${first}`, Buffer.from('of another machine'));
      };
      const { backupId } = await machine.backUp({
        remote: { ...remote, put },
        onEvent(event) {
          if (event.type === 'backup_started') first = event.backupId;
        },
      });
      assert.ok(backupId > first, `${backupId} after ${first}`);
      assert.is(machine.objects.get(`backups/${first}`)?.toString(), 'of another machine');
    } finally {
      performance.now = now;
    }
  }),
);

publishing('is one, in the journal as on the remote, where a look takes so long that another is wanted', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, { text: 'text' });
    const remote = memoryRemote(machine.objects);
    const { now } = performance;
    let [started, first] = ['', ''];
    let laterMs = 0;
    performance.now = () => now.call(performance) + laterMs;
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    let [looks, atOnce, most] = [0, 0, 0];
    const get: Remote['get'] = async (name, ...rest) => {
      if (first === '' || name !== `backups/${first}`) return remote.get(name, ...rest);
      looks += 1;
      atOnce += 1;
      most = Math.max(most, atOnce);
      await answered;
      atOnce -= 1;
      return remote.get(name, ...rest);
    };
    const put: Remote['put'] = async (name, bytes, options = {}) => {
      if (!name.startsWith('index/')) return remote.put(name, bytes, options);
      await options.beforeNaming?.(); // of a try that fails
      while (looks === 0) await sleep(1);
      laterMs = 60_000;
      await remote.put(name, bytes, options);
      await sleep(20);
      answer();
    };
    try {
      const { backupId } = await machine.backUp({
        remote: { ...remote, get, put },
        onEvent(event) {
          if (event.type === 'backup_started') started = event.backupId;
          if (event.type !== 'publishing') return;
          first = started;
          machine.objects.set(`backups/${first}`, Buffer.from('of another machine'));
        },
      });
      assert.is(most, 1, 'looks at a time');
      assert.ok(backupId > first, `${backupId} after ${first}`);
      const inJournal = await machine.withJournal(({ sqlite }) =>
        sqlite.prepare('SELECT backup_id FROM run').pluck().all(),
      );
      assert.equal(inJournal, [backupId]);
    } finally {
      performance.now = now;
    }
  }),
);

publishing('is not looked for without end where a server has something under every name', async () => {
  const isTaken = takenIds(
    garbageUnder(() => true),
    ownRun(),
  );
  const findFree = async () => {
    for (let seconds = 0; await isTaken(idAfter(seconds)); seconds += 1);
  };
  await assertRejects(findFree, SkylockError, NONE_FREE);
});

publishing.run();

const removing = suite('checkpoints of the run');

removing('are not removed without end where a server has something under every name', async () => {
  const remove = () =>
    removeOwnCheckpoints(
      garbageUnder(() => true),
      FIRST,
      ownRun(),
    );
  await assertRejects(remove, SkylockError, NONE_FREE);
});

removing('are looked for up to the id that its backup has got, however late', async () => {
  await removeOwnCheckpoints(
    garbageUnder(() => false),
    idAfter(500),
    ownRun(),
  );
});

removing.run();
