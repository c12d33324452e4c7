import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError, SkylockError } from '../../lib/errors.ts';
import { openJournal } from '../../lib/journal/database.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import { assertRejects, seededBytes } from '../format/fixtures.ts';
import { createRandom, times } from '../fuzz/fuzz.ts';
import { failingRemote } from '../helpers/failing-remote.ts';
import {
  assertHolds,
  assertIndexesTrue,
  type Machine,
  machineIn,
  repositoryAt,
  withMachine,
} from '../helpers/scenario.ts';
import { type Tree, writeTree } from '../helpers/tree.ts';

const PAGE_BYTES = 4096;
const TREE: Tree = [
  ['a big', seededBytes(100_000, 'a')],
  ['b text', 'a line that shrinks well\n'.repeat(3000)],
  ...Array.from({ length: 60 }, (_, index) => [`m/${index}`, seededBytes(300 + index, `m${index}`)] as const),
  ['n/empty', ''],
  ['z big', seededBytes(150_000, 'z')],
];

/** A moment between two runs. */
interface Moment {
  readonly journal: Buffer;
  readonly objects: ReadonlyMap<string, Buffer>;
}

/** Lends a machine with a backup that broke off, again and again, and the moments after each time. */
async function withBrokenBackup(
  use: (machine: Machine, moments: readonly Moment[]) => Promise<void>,
): Promise<void> {
  await withMachine(async (machine) => {
    writeTree(machine.source, TREE);
    symlinkSync('m/1', join(machine.source, 'link'));
    await sleep(60); // younger files are read again in any case
    const moments: Moment[] = [];
    for (const puts of [2, 3, 2]) {
      const failure = { verb: 'put', call: puts, times: Number.POSITIVE_INFINITY } as const;
      const remote = failingRemote(memoryRemote(machine.objects), [failure]);
      await assertRejects(() => machine.backUp({ remote }), RemoteError);
      moments.push({ journal: readFileSync(machine.journalFile), objects: copyOf(machine.objects) });
    }
    await use(machine, moments);
  });
}

function copyOf(objects: ReadonlyMap<string, Buffer>): Map<string, Buffer> {
  return new Map([...objects].map(([name, bytes]) => [name, Buffer.from(bytes)]));
}

/** Backs up with this journal as the program does: what ends well is right, what does not says why, and then goes on. */
async function assertHonest(
  { folder, journalFile, source }: Machine,
  bytes: Buffer,
  { objects }: Moment,
  what: string,
): Promise<void> {
  const remote = copyOf(objects);
  const machine = machineIn(folder, remote);
  for (const suffix of ['', '-wal', '-shm']) rmSync(journalFile + suffix, { force: true });
  writeFileSync(journalFile, bytes);
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    try {
      // As `backup` does, which looks at the whole journal before anything is built on it.
      (await openJournal(journalFile, { now: new Date(), check: true })).journal.close();
      const { backupId, failures } = await machine.backUp();
      assert.is(failures, 0, what);
      await assertHolds(repositoryAt(memoryRemote(remote)), backupId, [source]);
      await assertIndexesTrue(repositoryAt(memoryRemote(remote)));
      return;
    } catch (error) {
      if (!(error instanceof SkylockError)) throw new Error(`${what}: ${(error as Error).stack}`);
    }
  }
  throw new Error(`${what}: it never ended well`);
}

const damaged = suite('a backup whose journal');

damaged('has one bit turned over anywhere is right, or says why not', () =>
  withBrokenBackup(async (machine, moments) => {
    const random = createRandom();
    const last = moments.at(-1)!;
    for (let round = 0; round < times(12); round += 1) {
      const bytes = Buffer.from(last.journal);
      let at = random(bytes.length);
      while (bytes[at] === 0) at = random(bytes.length);
      bytes[at]! ^= 1 << random(8);
      await assertHonest(machine, bytes, last, `round ${round}, byte ${at}`);
    }
  }),
);

damaged('has pages of another moment, or of another place, is right, or says why not', () =>
  withBrokenBackup(async (machine, moments) => {
    const random = createRandom();
    const last = moments.at(-1)!;
    for (let round = 0; round < times(8); round += 1) {
      const bytes = Buffer.from(last.journal);
      const told: string[] = [];
      for (let count = 1 + random(3); count > 0; count -= 1) {
        const from = moments[random(moments.length)]!.journal;
        const page = random(Math.min(from.length, bytes.length) / PAGE_BYTES);
        const to = round % 4 === 0 ? random(bytes.length / PAGE_BYTES) : page;
        from.copy(bytes, to * PAGE_BYTES, page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
        told.push(`page ${to}`);
      }
      await assertHonest(machine, bytes, last, `round ${round}, ${told}`);
    }
  }),
);

damaged('is an older one, as from a copy of the disk, is right and sends nothing again', () =>
  withBrokenBackup(async (machine, moments) => {
    const last = moments.at(-1)!;
    for (const [index, { journal }] of moments.entries())
      await assertHonest(machine, journal, last, `moment ${index}`);
    await assertHonest(machine, Buffer.alloc(0), last, 'none at all');
  }),
);

damaged('knows of more than the remote has, as from a copy of that, is right', () =>
  withBrokenBackup(async (machine, moments) => {
    const last = moments.at(-1)!;
    for (const [index, moment] of moments.entries())
      await assertHonest(machine, last.journal, moment, `moment ${index}`);
    await assertHonest(machine, last.journal, { ...last, objects: new Map() }, 'an empty remote');
  }),
);

damaged.run();

const twice = suite('what the journal believes of a chunk');

twice('is damage with any bit of it changed', () =>
  withBrokenBackup(async (machine, moments) => {
    const { journal } = moments.at(-1)!;
    const chunks = (file: string) =>
      openJournal(file, { now: new Date(), check: true }).then(
        ({ journal: { sqlite, close }, movedAside }) => {
          const rows = sqlite.prepare('SELECT * FROM chunk').all();
          close();
          return { rows, movedAside };
        },
      );
    const before = await chunks(machine.journalFile);
    const id = (before.rows[0] as { id: Buffer }).id;
    const places = placesOf(journal, id);
    assert.ok(places.length >= 2, 'in the table, and in the index');
    const copy = join(machine.folder, 'copy.db');
    let found = 0;
    for (const place of places) {
      for (let at = place - 12; at < place + id.length + 16; at += 1) {
        const bytes = Buffer.from(journal);
        bytes[at]! ^= 1;
        for (const suffix of ['', '-wal', '-shm']) rmSync(copy + suffix, { force: true });
        writeFileSync(copy, bytes);
        const { rows, movedAside } = await chunks(copy);
        if (movedAside === null) assert.equal(rows, before.rows, `byte ${at}`);
        else found += 1;
      }
    }
    assert.ok(found > 60, `${found} were found`);
  }),
);

function placesOf(bytes: Buffer, id: Buffer): number[] {
  const places: number[] = [];
  for (let at = bytes.indexOf(id); at !== -1; at = bytes.indexOf(id, at + 1)) places.push(at);
  return places;
}

twice.run();
