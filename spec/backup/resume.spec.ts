import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BackupSummary } from '../../lib/backup/backup.ts';
import { RemoteError, SkylockError } from '../../lib/errors.ts';
import type { Journal } from '../../lib/journal/database.ts';
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
  machineIn,
  PACK_BYTES,
  readBack,
  repositoryAt,
  withMachine,
} from '../helpers/scenario.ts';
import { withFolder } from '../helpers/temporary.ts';
import { type Tree, writeTree } from '../helpers/tree.ts';

/** Three packs of `a big`, one in which the small files lie, three of `z big`. */
const TREE: Tree = {
  'a big': seededBytes(100_000, 'a'),
  'm/1': 'one',
  'm/2': 'two',
  'm/3': 'three',
  'n/o/p': 'deep',
  'z big': seededBytes(100_000, 'z'),
};
const TREE_BYTES = 200_015;
/** Packs' headers and directories, the manifest, the indexes of two runs. */
const OVERHEAD_BYTES = 16_000;
/** A file changed less than this long ago is read again by the next run, as it may have changed once more. */
const FRESH_MS = 60;

function withTreeBehind(use: (machine: Machine) => Promise<void>): Promise<void> {
  return withMachine(async (machine) => {
    writeTree(machine.source, TREE);
    await sleep(FRESH_MS);
    await use(machine);
  });
}

/** A backup that breaks when so many packs are on the remote. @returns its id and the bytes it put */
async function breakAfter(machine: Machine, packs: number, options: MachineOptions = {}) {
  const failure = { verb: 'put', call: packs + 1, times: Number.POSITIVE_INFINITY } as const;
  const remote = failingRemote(memoryRemote(machine.objects), [failure]);
  await assertRejects(() => machine.backUp({ remote, ...options }), RemoteError);
  const id = await assertHonest(machine);
  if (id === null) throw new Error('the run is not there any more');
  return { id, putBytes: remote.putBytes() };
}

/** Backs up, and proves that the result is what lies at the source now. @returns the summary and the bytes it put */
async function assertBacksUp(machine: Machine, options: MachineOptions = {}) {
  const remote = failingRemote(memoryRemote(machine.objects), []);
  const summary = await machine.backUp({ remote, ...options });
  const calls = [...remote.calls];
  await assertHolds(repositoryAt(remote), summary.backupId, [machine.source]);
  await assertIndexesTrue(repositoryAt(remote));
  assert.is(summary.failures, 0);
  const planned = summary.events.find(({ type }) => type === 'planned');
  if (planned?.type !== 'planned') throw new Error('there was no plan');
  return { ...summary, planned, putBytes: remote.putBytes(), calls };
}

function packsOf({ objects }: Machine): string[] {
  return [...objects.keys()].filter((name) => name.startsWith('packs/'));
}

function putsOf(calls: readonly string[], folder: string): number {
  return calls.filter((call) => call.startsWith(`put ${folder}/`)).length;
}

const resumed = suite('a backup that goes on');

resumed('is found however its sources are written', () =>
  withTreeBehind(async (machine) => {
    const { source, folder } = machine;
    mkdirSync(join(folder, 'other'));
    symlinkSync(folder, join(folder, 'other', 'link'));
    const both = [join(source, 'm'), join(source, 'z big')];
    const { id } = await breakAfter(machine, 1, { sources: both });
    const ways = [
      both.toReversed(),
      ['source/z big', './source/m/'],
      [`${folder}/other/link/source/m`, `${source}/../source/z big`],
      [...both, join(source, 'm', '1'), ...both],
    ];
    for (const sources of ways) assert.is((await breakAfter(machine, 0, { sources })).id, id);
    const summary = await machine.backUp({ sources: both });
    assert.equal([summary.backupId, summary.resumed, summary.files], [id, true, 4]);
  }),
);

resumed('goes on in the middle of a file', () =>
  withTreeBehind(async (machine) => {
    const { id, putBytes } = await breakAfter(machine, 2);
    const summary = await assertBacksUp(machine);
    assert.equal([summary.backupId, summary.resumed], [id, true]);
    const { uploadedFiles, uploadedBytes } = summary.planned;
    assert.is(uploadedFiles, 0);
    assert.ok(uploadedBytes > 60_000, `${uploadedBytes} bytes need not be read again`);
    assert.ok(putBytes + summary.putBytes <= TREE_BYTES + OVERHEAD_BYTES);
  }),
);

resumed('does not open what is uploaded', () =>
  withTreeBehind(async (machine) => {
    const { id } = await breakAfter(machine, 4);
    const path = join(machine.source, 'a big');
    const content = readFileSync(path);
    const summary = await machine.backUp({
      onEvent: ({ type }) => type === 'planned' && rmSync(path), // whoever opens it now finds that it vanished
    });
    assert.equal([summary.backupId, summary.failures], [id, 0]);
    const { contents } = await readBack(repositoryAt(memoryRemote(machine.objects)), id);
    assert.equal(contents.get(path), content);
  }),
);

/** What may happen to the sources between two runs. */
const CHANGES = {
  'a file has other content': (source: string) => writeFileSync(join(source, 'm/2'), 'twice'),
  'a file has other content of the same length': (source: string) =>
    writeFileSync(join(source, 'm/2'), 'TWO'),
  'the end of a large file changes': (source: string) => appendFileSync(join(source, 'a big'), 'more'),
  'the beginning of a large file changes': (source: string) => {
    const content = readFileSync(join(source, 'a big'));
    writeFileSync(join(source, 'a big'), Buffer.concat([Buffer.from('more'), content]));
  },
  'a large file becomes small': (source: string) => writeFileSync(join(source, 'a big'), 'little'),
  'a large file becomes empty': (source: string) => writeFileSync(join(source, 'z big'), ''),
  'files are added before, between and behind': (source: string) =>
    writeTree(source, { '0': 'first', 'm/22': 'between', 'm-': 'beside', 'z/z': 'last' }),
  'small files are removed': (source: string) => rmSync(join(source, 'm/2')),
  'a large file is removed that was uploaded': (source: string) => rmSync(join(source, 'a big')),
  'a large file is removed that was not': (source: string) => rmSync(join(source, 'z big')),
  'folders are removed': (source: string) => {
    rmSync(join(source, 'm'), { recursive: true });
    rmSync(join(source, 'n'), { recursive: true });
  },
  'everything is removed': (source: string) => {
    for (const name of readdirSync(source)) rmSync(join(source, name), { recursive: true });
  },
  'a large file is renamed': (source: string) => renameSync(join(source, 'a big'), join(source, 'x big')),
  'two large files change places': (source: string) => {
    renameSync(join(source, 'a big'), join(source, 'b big'));
    renameSync(join(source, 'z big'), join(source, 'a big'));
    renameSync(join(source, 'b big'), join(source, 'z big'));
  },
  'a file becomes a folder, and a folder a file': (source: string) => {
    rmSync(join(source, 'm/2'));
    rmSync(join(source, 'n'), { recursive: true });
    writeTree(source, { 'm/2/3': 'below', n: 'above' });
  },
  'a file becomes a symlink': (source: string) => {
    rmSync(join(source, 'a big'));
    symlinkSync('z big', join(source, 'a big'));
  },
  'only modes change': (source: string) => {
    chmodSync(join(source, 'a big'), 0o600);
    chmodSync(join(source, 'm'), 0o700);
    chmodSync(join(source, 'z big'), 0o4711);
  },
  'only times change': (source: string) => writeFileSync(join(source, 'm/1'), 'one'),
  'a file gets a second name': (source: string) => linkSync(join(source, 'a big'), join(source, 'm/a')),
};

/** Those of a line do not touch the same files: one run shows them all. */
const TOGETHER: readonly (readonly (keyof typeof CHANGES)[])[] = [
  [
    'a file has other content',
    'the end of a large file changes',
    'files are added before, between and behind',
  ],
  [
    'a file has other content of the same length',
    'the beginning of a large file changes',
    'only times change',
  ],
  ['a large file becomes small', 'a large file becomes empty', 'folders are removed'],
  ['a large file is removed that was uploaded', 'small files are removed'],
  [
    'a large file is removed that was not',
    'a large file is renamed',
    'a file becomes a folder, and a folder a file',
  ],
  ['two large files change places', 'only modes change'],
  ['a file becomes a symlink'],
  ['a file gets a second name'],
  ['everything is removed'],
];

for (const changes of TOGETHER) {
  resumed(`is right where between the runs ${changes.join(', ')}`, () =>
    withTreeBehind(async (machine) => {
      const { id } = await breakAfter(machine, 5);
      for (const change of changes) CHANGES[change](machine.source);
      const summary = await assertBacksUp(machine);
      assert.equal([summary.backupId, summary.resumed], [id, true]);
      assert.equal(readdirSync(machine.stateFolder), []);
    }),
  );
}

resumed('sends nothing of what was renamed, or has other modes', () =>
  withTreeBehind(async (machine) => {
    const { putBytes } = await breakAfter(machine, 5);
    CHANGES['two large files change places'](machine.source);
    CHANGES['only modes change'](machine.source);
    const summary = await assertBacksUp(machine);
    assert.ok(putBytes + summary.putBytes <= TREE_BYTES + OVERHEAD_BYTES);
  }),
);

resumed('after a week begins anew, under a new id, and still sends nothing twice', () =>
  withTreeBehind(async (machine) => {
    const day = 24 * 3600 * 1000;
    const at = (days: number) => () => new Date(Date.now() - days * day);
    const { id, putBytes } = await breakAfter(machine, 4, { now: at(8) });
    assert.equal(readdirSync(machine.stateFolder), [`${id}.json`]);
    const summary = await assertBacksUp(machine);
    assert.is(summary.resumed, false);
    assert.is.not(summary.backupId, id);
    assert.equal(readdirSync(machine.stateFolder), []);
    assert.ok(putBytes + summary.putBytes <= TREE_BYTES + OVERHEAD_BYTES);
  }),
);

resumed('does not need its state file, whatever was done to it', () =>
  withTreeBehind(async (machine) => {
    for (const damage of [
      rmSync,
      (path: string) => writeFileSync(path, '{"uploaded_files": ["/etc/passwd"]}'),
    ]) {
      const { id } = await breakAfter(machine, 1);
      damage(join(machine.stateFolder, `${id}.json`));
    }
    await breakAfter(machine, 1);
    rmSync(machine.stateFolder, { recursive: true });
    assert.is((await assertBacksUp(machine)).resumed, true);
  }),
);

resumed.run();

const lost = suite('a remote that has lost packs');

for (const [what, damage] of Object.entries({
  'lost some': (objects: Map<string, Buffer>, name: string) => objects.delete(name),
  'cut some off': (objects: Map<string, Buffer>, name: string) =>
    objects.set(name, objects.get(name)!.subarray(0, 1000)),
})) {
  lost(`of an unfinished backup (${what}) gets them again`, () =>
    withTreeBehind(async (machine) => {
      const { id } = await breakAfter(machine, 5);
      const [first, , third] = packsOf(machine);
      for (const name of [first!, third!]) damage(machine.objects, name);
      const summary = await assertBacksUp(machine);
      assert.equal([summary.backupId, summary.resumed], [id, true]);
      assert.ok(summary.putBytes < TREE_BYTES, 'and only them');
    }),
  );

  lost(`of a complete backup (${what}) gets them again with the next one, though nothing has changed`, () =>
    withTreeBehind(async (machine) => {
      await assertBacksUp(machine);
      const packs = packsOf(machine);
      for (const index of [0, 3, packs.length - 1]) damage(machine.objects, packs[index]!);
      const { putBytes } = await assertBacksUp(machine);
      assert.ok(putBytes > 2 * PACK_BYTES && putBytes < 3 * PACK_BYTES + OVERHEAD_BYTES);
    }),
  );

  lost(`and whose journal is gone as well (${what}) gets them again`, () =>
    withTreeBehind(async (machine) => {
      await assertBacksUp(machine);
      for (const name of packsOf(machine).slice(0, 2)) damage(machine.objects, name);
      const other = machineIn(join(machine.folder, 'other'), machine.objects);
      const remote = memoryRemote(machine.objects);
      const { backupId } = await other.backUp({ sources: [machine.source], remote });
      await assertHolds(repositoryAt(remote), backupId, [machine.source]);
      await assertIndexesTrue(repositoryAt(remote));
      await assertHonest(other);
    }),
  );
}

lost('with all else, as a disk that was unmounted, gets no backup until it is there again', () =>
  withTreeBehind(async (machine) => {
    const whole = new Map(machine.objects);
    const { id } = await breakAfter(machine, 3);
    const sent = new Map(machine.objects);
    machine.objects.clear();
    const remote = memoryRemote(machine.objects);
    const backup = machine.backUp({ sources: [machine.source], remote });
    await assertRejects(() => backup, SkylockError, /^publish backup: the repository is gone from /);
    assert.not.ok([...machine.objects.keys()].some((name) => name.startsWith('backups/')));
    machine.objects.clear();
    for (const [name, bytes] of [...whole, ...sent]) machine.objects.set(name, bytes);
    assert.is((await assertBacksUp(machine)).backupId, id);
  }),
);

lost('all of them gets them all again', () =>
  withTreeBehind(async (machine) => {
    await assertBacksUp(machine);
    for (const name of packsOf(machine)) machine.objects.delete(name);
    const { putBytes } = await assertBacksUp(machine);
    assert.ok(putBytes >= TREE_BYTES);
  }),
);

lost('while a backup is under way publishes nothing that refers to them', () =>
  withTreeBehind(async (machine) => {
    // Another process finds packs missing, and tells the journal so, between this one's listing and its end.
    await breakAfter(machine, 5);
    const { objects } = machine;
    let done = false;
    const remote: Remote = {
      ...memoryRemote(objects),
      async put(name, bytes, options) {
        await memoryRemote(objects).put(name, bytes, options);
        if (done) return;
        done = true;
        const other = machineIn(machine.folder, objects);
        objects.delete(packsOf(machine)[0]!);
        await other.backUp({ sources: [join(machine.source, 'm')] });
      },
    };
    const { backupId } = await machine.backUp({ remote });
    await assertHolds(repositoryAt(memoryRemote(objects)), backupId, [machine.source]);
    await assertHonest(machine);
  }),
);

lost.run();

const journal = suite('a journal that is gone');

function forget({ folder }: Machine): void {
  rmSync(join(folder, 'data'), { recursive: true });
}

journal('after a complete backup costs reading, not sending: the indexes tell what is there', () =>
  withTreeBehind(async (machine) => {
    await assertBacksUp(machine);
    forget(machine);
    const { resumed, calls } = await assertBacksUp(machine);
    assert.is(resumed, false);
    assert.equal([putsOf(calls, 'packs'), putsOf(calls, 'index'), putsOf(calls, 'backups')], [0, 0, 1]);
    assert.equal(
      calls.filter((call) => call.startsWith('get packs/')),
      [],
    );
  }),
);

journal('after half a backup costs reading, not sending: the packs themselves tell what they hold', () =>
  withTreeBehind(async (machine) => {
    const { putBytes } = await breakAfter(machine, 5);
    forget(machine);
    const summary = await assertBacksUp(machine);
    assert.is(summary.resumed, false);
    assert.ok(putBytes + summary.putBytes <= TREE_BYTES + OVERHEAD_BYTES);
  }),
);

journal('comes back into being with its folder', () =>
  withTreeBehind(async (machine) => {
    await assertBacksUp(machine);
    forget(machine);
    assert.not(existsSync(machine.journalFile));
    await assertBacksUp(machine);
    assert.ok(existsSync(machine.journalFile));
  }),
);

journal.run();

const again = suite('the next backup');

again('of what has not changed opens no file and sends nothing but itself', () =>
  withTreeBehind(async (machine) => {
    const first = await assertBacksUp(machine);
    const files = ['a big', 'm/1', 'm/2', 'm/3', 'n/o/p', 'z big'].map((name) => join(machine.source, name));
    const remote = failingRemote(memoryRemote(machine.objects), []);
    const contents = new Map(files.map((path) => [path, readFileSync(path)]));
    const summary = await machine.backUp({
      remote,
      onEvent({ type }) {
        if (type === 'planned') for (const path of files) rmSync(path);
      },
    });
    assert.equal([summary.failures, summary.sentBytes, summary.files, summary.resumed], [0, 0, 6, false]);
    assert.is.not(summary.backupId, first.backupId);
    assert.equal(
      remote.calls.filter((call) => call.startsWith('put')),
      [`put backups/${summary.backupId}`],
    );
    const { contents: held } = await readBack(repositoryAt(remote), summary.backupId);
    assert.equal(Object.fromEntries(held), Object.fromEntries(contents));
  }),
);

again('of many files of which one has changed sends one pack for it and one for the manifest', () =>
  withMachine(async (machine) => {
    const names = Array.from({ length: 1200 }, (_, index) => `folder ${index % 7}/${index}`);
    writeTree(machine.source, Object.fromEntries(names.map((name) => [name, `content of ${name}`])));
    await sleep(FRESH_MS);
    const first = await assertBacksUp(machine);
    writeFileSync(join(machine.source, 'folder 3/500'), seededBytes(2000, 'changed'));
    const { planned, calls, putBytes } = await assertBacksUp(machine);
    assert.equal([planned.totalFiles, planned.uploadedFiles], [1200, 1199]);
    assert.equal([putsOf(calls, 'packs'), putsOf(calls, 'index'), putsOf(calls, 'backups')], [2, 1, 1]);
    assert.ok(putBytes < first.putBytes / 10, `${putBytes} bytes after ${first.putBytes}`);
  }),
);

again('whose manifest fills more packs than may exist at once gets through', () =>
  withMachine(async (machine) => {
    const links = Array.from({ length: 1500 }, (_, index) => [
      `${index}`,
      { linkTo: seededBytes(150, `${index}`).toString('base64').replaceAll('/', '-') },
    ]);
    writeTree(machine.source, Object.fromEntries(links));
    const { calls } = await assertBacksUp(machine);
    assert.ok(putsOf(calls, 'packs') > LANES + 2);
  }),
);

again('in the same second gets an id of its own', () =>
  withTreeBehind(async (machine) => {
    const now = () => new Date('2025-11-07T14:20:30.500Z');
    const ids: string[] = [];
    for (const _ of [1, 2, 3]) ids.push((await assertBacksUp(machine, { now })).backupId);
    assert.equal(ids, ['20251107_142030', '20251107_142031', '20251107_142032']);
  }),
);

again('in the same second on another machine gets an id of its own', () =>
  withTreeBehind(async (machine) => {
    const now = () => new Date('2025-11-07T14:20:30.500Z');
    await assertBacksUp(machine, { now });
    const other = machineIn(join(machine.folder, 'other'), machine.objects);
    writeTree(other.source, { file: 'elsewhere' });
    const { backupId } = await assertBacksUp(other, { now, request: { host: 'there' } });
    assert.is(backupId, '20251107_142031');
  }),
);

again('of other sources sends nothing that the first one has sent', () =>
  withTreeBehind(async (machine) => {
    await assertBacksUp(machine);
    await sleep(FRESH_MS);
    const remote = failingRemote(memoryRemote(machine.objects), []);
    const summary = await machine.backUp({
      sources: [join(machine.source, 'a big'), join(machine.source, 'm')],
      remote,
    });
    assert.is(summary.files, 4);
    assert.ok(remote.putBytes() < OVERHEAD_BYTES);
  }),
);

again.run();

const together = suite('two backups at once');

/** A machine whose journal is there, so that two backups may open it in one thread. */
async function withBusyMachine(tree: Tree, use: (machine: Machine) => Promise<void>): Promise<void> {
  await withMachine(async (machine) => {
    writeTree(machine.source, tree);
    await machine.withJournal(() => {});
    await use(machine);
  });
}

/** Each of the summaries is of a backup that holds exactly its source. */
async function assertAllHold(
  { objects }: Machine,
  summaries: readonly BackupSummary[],
  sources: readonly string[],
) {
  assert.is(new Set(summaries.map(({ backupId }) => backupId)).size, sources.length);
  for (const [index, { backupId, failures }] of summaries.entries()) {
    assert.is(failures, 0);
    await assertHolds(repositoryAt(memoryRemote(objects)), backupId, [sources[index]!]);
  }
}

together('of other sources to one repository both succeed', () =>
  withBusyMachine(TREE, async (machine) => {
    const sources = ['a big', 'm', 'z big'].map((name) => join(machine.source, name));
    const summaries = await Promise.all(sources.map((source) => machine.backUp({ sources: [source] })));
    await assertAllHold(machine, summaries, sources);
    assert.is(await assertHonest(machine), null);
  }),
);

together('that hold the same content are both whole', () =>
  withBusyMachine(
    { 'a/big': seededBytes(150_000, 'same'), 'b/big': seededBytes(150_000, 'same') },
    async (machine) => {
      const sources = ['a', 'b'].map((name) => join(machine.source, name));
      const summaries = await Promise.all(sources.map((source) => machine.backUp({ sources: [source] })));
      await assertAllHold(machine, summaries, sources);
    },
  ),
);

together('of which one breaks and goes on while the other is under way are both whole', () =>
  withBusyMachine(TREE, async (machine) => {
    const sources = ['a big', 'z big'].map((name) => join(machine.source, name));
    const breaking = async () => {
      const failure = { verb: 'put', call: 2 } as const;
      const remote = failingRemote(memoryRemote(machine.objects), [failure]);
      await assertRejects(() => machine.backUp({ sources: [sources[0]!], remote }), RemoteError);
      return machine.backUp({ sources: [sources[0]!] });
    };
    const summaries = await Promise.all([breaking(), machine.backUp({ sources: [sources[1]!] })]);
    assert.is(summaries[0].resumed, true);
    await assertAllHold(machine, summaries, sources);
  }),
);

together('that began in the same second on two machines both get an id, and neither is lost', () =>
  withFolder(async (folder) => {
    const objects = new Map<string, Buffer>();
    const now = () => new Date('2025-11-07T14:20:30.500Z');
    const [one, other] = ['one', 'other'].map((name) => machineIn(join(folder, name), objects));
    for (const machine of [one!, other!]) writeTree(machine.source, TREE);
    // The first is half-way when the other begins and ends.
    const { id } = await breakAfter(one!, 3, { now });
    const second = await assertBacksUp(other!, { now, request: { host: 'there' } });
    assert.equal([id, second.backupId], ['20251107_142030', '20251107_142030']);
    const first = await assertBacksUp(one!, { now });
    assert.equal([first.backupId, first.resumed], ['20251107_142031', true]);
    await assertHolds(repositoryAt(memoryRemote(objects)), second.backupId, [other!.source]);
    assert.equal(await one!.withJournal(stateOfRuns), [{ backup_id: '20251107_142031', state: 'complete' }]);
    assert.equal(readdirSync(one!.stateFolder), []);
  }),
);

function stateOfRuns(journal: Journal): unknown[] {
  return journal.sqlite.prepare('SELECT backup_id, state FROM run').all();
}

together.run();
