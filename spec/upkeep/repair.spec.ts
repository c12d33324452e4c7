import { hash, randomUUID } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LockedError } from '../../lib/errors.ts';
import type { Journal } from '../../lib/journal/database.ts';
import { claimRun, interruptRun, type Run } from '../../lib/journal/runs.ts';
import { unfinishedRuns } from '../../lib/journal/unfinished.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { seededBytes } from '../format/fixtures.ts';
import { failingRemote } from '../helpers/failing-remote.ts';
import { assertHolds, assertHonest, HERE, repositoryAt } from '../helpers/scenario.ts';
import { DAMAGES, damage, swap } from './damages.ts';
import { type Made, repairStored, verifyStored, withMade } from './fixtures.ts';

const mended = suite('a damaged repository that is repaired');

/** The only file of the first backup whose content the sources do not have any more. */
const REPLACED = 'docs/3';

/** After a repair the next backup makes whole what the sources still have, and verify is right about the rest. */
async function assertHeals(made: Made): Promise<void> {
  const { machine, objects, backupIds } = made;
  const { backupId } = await machine.backUp();
  await assertHonest(machine);
  const repository = repositoryAt(memoryRemote(objects));
  await assertHolds(repository, backupId, [machine.source]);
  const found = await verifyStored(made);
  for (const { kind, object, reason, backups, affected } of found.told) {
    if (kind === 'note') continue;
    assert.equal(backups, [backupIds[0]], `${object}: ${reason}`);
    assert.ok(
      affected.every((file) => file === `${backupIds[0]} ${REPLACED}`),
      affected.join(),
    );
  }
  if (found.findings === 0)
    for (const id of backupIds.slice(1)) await assertHolds(repository, id, [machine.source]);
}

/** Nothing damaged is relied on any more. */
async function assertMended(made: Made): Promise<void> {
  const { damage: left } = await verifyStored(made);
  const isRelied = (name: string) => name.startsWith('packs/') || name.startsWith('index/');
  assert.equal([...left.keys()].filter(isRelied), []);
}

for (const [number, kind] of DAMAGES.entries()) {
  mended(`packs ${kind.name}: what can be read is kept, the next backup sends the rest`, async () => {
    await withMade(async (made) => {
      const packs = made.names('packs/');
      for (const name of [packs[number % packs.length]!, packs.at(-1 - (number % packs.length))!]) {
        damage(made.objects, name, kind);
      }
      await repairStored(made);
      await assertMended(made);
      await assertHeals(made);
    });
  });

  mended(`indexes ${kind.name}: are made anew from the packs, and nothing is sent again`, async () => {
    await withMade(async (made) => {
      for (const name of made.names('index/')) damage(made.objects, name, kind);
      const { lostChunks } = await repairStored(made, { readData: false });
      assert.is(lostChunks, 0);
      assert.equal((await verifyStored(made)).findings, 0);
      const { sentBytes } = await made.machine.backUp();
      assert.is(sentBytes, 0);
      for (const id of made.backupIds.slice(1)) {
        await assertHolds(repositoryAt(memoryRemote(made.objects)), id, [made.source]);
      }
    });
  });
}

mended('by another machine, or one without its journal, as well', async () => {
  await withMade(async (made) => {
    for (const name of made.names('index/')) made.objects.delete(name);
    const flip = DAMAGES.find(({ name }) => name.includes('middle'))!;
    damage(made.objects, made.names('packs/')[0]!, flip);
    await made.machine.withJournal((journal) => {
      for (const table of ['chunk', 'pack', 'index_seen']) journal.sqlite.exec(`DELETE FROM ${table}`);
    });
    await repairStored(made);
    await assertMended(made);
    await assertHeals(made);
  });
});

mended('loses one chunk to one bit', async () => {
  await withMade(async (made) => {
    const name = made.names('packs/')[0]!;
    damage(made.objects, name, DAMAGES.find((one) => one.name.includes('middle'))!);
    const { lostChunks, done } = await repairStored(made);
    assert.is(lostChunks, 1);
    assert.ok(done.some(({ action, object }) => action === 'set_aside' && object === name));
    assert.not.ok(made.objects.has(name));
    const aside = [...made.objects.keys()].filter((one) => one.startsWith('damaged/'));
    assert.is(aside.length, 1, 'the damaged pack is kept where nobody looks for it');
  });
});

mended('with two packs swapped', async () => {
  await withMade(async (made) => {
    const [a, b] = made.names('packs/') as [string, string];
    swap(made.objects, a, b);
    await repairStored(made);
    await assertMended(made);
    await assertHeals(made);
  });
});

mended('with rubbish for indexes, packs and checkpoints, which is set aside', async () => {
  await withMade(async (made) => {
    const noise = seededBytes(500, 'noise');
    const sha256 = hash('sha256', noise);
    const checkpoint = made.names('resume/')[0]!;
    const rubbish = ['index/strange', `index/${sha256}`, `packs/${sha256.slice(0, 2)}/${sha256}`, checkpoint];
    for (const name of rubbish) made.objects.set(name, noise);
    await repairStored(made);
    for (const name of rubbish) assert.not.ok(made.objects.has(name), name);
    assert.is((await verifyStored(made)).findings, 0);
    await assertHeals(made);
  });
});

mended('keeps a backup whose header is damaged, and says so', async () => {
  await withMade(async (made) => {
    const name = made.names('backups/')[0]!;
    damage(made.objects, name, DAMAGES[3]!);
    const bytes = made.objects.get(name);
    const { unreadableBackups, done } = await repairStored(made);
    assert.is(unreadableBackups, 1);
    assert.equal(
      done.map(({ action, object }) => [action, object]),
      [['kept', name]],
    );
    assert.is(made.objects.get(name), bytes);
  });
});

mended.run();

const repairing = suite('a repair');

/** Something of every kind. */
function damageMuch({ objects, names }: Made): void {
  const packs = names('packs/');
  damage(objects, packs[0]!, DAMAGES.find(({ name }) => name.includes('middle'))!);
  damage(objects, packs[1]!, DAMAGES.find(({ name }) => name === 'cut in half')!);
  objects.delete(packs[2]!);
  damage(objects, names('index/')[0]!, DAMAGES.find(({ name }) => name === 'random bytes')!);
  damage(objects, names('resume/')[0]!, DAMAGES.find(({ name }) => name === 'emptied')!);
}

/** A backup of other sources runs in this process, unless it does already. */
function claimElsewhere(journal: Journal, journalRepository: number): Run | null {
  if (unfinishedRuns(journal).length > 0) return null;
  return claimRun(journal, {
    journalRepository,
    matchKey: Buffer.alloc(32, 1),
    sourcePaths: [Buffer.from('/elsewhere')],
    host: 'here',
    owner: HERE,
    now: new Date(),
    takenIds: new Set(),
    uuid: randomUUID(),
  });
}

repairing('of what is whole changes nothing', async () => {
  await withMade(async (made) => {
    const { actions, done } = await repairStored(made);
    assert.equal([actions, done], [0, []]);
    assert.equal([...made.objects.keys()], [...made.clean.keys()]);
  });
});

repairing('gives up no pack that a listing left out', async () => {
  await withMade(async (made) => {
    const [gone, ...hidden] = made.names('packs/');
    made.objects.delete(gone!);
    const remote = memoryRemote(made.objects);
    const forgetful: Remote = {
      ...remote,
      async *list(prefix) {
        for await (const object of remote.list(prefix)) if (!hidden.includes(object.name)) yield object;
      },
    };
    const { lostChunks } = await repairStored(made, { dryRun: true });
    assert.ok(lostChunks > 0);
    assert.is((await repairStored(made, {}, forgetful)).lostChunks, lostChunks);
    assert.equal((await repairStored(made)).done, [], 'the others are in the indexes that were put');
    for (const name of hidden) assert.is(made.objects.get(name), made.clean.get(name));
  });
});

repairing('is done after once', async () => {
  await withMade(async (made) => {
    damageMuch(made);
    const first = await repairStored(made);
    assert.ok(first.actions > 0);
    const names = [...made.objects.keys()];
    const second = await repairStored(made);
    assert.equal([second.actions, second.lostChunks], [0, 0]);
    assert.equal([...made.objects.keys()], names);
  });
});

repairing('that is only tried changes nothing, and tells what one would do', async () => {
  await withMade(async (made) => {
    damageMuch(made);
    const before = new Map(made.objects);
    const tried = await repairStored(made, { dryRun: true });
    assert.equal([...made.objects], [...before]);
    const done = await repairStored(made);
    assert.is(tried.lostChunks, done.lostChunks);
    const gone = (summary: typeof done) =>
      summary.done
        .filter(({ action }) => action !== 'put')
        .map(({ action, object }) => `${action} ${object}`);
    assert.equal(gone(tried), gone(done));
  });
});

repairing('waits for a backup that runs', async () => {
  await withMade(async (made) => {
    damageMuch(made);
    const names = [...made.objects.keys()];
    const run = await made.machine.withJournal(claimElsewhere);
    const error = await repairStored(made).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof LockedError, String(error));
    assert.equal([...made.objects.keys()], names);
    await made.machine.withJournal((journal) => interruptRun(journal, run!));
    await repairStored(made);
  });
});

repairing('removes nothing once a backup has begun meanwhile', async () => {
  await withMade(async (made) => {
    damageMuch(made);
    const names = [...made.objects.keys()];
    const remote = memoryRemote(made.objects);
    const error = await repairStored(
      made,
      {},
      {
        ...remote,
        async put(...args) {
          await made.machine.withJournal((journal, journalRepository) =>
            claimElsewhere(journal, journalRepository),
          );
          return remote.put(...args);
        },
      },
    ).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof LockedError, String(error));
    for (const name of names) assert.ok(made.objects.has(name), name);
  });
});

repairing('cut short at any call loses nothing that could be read before', async () => {
  await withMade(async (made) => {
    const { objects, names } = made;
    damage(objects, names('packs/')[0]!, DAMAGES.find(({ name }) => name.includes('middle'))!);
    const damaged = new Map(objects);
    const lostOf = async () => [...(await verifyStored(made)).damage.values()].flat();
    const lost = await lostOf();
    const rehearsal = failingRemote(memoryRemote(objects), []);
    await repairStored(made, {}, rehearsal);
    for (const verb of ['put', 'remove'] as const) {
      for (let call = 1; call <= rehearsal.calls.filter((line) => line.startsWith(verb)).length; call += 1) {
        objects.clear();
        for (const [name, bytes] of damaged) objects.set(name, bytes);
        const failing = failingRemote(memoryRemote(objects), [{ verb, call, when: 'after' }]);
        await repairStored(made, {}, failing).catch(() => {});
        const halfway = await lostOf();
        assert.ok(
          halfway.every((file) => lost.includes(file)),
          `${verb} ${call}: ${halfway.join()}`,
        );
        if (verb === 'put') continue;
        // From then on a backup does not rely on the damaged pack, whether the repair is run again or not.
        const { backupId } = await made.machine.backUp();
        await assertHolds(repositoryAt(memoryRemote(objects)), backupId, [made.source]);
      }
    }
  });
});

repairing('cut short at any call that changes the remote is finished by the next one', async () => {
  await withMade(async (made) => {
    damageMuch(made);
    const damaged = new Map(made.objects);
    const restore = () => {
      made.objects.clear();
      for (const [name, bytes] of damaged) made.objects.set(name, bytes);
    };
    const rehearsal = failingRemote(memoryRemote(made.objects), []);
    const { lostChunks } = await repairStored(made, {}, rehearsal);
    const expected = (await verifyStored(made)).damage;
    for (const verb of ['put', 'remove'] as const) {
      const calls = rehearsal.calls.filter((line) => line.startsWith(verb)).length;
      assert.ok(calls > 0);
      for (let call = 1; call <= calls; call += 1) {
        for (const when of ['before', 'after'] as const) {
          restore();
          const failing = failingRemote(memoryRemote(made.objects), [{ verb, call, when }]);
          const error = await repairStored(made, {}, failing).catch((thrown: unknown) => thrown);
          assert.ok(error instanceof Error, `${verb} ${call}`);
          // What can be read without the repair can be read half-way.
          const halfway = await repairStored(made);
          assert.ok(halfway.lostChunks <= lostChunks);
          assert.equal(
            [...(await verifyStored(made)).damage.keys()],
            [...expected.keys()],
            `${verb} ${call} ${when}`,
          );
        }
      }
    }
    await assertHeals(made);
  });
});

repairing.run();
