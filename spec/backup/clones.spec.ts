import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError } from '../../lib/errors.ts';
import { BACKUP_ID } from '../../lib/format/backup-header.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import { putCheckpoint, readCheckpoint } from '../../lib/repository/backups.ts';
import { assertRejects } from '../format/fixtures.ts';
import { failingRemote } from '../helpers/failing-remote.ts';
import { HERE, type Machine, machineIn, readBack, repositoryAt } from '../helpers/scenario.ts';
import { withFolder } from '../helpers/temporary.ts';
import { writeTree } from '../helpers/tree.ts';
import {
  assertBreaks,
  assertWhole,
  breakingAfterCheckpoint,
  fill,
  interrupt,
} from './checkpoint-fixtures.ts';

const FIRST = '20251107_142030';
const SECOND = '20251107_142031';
const START = new Date('2025-11-07T14:20:30.500Z');
/** So many are left to be sent after the first interruption, and some more. */
const FEW_PACKS = 2;
/** What one clone looks like to the other: a machine of the same name that runs since another time. */
const OTHER_BOOT = { ...HERE, bootId: 'another boot' };

interface Clones {
  readonly objects: Map<string, Buffer>;
  readonly one: Machine;
  readonly other: Machine;
  /** Everything that one could tell the two by is the same. */
  readonly alike: { readonly sources: readonly string[]; readonly now: () => Date };
}

/** Two machines with the same name and the same sources, both of which begin in the same second. */
function withClones(use: (clones: Clones) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    const objects = new Map<string, Buffer>();
    const [one, other] = ['one', 'other'].map((name) => machineIn(join(folder, name), objects));
    fill(one!.source);
    await use({ objects, one: one!, other: other!, alike: { sources: [one!.source], now: () => START } });
  });
}

const idsUnder = (prefix: string, objects: Map<string, Buffer>) =>
  [...objects.keys()]
    .filter((name) => name.startsWith(prefix) && BACKUP_ID.test(name.slice(prefix.length)))
    .map((name) => name.slice(prefix.length))
    .sort();

const backupsOf = ({ objects }: Clones) => idsUnder('backups/', objects);
const checkpointsOf = ({ objects }: Clones) => idsUnder('resume/', objects);

/** @returns what the file has in the backup */
async function contentOf({ objects }: Clones, backupId: string, file: string): Promise<string> {
  const { contents } = await readBack(repositoryAt(memoryRemote(objects)), backupId);
  return String([...contents].find(([path]) => path.endsWith(`/${file}`))?.[1]);
}

/** Begins a backup that stands still once it is claimed. @returns what lets it go on, until it breaks after a checkpoint */
async function beginAndWait({ other, alike }: Clones): Promise<() => Promise<void>> {
  const claimed = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const remote = breakingAfterCheckpoint(other, FEW_PACKS);
  const backup = other.backUp({
    ...alike,
    remote: {
      ...remote,
      async *list(prefix) {
        if (prefix === 'packs/') {
          claimed.resolve();
          await gate.promise;
        }
        yield* remote.list(prefix);
      },
    },
    request: { owner: OTHER_BOOT, checkpointEveryMs: 5 },
  });
  await claimed.promise;
  return async () => {
    gate.resolve();
    await assertBreaks(() => backup);
  };
}

const clones = suite('two clones of one machine, at the same second');

clones('both have a backup in the end, and each is what its machine backed up', () =>
  withClones(async (pair) => {
    const { one, other, alike } = pair;
    const failure = { verb: 'put', call: 3, times: Number.POSITIVE_INFINITY } as const;
    const remote = failingRemote(memoryRemote(pair.objects), [failure]);
    await assertRejects(() => one.backUp({ ...alike, remote }), RemoteError);
    writeTree(one.source, { differs: 'on the other' });
    assert.is((await other.backUp(alike)).backupId, FIRST);
    writeTree(one.source, { differs: 'on the one' });
    const { backupId, resumed } = await one.backUp(alike);
    assert.equal([backupId, resumed], [SECOND, true]);
    assert.is(await contentOf(pair, FIRST, 'differs'), 'on the other');
    assert.is(await contentOf(pair, SECOND, 'differs'), 'on the one');
  }),
);

clones('each have a checkpoint, and go on with it when their journals are lost', () =>
  withClones(async (pair) => {
    const { one, other, alike } = pair;
    const letGo = await beginAndWait(pair);
    await interrupt(one, { ...alike, request: { owner: { ...HERE, startedAt: 'long ago' } } });
    await letGo();
    assert.equal(checkpointsOf(pair), [FIRST, SECOND]);

    // The one knows its checkpoint by its boot id, and takes it over; the other's is left where it is.
    rmSync(join(one.folder, 'data'), { recursive: true });
    rmSync(join(other.folder, 'data'), { recursive: true });
    const remote = repositoryAt(memoryRemote(pair.objects));
    const left = await readCheckpoint(remote, SECOND);
    const first = await one.backUp({ ...alike, request: { adopt: FIRST } });
    assert.equal([first.backupId, first.resumed], [FIRST, true]);
    assert.equal(await readCheckpoint(remote, SECOND), left);
    const second = await other.backUp({ ...alike, request: { adopt: SECOND } });
    assert.equal([second.backupId, second.resumed], [SECOND, true]);
    for (const id of [FIRST, SECOND]) await assertWhole(one, id);
    assert.equal([backupsOf(pair), checkpointsOf(pair)], [[FIRST, SECOND], []]);
  }),
);

clones('leave one another’s checkpoint alone when one of them is ready', () =>
  withClones(async (pair) => {
    const { one, other, alike } = pair;
    const letGo = await beginAndWait(pair);
    assert.is((await one.backUp(alike)).backupId, FIRST);
    fill(one.source, 'other');
    await letGo();
    // Under an id of its own, where the complete backup does not hide it.
    assert.equal(checkpointsOf(pair), [SECOND]);
    await one.backUp({ ...alike, now: () => new Date('2025-11-07T14:25:00Z') });
    assert.equal(checkpointsOf(pair), [SECOND], 'it is not left over');
    assert.is((await other.backUp(alike)).backupId, SECOND);
    assert.equal(checkpointsOf(pair), []);
    await assertWhole(one, FIRST);
    await assertWhole(other, SECOND, 'other');
  }),
);

clones('that have one unfinished run, as the journal was cloned as well, both finish it', () =>
  withClones(async (pair) => {
    const { one, other, alike } = pair;
    await interrupt(one, alike);
    cpSync(join(one.folder, 'data'), join(other.folder, 'data'), { recursive: true });
    assert.is((await one.backUp(alike)).backupId, FIRST);
    writeTree(one.source, { differs: 'on the other' });
    const { backupId, resumed } = await other.backUp(alike);
    assert.equal([backupId, resumed], [SECOND, true]);
    assert.is(await contentOf(pair, FIRST, 'differs'), 'undefined');
    assert.is(await contentOf(pair, SECOND, 'differs'), 'on the other');
  }),
);

clones.run();

const takenOver = suite('a backup that was taken over from a machine that was not dead');

takenOver('is complete under its id, and the other’s under the next', () =>
  withClones(async (pair) => {
    const { one, other, alike } = pair;
    await interrupt(one, { ...alike, request: { owner: OTHER_BOOT } });
    const second = await other.backUp({ ...alike, request: { adopt: FIRST } });
    assert.equal([second.backupId, second.resumed], [FIRST, true]);
    assert.equal(checkpointsOf(pair), []);
    writeTree(one.source, { differs: 'on the one' });
    assert.is((await one.backUp(alike)).backupId, SECOND);
    assert.is(await contentOf(pair, FIRST, 'differs'), 'undefined');
    assert.is(await contentOf(pair, SECOND, 'differs'), 'on the one');
  }),
);

takenOver('keeps its checkpoint when the other is ready first', () =>
  withClones(async (pair) => {
    const { one, other, alike } = pair;
    await interrupt(one, { ...alike, request: { owner: OTHER_BOOT } });
    await interrupt(other, { ...alike, request: { adopt: FIRST } }, FEW_PACKS);
    assert.is((await one.backUp(alike)).backupId, FIRST);
    assert.equal(checkpointsOf(pair), [FIRST], 'it is not the one’s any more');
    writeTree(one.source, { differs: 'on the other' });
    assert.is((await other.backUp(alike)).backupId, SECOND);
    assert.equal(checkpointsOf(pair), []);
    assert.is(await contentOf(pair, FIRST, 'differs'), 'undefined');
    assert.is(await contentOf(pair, SECOND, 'differs'), 'on the other');
  }),
);

takenOver.run();

const own = suite('a run’s own backup');

own('put just before a kill is put again, however many processes die in between', () =>
  withClones(async (pair) => {
    const { one, alike } = pair;
    const breaking = async (when: 'before' | 'after') => {
      const memory = memoryRemote(pair.objects);
      const put: typeof memory.put = async (name, bytes, options) => {
        if (when === 'after' || !name.startsWith('backups/')) await memory.put(name, bytes, options);
        if (name.startsWith('backups/')) throw new RemoteError('cut', { retryable: false });
      };
      await assertRejects(() => one.backUp({ ...alike, remote: { ...memory, put } }), RemoteError);
    };
    await breaking('after');
    await breaking('before');
    await breaking('before');
    assert.is((await one.backUp(alike)).backupId, FIRST);
    assert.equal(backupsOf(pair), [FIRST]);
  }),
);

own('checkpoint of a version without claims is replaced, and goes with the run', () =>
  withClones(async (pair) => {
    const { one, objects, alike } = pair;
    const owner = { ...HERE, startedAt: 'long ago' };
    await interrupt(one, { ...alike, request: { owner } });
    const repository = repositoryAt(memoryRemote(objects));
    const header = (await readCheckpoint(repository, FIRST))!;
    assert.is(header.claims.length, 1);
    await putCheckpoint(repository, { ...header, claims: [] });
    rmSync(join(one.folder, 'data'), { recursive: true });
    await interrupt(one, { ...alike, request: { owner } }, FEW_PACKS);
    assert.is((await readCheckpoint(repository, FIRST))?.claims.length, 1);
    assert.is((await one.backUp(alike)).backupId, FIRST);
    assert.equal([backupsOf(pair), checkpointsOf(pair)], [[FIRST], []]);
  }),
);

own.run();
