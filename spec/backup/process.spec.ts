/** SIGKILL for the real program, on a local remote that is read afterwards by other means than the program's. */
import { randomBytes, randomInt } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openLocal } from '../../lib/remote/local.ts';
import { openRepository } from '../../lib/repository/open.ts';
import { type Machine, type Running, summaryOf, withMachine } from '../helpers/program.ts';
import { assertHolds } from '../helpers/scenario.ts';
import { type Tree, writeTree } from '../helpers/tree.ts';

const PASSWORD = 'correct horse battery staple';

/** Large and small; random, so that what is stored is as long as what is there. */
const TREE: Tree = [
  ...Array.from({ length: 4 }, (_, index) => [`big ${index}`, randomBytes(3_000_000)] as const),
  ...Array.from(
    { length: 300 },
    (_, index) => [`small/${index % 9}/${index}`, randomBytes(10 * index)] as const,
  ),
  ['none/', ''],
  [Buffer.from('caf\xe9', 'latin1'), 'no text'],
];
const TREE_BYTES = 4 * 3_000_000 + (10 * 300 * 299) / 2;
/** Of all packs together: headers, directories, and a manifest a run. */
const OVERHEAD_BYTES = 300_000;

interface Scene {
  readonly machine: Machine;
  readonly source: string;
  readonly root: string;
  /** The bytes of the objects in a folder of the remote. */
  bytesIn(folder: string): number;
  countIn(folder: string): number;
  start(): Running;
  /** Finishes what is unfinished, and proves that the backup holds what it should and that nothing was stored twice. */
  assertFinishes(ids: ReadonlySet<string>): Promise<void>;
}

async function withScene(use: (scene: Scene) => Promise<void>): Promise<void> {
  await withMachine(
    async (machine) => {
      const [source, root] = [join(machine.folder, 'source'), join(machine.folder, 'remote')];
      machine.env.SKYLOCK_REMOTE = root;
      writeTree(source, TREE);
      await machine.succeeds(['init']);
      const sizesIn = (folder: string) => {
        const path = join(root, folder);
        if (!existsSync(path)) return [];
        const items = readdirSync(path, { recursive: true, encoding: 'utf8' });
        return items.flatMap((name) => {
          const stats = statSync(join(path, name), { throwIfNoEntry: false });
          return stats?.isFile() ? [stats.size] : [];
        });
      };
      const bytesIn = (folder: string) => sizesIn(folder).reduce((sum, size) => sum + size, 0);
      await use({
        machine,
        source,
        root,
        bytesIn,
        countIn: (folder) => sizesIn(folder).length,
        start: () => machine.start(['backup', '--direct', '--json', source]),
        async assertFinishes(ids) {
          assert.is(ids.size, 1, 'it was one backup all the time');
          const [backupId = ''] = ids;
          const { stdout } = await machine.succeeds(['resume-status', '--json']);
          if ((JSON.parse(stdout) as unknown[]).length > 0) {
            const summary = summaryOf(await machine.succeeds(['backup', '--direct', '--json', source]));
            assert.is(summary.backup_id, backupId);
            assert.equal(machine.stateFiles(), []);
          }
          assert.equal(readdirSync(join(root, 'backups')), [backupId]);
          const remote = await openLocal(root, { temporaryToken: 'spec' });
          await assertHolds(await openRepository(remote, async () => PASSWORD), backupId, [source]);
          const stored = bytesIn('packs');
          assert.ok(stored <= TREE_BYTES + OVERHEAD_BYTES, `${stored} bytes are stored of ${TREE_BYTES}`);
        },
      });
    },
    { SKYLOCK_PASSWORD: PASSWORD },
  );
}

/** @param ids gets that of the backup the run was at work on */
async function kill(run: Running, ids: Set<string>): Promise<void> {
  run.kill('SIGKILL');
  const { signal, status } = await run.ended;
  assert.ok(signal === 'SIGKILL' || status === 0, `it ended with ${status}: ${run.stderr()}`);
  const started = run.events().find(({ type }) => type === 'backup_started');
  if (started) ids.add(String(started.backup_id));
}

const killed = suite('the program, killed');

killed('whenever another pack has reached the remote, goes on each time and stores nothing twice', () =>
  withScene(async ({ start, countIn, assertFinishes }) => {
    const ids = new Set<string>();
    let kills = 0;
    while (countIn('backups') === 0) {
      const packs = countIn('packs');
      const run = start();
      await run.reaches(() => countIn('packs') > packs);
      await kill(run, ids);
      kills += 1;
      assert.ok(kills < 40, 'it gets on');
    }
    assert.ok(kills >= 3, `it was killed ${kills} times`);
    await assertFinishes(ids);
  }),
);

killed('as soon as the index is there, publishes the backup next time', () =>
  withScene(async ({ start, countIn, assertFinishes }) => {
    const ids = new Set<string>();
    const run = start();
    await run.reaches(() => countIn('index') > 0);
    await kill(run, ids);
    await assertFinishes(ids);
  }),
);

killed('at any time, often, comes to its end', () =>
  withScene(async ({ start, countIn, assertFinishes }) => {
    const ids = new Set<string>();
    for (let kills = 0; kills < 6 && countIn('backups') === 0; kills += 1) {
      const run = start();
      await Promise.race([sleep(randomInt(100, 900)), run.ended]);
      await kill(run, ids);
    }
    if (ids.size > 0) await assertFinishes(ids);
  }),
);

killed.run();
