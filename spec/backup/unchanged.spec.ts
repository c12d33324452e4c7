/** A backup of what has not changed takes over the manifest of the one before; of what has changed, in whatever way, it does not. */
import { chmodSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError } from '../../lib/errors.ts';
import { splitChunkIds } from '../../lib/format/manifest.ts';
import { abandonRun, unfinishedRuns } from '../../lib/journal/unfinished.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import { assertRejects, seededBytes } from '../format/fixtures.ts';
import { failingRemote } from '../helpers/failing-remote.ts';
import {
  assertHolds,
  assertHonest,
  assertIndexesTrue,
  LANES,
  type Machine,
  PACK_BYTES,
  readBack,
  repositoryAt,
  withMachine,
} from '../helpers/scenario.ts';
import { type Tree, writeTree } from '../helpers/tree.ts';

const TREE: Tree = [
  ['big', seededBytes(60_000, 'big')],
  ...Array.from({ length: 40 }, (_, index) => [`m/${index}`, seededBytes(300, `m${index}`)] as const),
  ['n/empty', ''],
];

/** Lends a machine with a tree of which there is a backup. */
function withBackup(use: (machine: Machine, backupId: string) => Promise<void>): Promise<void> {
  return withMachine(async (machine) => {
    writeTree(machine.source, TREE);
    symlinkSync('m/1', join(machine.source, 'link'));
    await sleep(60); // younger files are read again in any case
    const { backupId } = await machine.backUp();
    await use(machine, backupId);
  });
}

async function manifestOf({ objects }: Machine, backupId: string): Promise<Buffer> {
  return (await readBack(repositoryAt(memoryRemote(objects)), backupId)).header.manifest.chunks;
}

/** What is right is right even so, but another manifest comes of it: it tells whether one is made. */
async function confuseChunks(machine: Machine): Promise<void> {
  await machine.withJournal(({ sqlite }) => {
    const ids = sqlite
      .prepare(`SELECT id FROM entry WHERE size = 300 ORDER BY path LIMIT 2`)
      .pluck()
      .all() as number[];
    const chunkOf = sqlite.prepare('SELECT chunk FROM entry_chunk WHERE entry = ?').pluck();
    const chunks = ids.map((id) => chunkOf.get(id));
    const put = sqlite.prepare('UPDATE entry_chunk SET chunk = ? WHERE entry = ?');
    for (const [index, id] of ids.entries()) put.run(chunks[1 - index], id);
  });
}

const unchanged = suite('a backup of what has not changed');

unchanged('opens nothing for puts, and what has changed only as many as it fills', () =>
  withBackup(async (machine) => {
    const prepared: number[] = [];
    const remote = { ...memoryRemote(machine.objects), prepare: (puts: number) => void prepared.push(puts) };
    await machine.backUp({ remote });
    assert.equal(prepared, []);
    for (const [bytes, puts] of [
      [PACK_BYTES, []],
      [PACK_BYTES + 1, [2]],
      [2 * PACK_BYTES + 1, [3]],
      [20 * PACK_BYTES, [LANES]],
    ] as const) {
      prepared.length = 0;
      writeFileSync(join(machine.source, 'm/1'), seededBytes(bytes, `${bytes}`));
      await machine.backUp({ remote });
      assert.equal(prepared, puts, `${bytes} bytes`);
    }
  }),
);

unchanged('has the manifest of the one before, which is not made again, and puts its header only', () =>
  withBackup(async (machine, first) => {
    await confuseChunks(machine);
    const before = new Set(machine.objects.keys());
    const { backupId, ...summary } = await machine.backUp();
    assert.equal(
      [...machine.objects.keys()].filter((name) => !before.has(name)),
      [`backups/${backupId}`],
    );
    assert.equal(await manifestOf(machine, backupId), await manifestOf(machine, first));
    assert.equal([summary.files, summary.folders, summary.failures], [42, 3, 0]);
    await assertHolds(repositoryAt(memoryRemote(machine.objects)), backupId, [machine.source]);
  }),
);

unchanged('makes it again with one attribute changed', () =>
  withBackup(async (machine, first) => {
    await confuseChunks(machine);
    chmodSync(join(machine.source, 'big'), 0o640);
    const { backupId } = await machine.backUp();
    assert.not.equal(await manifestOf(machine, backupId), await manifestOf(machine, first));
  }),
);

unchanged.run();

const CHANGES: Readonly<Record<string, (machine: Machine, backupId: string) => unknown>> = {
  'content that changed': ({ source }) => writeFileSync(join(source, 'm/7'), 'other'),
  'content that changed to as many bytes': ({ source }) =>
    writeFileSync(join(source, 'm/7'), seededBytes(300, 'other')),
  'a mode that changed': ({ source }) => chmodSync(join(source, 'm/7'), 0o600),
  'a time that changed': ({ source }) => utimesSync(join(source, 'm/7'), 1, 1),
  'a folder whose mode changed': ({ source }) => chmodSync(join(source, 'm'), 0o700),
  'a file more': ({ source }) => writeFileSync(join(source, 'm/new'), 'new'),
  'a file that is empty more': ({ source }) => writeFileSync(join(source, 'm/new'), ''),
  'a file less': ({ source }) => rmSync(join(source, 'm/7')),
  'another name': ({ source }) => renameSync(join(source, 'm/7'), join(source, 'm/other')),
  'a symlink that leads elsewhere': ({ source }) => {
    rmSync(join(source, 'link'));
    symlinkSync('m/2', join(source, 'link'));
  },
  'a manifest that is gone from the remote': async (machine, backupId) => {
    const manifest = await manifestOf(machine, backupId);
    const lost = await packsOf(machine, [...splitChunkIds(manifest)]);
    assert.ok(lost.length > 0);
    for (const name of lost) machine.objects.delete(name);
  },
  'all packs gone from the remote': ({ objects }) => {
    for (const name of objects.keys()) if (name.startsWith('packs/')) objects.delete(name);
  },
  'all indexes gone from the remote': ({ objects }) => {
    for (const name of objects.keys()) if (name.startsWith('index/')) objects.delete(name);
  },
  'what is remembered as it was at another moment': async (machine) => {
    const remembered = await machine.withJournal(({ sqlite }) =>
      sqlite.prepare('SELECT * FROM manifest').get(),
    );
    chmodSync(join(machine.source, 'm/3'), 0o604);
    await machine.backUp();
    await machine.withJournal(({ sqlite }) => {
      const columns = Object.keys(remembered as object);
      const put = `REPLACE INTO manifest (${columns}) VALUES (${columns.map((name) => `@${name}`)})`;
      sqlite.prepare(put).run(remembered);
    });
  },
  'the number of changes as it was at another moment': async (machine) => {
    const changes = () =>
      machine.withJournal(({ sqlite }) => sqlite.prepare('SELECT changes FROM source_set').pluck().get());
    const before = await changes();
    chmodSync(join(machine.source, 'm/3'), 0o604);
    await machine.backUp();
    await machine.withJournal(({ sqlite }) =>
      sqlite.prepare('UPDATE source_set SET changes = ?').run(before),
    );
    chmodSync(join(machine.source, 'm/3'), 0o606); // as many changes as then
  },
  'a run between that was abandoned': async (machine) => {
    chmodSync(join(machine.source, 'm/3'), 0o604);
    writeFileSync(join(machine.source, 'm/5'), 'other');
    const failure = { verb: 'put', call: 1, times: Number.POSITIVE_INFINITY } as const;
    const remote = failingRemote(memoryRemote(machine.objects), [failure]);
    await assertRejects(() => machine.backUp({ remote }), RemoteError);
    await machine.withJournal((journal) => {
      for (const run of unfinishedRuns(journal)) abandonRun(journal, run);
    });
    rmSync(machine.stateFolder, { recursive: true });
  },
};

const changed = suite('a backup that follows one of nothing changed');

for (const [what, change] of Object.entries(CHANGES)) {
  changed(`is right with ${what}`, () =>
    withBackup(async (machine) => {
      const { backupId: before } = await machine.backUp();
      await change(machine, before);
      const { backupId, failures } = await machine.backUp();
      assert.is(failures, 0);
      const repository = repositoryAt(memoryRemote(machine.objects));
      await assertHolds(repository, backupId, [machine.source]);
      await assertIndexesTrue(repository);
      await assertHonest(machine);
    }),
  );
}

async function packsOf(machine: Machine, ids: readonly Buffer[]): Promise<string[]> {
  const names = await machine.withJournal(({ sqlite }) => {
    const nameOf = sqlite
      .prepare('SELECT lower(hex(name)) FROM chunk JOIN pack ON pack.id = chunk.pack WHERE chunk.id = ?')
      .pluck();
    return ids.map((id) => nameOf.get(id) as string);
  });
  return [...new Set(names)].map((name) => `packs/${name.slice(0, 2)}/${name}`);
}

changed.run();
