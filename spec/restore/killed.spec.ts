import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openLocal } from '../../lib/remote/local.ts';
import { partKey, partName } from '../../lib/restore/part-name.ts';
import { NOBODY_ID } from '../helpers/privileges.ts';
import { file, folder, noise, restoreInto, type Stored, store, withBench } from './fixtures.ts';
import { assertRestored } from './tree.ts';

const PROCESS = resolve(import.meta.dirname, 'killed-process.ts');
const STORED: readonly Stored[] = [
  folder('/s', { mode: 0o500 }),
  file(
    '/s/big',
    Array.from({ length: 12 }, (_, n) => noise(50_000, `big ${n}`)),
  ),
  ...Array.from({ length: 10 }, (_, n) => file(`/s/small ${n}`, noise(15_000, `small ${n}`))),
  file('/s/linked 1', 'linked', { link: '1:1' }),
  file('/s/linked 2', 'linked', { link: '1:1' }),
];
const CONTENT_BYTES = 750_012;
/** Four packs at once, of 100 kB and a chunk. */
const IN_FLIGHT = 4 * 160_000;
const SOME = 6;

const killed = suite('a restore killed with SIGKILL');

killed('at any moment leaves what the next one goes on with, and nothing else', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    const local = await openLocal(join(bench.folder, 'repository'), { temporaryToken: 'spec' });
    for (const [name, bytes] of bench.remote.objects) await local.put(name, bytes);
    let kills = 0;
    for (let lastEvent = 1; ; lastEvent += SOME) {
      const target = join(bench.folder, `target ${lastEvent}`);
      const args = [
        '--disable-warning=ExperimentalWarning',
        PROCESS,
        bench.folder,
        backup.backupId,
        target,
        String(lastEvent),
      ];
      const { signal, status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      assert.ok(signal === 'SIGKILL' || status === 0, stderr);
      const { events, fetchedBytes, failures } = await restoreInto(bench, backup, { target });
      assert.is(failures, 0);
      assertRestored(target, STORED);
      const planned = events.find((event) => event.type === 'restore_planned');
      const missing = CONTENT_BYTES - planned!.presentBytes;
      assert.ok(fetchedBytes <= missing + IN_FLIGHT, `${fetchedBytes} fetched of ${missing} missing`);
      assert.not.ok(readdirSync(bench.folder).some((name) => name.startsWith('scratch')));
      if (status === 0) {
        assert.is(planned!.presentBytes, CONTENT_BYTES);
        break;
      }
      kills += 1;
    }
    assert.ok(kills >= 5, `${kills} kills`);
  }),
);

killed('just before it moved a file into place goes on with it, though its mode allows no writing', () =>
  withBench(async (bench) => {
    const chunks = ['a', 'b'].map((seed) => noise(50_000, seed));
    const stored = [folder('/s'), file('/s/a', chunks, { mode: 0o400 })];
    const { backupId } = await store(bench, stored);
    const local = await openLocal(join(bench.folder, 'repository'), { temporaryToken: 'spec' });
    for (const [name, bytes] of bench.remote.objects) await local.put(name, bytes);
    const target = join(bench.folder, 'target');
    mkdirSync(join(target, 's'), { recursive: true });
    const part = join(target, 's', partName(partKey('a'), '999999999-00000000'));
    writeFileSync(part, chunks[0]!, { mode: 0o400 });
    // Root may write whatever the mode.
    const user = process.getuid!() === 0 ? { uid: NOBODY_ID, gid: NOBODY_ID } : {};
    if (user.uid !== undefined) execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, bench.folder]);
    const args = ['--disable-warning=ExperimentalWarning', PROCESS, bench.folder, backupId, target, '0'];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', ...user });
    assert.is(status, 0, stderr);
    assertRestored(target, stored);
  }),
);

killed.run();
