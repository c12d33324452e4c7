import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BackupSummary } from '../../lib/backup/backup.ts';
import { RemoteError } from '../../lib/errors.ts';
import type { ProgressEvent } from '../../lib/progress.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { assertRejects, seededBytes } from '../format/fixtures.ts';
import { failingRemote } from '../helpers/failing-remote.ts';
import {
  assertHolds,
  assertHonest,
  type Machine,
  readBack,
  repositoryAt,
  withMachine,
} from '../helpers/scenario.ts';
import { writeTree } from '../helpers/tree.ts';

/** More than the packs that may exist at once hold: it cannot be read to its end before the first of them is put. */
const BIG_BYTES = 500_000;

function withTreeBehind(use: (machine: Machine) => Promise<void>): Promise<void> {
  return withMachine(async (machine) => {
    writeTree(machine.source, {
      'a/1': 'one',
      'a/2': 'two',
      'b/3': 'three',
      big: seededBytes(BIG_BYTES, 'honest'),
    });
    await use(machine);
  });
}

/** Lets `change` happen once everything is planned, and before any of it is read. */
function afterPlan(change: () => void): { onEvent: (event: ProgressEvent) => void } {
  return { onEvent: ({ type }) => type === 'planned' && change() };
}

function failuresOf(
  { source }: Machine,
  { events }: BackupSummary & { readonly events: readonly ProgressEvent[] },
) {
  return events.flatMap((event) =>
    event.type === 'entry_failed' ? [`${event.path.slice(source.length + 1)}: ${event.reason}`] : [],
  );
}

async function filesIn({ objects, source }: Machine, backupId: string): Promise<Record<string, number>> {
  const { contents, header } = await readBack(repositoryAt(memoryRemote(objects)), backupId);
  const files = [...contents].map(([path, content]) => [path.slice(source.length + 1), content.length]);
  return { ...Object.fromEntries(files), unreadable: header.unreadable };
}

const WHOLE = { 'a/1': 3, 'a/2': 3, 'b/3': 5, big: BIG_BYTES, unreadable: 0 };

const unreadable = suite('a file that cannot be read');

for (const [what, change, reason] of [
  ['vanished', (path: string) => rmSync(path), 'vanished while it was being backed up'],
  [
    'became a folder',
    (path: string) => {
      rmSync(path);
      mkdirSync(path);
    },
    'became a folder while it was being backed up',
  ],
  [
    'became a symlink',
    (path: string) => {
      rmSync(path);
      symlinkSync('/etc/passwd', path);
    },
    'became a symlink while it was being backed up',
  ],
] as const) {
  unreadable(`because it ${what} is named and counted, and the rest goes on without it`, () =>
    withTreeBehind(async (machine) => {
      const summary = await machine.backUp(afterPlan(() => change(join(machine.source, 'a/2'))));
      assert.equal([summary.failures, summary.files], [1, 3]);
      assert.equal(failuresOf(machine, summary), [`a/2: ${reason}`]);
      const { 'a/2': _, ...others } = WHOLE;
      assert.equal(await filesIn(machine, summary.backupId), { ...others, unreadable: 1 });
      assert.is(await assertHonest(machine), null);
    }),
  );
}

unreadable('is tried again by the next backup', () =>
  withTreeBehind(async (machine) => {
    const path = join(machine.source, 'a/2');
    await machine.backUp(afterPlan(() => rmSync(path)));
    writeFileSync(path, 'two');
    const summary = await machine.backUp();
    assert.is(summary.failures, 0);
    assert.equal(await filesIn(machine, summary.backupId), WHOLE);
  }),
);

unreadable('is tried again, and counted anew, when the same backup goes on', () =>
  withTreeBehind(async (machine) => {
    const path = join(machine.source, 'a/2');
    const remote = failingRemote(memoryRemote(machine.objects), [{ verb: 'put', call: 4 }]);
    const broken = machine.backUp({ remote, ...afterPlan(() => rmSync(path)) });
    await assertRejects(() => broken, RemoteError);
    await assertHonest(machine);
    writeFileSync(path, 'two');
    const summary = await machine.backUp();
    assert.equal([summary.resumed, summary.failures], [true, 0]);
    assert.equal(await filesIn(machine, summary.backupId), WHOLE);
  }),
);

unreadable('may be all there is: the backup is complete, and says that it holds nothing', () =>
  withMachine(async (machine) => {
    const summary = await machine.backUp({
      onEvent: ({ type }) => type === 'backup_started' && rmSync(machine.source, { recursive: true }),
    });
    assert.equal([summary.failures, summary.files, summary.folders], [1, 0, 0]);
    assert.equal(await filesIn(machine, summary.backupId), { unreadable: 1 });
  }),
);

unreadable.run();

/** A remote at whose first puts of packs something happens. */
function remoteThat({ objects }: Machine, happens: (put: number) => void): Remote {
  const remote = memoryRemote(objects);
  let puts = 0;
  return {
    ...remote,
    put(name, bytes, options) {
      if (name.startsWith('packs/')) {
        puts += 1;
        happens(puts);
      }
      return remote.put(name, bytes, options);
    },
  };
}

const changing = suite('a file that changes while it is read');

for (const [what, change] of Object.entries({
  grows: (path: string) => appendFileSync(path, 'more'),
  shrinks: (path: string) => truncateSync(path, BIG_BYTES - 100_000),
  'is emptied': (path: string) => truncateSync(path, 0),
  // Without truncating it first: for a moment it would be a file at rest that is empty.
  'changes at its end': (path: string) =>
    writeFileSync(path, Buffer.concat([readFileSync(path).subarray(0, -5), Buffer.from('other')]), {
      flag: 'r+',
    }),
})) {
  changing(`(it ${what}) is read again, and held as it then is`, () =>
    withTreeBehind(async (machine) => {
      const path = join(machine.source, 'big');
      const remote = remoteThat(machine, (put) => put === 2 && change(path));
      const summary = await machine.backUp({ remote });
      assert.is(summary.failures, 0);
      await assertHolds(repositoryAt(remote), summary.backupId, [machine.source]);
      assert.is(await assertHonest(machine), null);
    }),
  );
}

changing('each time is named, held as it was read last, and read again by the next backup', () =>
  withTreeBehind(async (machine) => {
    const path = join(machine.source, 'big');
    // Other content every time: were it known already, it would be read without a put in between.
    const remote = remoteThat(machine, () => writeFileSync(path, randomBytes(BIG_BYTES), { flag: 'r+' }));
    const summary = await machine.backUp({ remote });
    assert.is(summary.failures, 1);
    assert.equal(failuresOf(machine, summary), [
      'big: changed each time it was read: what was read last is kept',
    ]);
    // Whatever it holds of it, that can be read; and all else is right.
    const { big, ...others } = await filesIn(machine, summary.backupId);
    const { big: _, ...expected } = WHOLE;
    assert.equal(others, { ...expected, unreadable: 1 });
    assert.is(big, BIG_BYTES);

    const next = await machine.backUp();
    assert.is(next.failures, 0);
    await assertHolds(repositoryAt(remote), next.backupId, [machine.source]);
  }),
);

changing('and is then interrupted goes on as it is by then', () =>
  withTreeBehind(async (machine) => {
    const path = join(machine.source, 'big');
    const changing = remoteThat(machine, (put) => put === 4 && appendFileSync(path, 'more'));
    const remote = failingRemote(changing, [{ verb: 'put', call: 8 }]);
    await assertRejects(() => machine.backUp({ remote }), RemoteError);
    await assertHonest(machine);
    const summary = await machine.backUp();
    assert.equal([summary.resumed, summary.failures], [true, 0]);
    await assertHolds(repositoryAt(memoryRemote(machine.objects)), summary.backupId, [machine.source]);
  }),
);

changing.run();
