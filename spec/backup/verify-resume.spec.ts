import { lstatSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError } from '../../lib/errors.ts';
import type { ProgressEvent } from '../../lib/progress.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { assertRejects, seededBytes } from '../format/fixtures.ts';
import { failingRemote } from '../helpers/failing-remote.ts';
import {
  assertHolds,
  assertHonest,
  assertIndexesTrue,
  LANES,
  type Machine,
  type MachineOptions,
  repositoryAt,
  withMachine,
} from '../helpers/scenario.ts';
import { type Tree, writeTree } from '../helpers/tree.ts';

/** Each of the large files fills packs of its own. */
const TREE: Tree = {
  'a big': seededBytes(100_000, 'a'),
  empty: '',
  'm/1': 'one',
  'm/2': 'two',
  'z big': seededBytes(100_000, 'z'),
};
const FILES = 5;
/** A file changed less than this long ago is read by the next run in any case. */
const FRESH_MS = 60;
const VERIFY = { verifyResume: true } as const;

function withTreeBehind(use: (machine: Machine) => Promise<void>): Promise<void> {
  return withMachine(async (machine) => {
    writeTree(machine.source, TREE);
    await sleep(FRESH_MS);
    await use(machine);
  });
}

/** Backs up with the flag, and proves that the result is what lies at the source now. */
async function verifyResume(machine: Machine, options: MachineOptions = {}) {
  const remote = failingRemote(options.remote ?? memoryRemote(machine.objects), []);
  const summary = await machine.backUp({ ...options, remote, request: { ...VERIFY, ...options.request } });
  const { calls } = remote;
  await assertHolds(repositoryAt(memoryRemote(machine.objects)), summary.backupId, [machine.source]);
  await assertIndexesTrue(repositoryAt(memoryRemote(machine.objects)));
  assert.equal([await assertHonest(machine), summary.failures], [null, 0]);
  const notices = summary.events.filter(({ type }) => type === 'notice') as { text: string }[];
  return {
    ...summary,
    calls,
    notices: notices.map(({ text }) => text),
    planned: eventsOf(summary.events, 'planned')[0]!,
    plannedChecks: eventsOf(summary.events, 'check_planned'),
  };
}

function eventsOf<Type extends ProgressEvent['type']>(events: readonly ProgressEvent[], type: Type) {
  return events.filter((event): event is Extract<ProgressEvent, { type: Type }> => event.type === type);
}

/** Breaks off once so many packs are on the remote. */
async function breakAfter(machine: Machine, packs: number, options: MachineOptions = {}): Promise<string> {
  const failure = { verb: 'put', call: packs + 1, times: Number.POSITIVE_INFINITY } as const;
  const remote = failingRemote(memoryRemote(machine.objects), [failure]);
  await assertRejects(() => machine.backUp({ remote, ...options }), RemoteError);
  return String(await assertHonest(machine));
}

/** Changes bytes of a file as a failing disk does: neither its size nor any of its times tells. */
async function rot(machine: Machine, name: string, at = 0): Promise<void> {
  const path = join(machine.source, name);
  const { atime, mtime } = lstatSync(path);
  const bytes = readFileSync(path);
  bytes[at]! ^= 1;
  writeFileSync(path, bytes);
  utimesSync(path, atime, mtime);
  const { ctimeNs } = lstatSync(path, { bigint: true });
  await machine.withJournal(({ sqlite }) => {
    sqlite.prepare('UPDATE entry SET ctime_ns = ? WHERE path = ?').run(ctimeNs, Buffer.from(path));
  });
  await sleep(FRESH_MS);
}

function packsOf({ objects }: Machine): string[] {
  return [...objects.keys()].filter((name) => name.startsWith('packs/'));
}

const verified = suite('a backup that believes nothing of what counts as uploaded');

verified('reads every file, asks for every pack, and sends nothing where all is as it was', () =>
  withTreeBehind(async (machine) => {
    await machine.backUp();
    const packs = packsOf(machine);
    const { calls, notices, plannedChecks, planned, events } = await verifyResume(machine);
    assert.equal(
      calls.filter((call) => call.startsWith('stat packs/')).sort(),
      packs.map((name) => `stat ${name}`).sort(),
    );
    assert.equal(
      calls.filter((call) => call.startsWith('put packs/')),
      [],
    );
    assert.equal(notices, ['4 uploaded files compared: none has other content than was uploaded']);
    assert.is(planned.uploadedFiles, FILES);
    const sizes = packs.map((name) => machine.objects.get(name)!.length);
    assert.equal(plannedChecks, [
      { type: 'check_planned', unit: 'pack', total: packs.length, totalBytes: sizes.reduce((a, b) => a + b) },
      { type: 'check_planned', unit: 'file', total: 4, totalBytes: 200_006 },
    ]);
    assert.equal(eventsOf(events, 'checked').at(-1), { type: 'checked', done: 4, doneBytes: 200_006 });
  }),
);

for (const at of [0, 99_999]) {
  verified(`finds a file whose byte ${at} has changed though its times have not, and sends that alone`, () =>
    withTreeBehind(async (machine) => {
      await machine.backUp();
      await rot(machine, 'z big', at);
      const believing = await machine.backUp();
      assert.is(eventsOf(believing.events, 'planned')[0]!.uploadedFiles, FILES);
      const { notices, planned, sentBytes } = await verifyResume(machine);
      const path = join(machine.source, 'z big');
      assert.equal(notices, [
        `${path} has other content than was uploaded, though its size and times are the same`,
        '4 uploaded files compared: 1 with other content than was uploaded',
      ]);
      assert.is(planned.uploadedFiles, FILES - 1);
      assert.ok(
        sentBytes > 0 && sentBytes < 30_000,
        `${sentBytes} bytes: the chunks that changed, and the manifest`,
      );
    }),
  );
}

verified('finds a file of which the journal says more than there is', () =>
  withTreeBehind(async (machine) => {
    await machine.backUp();
    const path = Buffer.from(join(machine.source, 'm/1'));
    await machine.withJournal(({ sqlite }) => {
      sqlite
        .prepare(
          `INSERT INTO entry_chunk SELECT entry, position + 1, chunk FROM entry_chunk
           WHERE entry = (SELECT id FROM entry WHERE path = ?)`,
        )
        .run(path);
    });
    const { notices } = await verifyResume(machine);
    assert.is(notices.length, 2);
  }),
);

verified('goes on with an interrupted run under its id, a file that is half there from its beginning', () =>
  withTreeBehind(async (machine) => {
    const id = await breakAfter(machine, 2);
    await rot(machine, 'a big', 10);
    const { backupId, resumed, planned, notices } = await verifyResume(machine);
    assert.equal([backupId, resumed], [id, true]);
    assert.equal([planned.uploadedFiles, planned.uploadedBytes], [1, 0]);
    assert.equal(notices, ['0 uploaded files compared: none has other content than was uploaded']);
  }),
);

verified('compares what was taken over from another machine, of which only size and mtime are known', () =>
  withTreeBehind(async (machine) => {
    await machine.backUp();
    await rot(machine, 'a big', 5);
    await machine.withJournal(({ sqlite }) => {
      sqlite.exec('UPDATE entry SET inode = 0, device = 0, ctime_ns = 0');
    });
    const { notices, planned } = await verifyResume(machine);
    assert.equal([notices.length, planned.uploadedFiles], [2, FILES - 1]);
    assert.match(notices[0]!, 'a big has other content than was uploaded');
  }),
);

const LOSSES: Record<string, (objects: Map<string, Buffer>, name: string) => void> = {
  gone: (objects, name) => objects.delete(name),
  short: (objects, name) => objects.set(name, objects.get(name)!.subarray(0, -1)),
};
for (const [what, lose] of Object.entries(LOSSES)) {
  verified(`sends exactly the files of a pack that is ${what}, even where the listing shows it whole`, () =>
    withTreeBehind(async (machine) => {
      await machine.backUp();
      const listed = new Map(machine.objects);
      const path = join(machine.source, 'z big');
      lose(machine.objects, await packOfLastChunk(machine, path));
      const remote = memoryRemote(machine.objects);
      const lying: Remote = { ...remote, list: (prefix) => memoryRemote(listed).list(prefix) };

      const believing = await machine.backUp({ remote: lying });
      assert.is(eventsOf(believing.events, 'planned')[0]!.uploadedFiles, FILES, 'the listing is believed');
      const { planned, notices } = await verifyResume(machine, { remote: lying });
      assert.is(planned.uploadedFiles, FILES - 1);
      assert.ok(notices.includes('1 pack is missing or short on the remote: what it held is sent again'));
    }),
  );
}

async function packOfLastChunk(machine: Machine, path: string): Promise<string> {
  return machine.withJournal(({ sqlite }) => {
    const name = sqlite
      .prepare(
        `SELECT pack.name FROM entry JOIN entry_chunk ON entry_chunk.entry = entry.id 
         JOIN chunk ON chunk.id = entry_chunk.chunk JOIN pack ON pack.id = chunk.pack WHERE path = ?
         ORDER BY entry_chunk.position DESC`,
      )
      .pluck()
      .get(Buffer.from(path)) as Buffer;
    return `packs/${name.toString('hex', 0, 1)}/${name.toString('hex')}`;
  });
}

verified('leaves what has changed by its times, or is gone, to the plan', () =>
  withTreeBehind(async (machine) => {
    await machine.backUp();
    writeFileSync(join(machine.source, 'm/1'), 'something else');
    rmSync(join(machine.source, 'm/2'));
    const { notices, files } = await verifyResume(machine);
    assert.is(files, FILES - 1);
    assert.equal(notices, ['4 uploaded files compared: none has other content than was uploaded']);
  }),
);

verified('that is interrupted, or dies, while it compares is exact, and goes on', () =>
  withTreeBehind(async (machine) => {
    const id = await breakAfter(machine, 2 * LANES);
    await rot(machine, 'm/1');
    // Among the packs, in the first file, in the last one.
    for (const after of [2, 20, 60]) {
      for (const how of ['died', 'interrupted']) {
        const asked = new AbortController();
        let left = after;
        const onEvent = ({ type }: ProgressEvent) => {
          if (type === 'planned') throw new Error('it went on');
          if (type !== 'checked' || left-- > 0) return;
          if (how === 'died') throw new Error('died');
          asked.abort();
        };
        const stopped = machine.backUp({ request: VERIFY, onEvent, signal: asked.signal });
        const error = await stopped.catch((thrown: unknown) => thrown);
        assert.match(String(error), /died|interrupted while (?:asking for packs|comparing what is uploaded)/);
        assert.is(await assertHonest(machine), id);
      }
    }
    const { backupId } = await verifyResume(machine);
    assert.is(backupId, id);
  }),
);

verified.run();
