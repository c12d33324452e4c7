import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError, SkylockError } from '../../lib/errors.ts';
import { chunkId } from '../../lib/format/keys.ts';
import { chunkLocation, forgetPacks } from '../../lib/journal/packs.ts';
import { packName } from '../../lib/repository/repository.ts';
import { reasonOf } from '../../lib/restore/failure.ts';
import { type Bench, file, folder, noise, restoreInto, type Stored, store, withBench } from './fixtures.ts';
import { assertRestored } from './tree.ts';

const SHARED = noise(40_000, 'shared');
/** All of a file that nobody else needs. */
const WHOLE = noise(40_000, 'whole');
const STORED: readonly Stored[] = [
  folder('/s'),
  file('/s/1', [noise(40_000, '1'), SHARED]),
  file('/s/2', [SHARED, noise(40_000, '2')]),
  file('/s/3', [noise(40_000, '3')], { link: '1:1' }),
  file('/s/4', [noise(40_000, '3')], { link: '1:1' }),
  file('/s/5', [noise(40_000, '5'), noise(40_000, '6')]),
  file('/s/6', WHOLE),
];
const FILES = STORED.length - 1;

/** Where the pack that holds the chunk lies on the remote. */
function packOf({ repository, journal, journalRepository }: Bench, chunk: Buffer): string {
  const location = chunkLocation(journal, journalRepository, chunkId(repository.keys, chunk));
  return packName(location!.pack.toString('hex'));
}

async function damageAndRestore(
  chunk: Buffer,
  damage: (bench: Bench, pack: string) => void,
): Promise<{ readonly failed: string[]; readonly reason: string; readonly pack: string }> {
  let found = { failed: [] as string[], reason: '', pack: '' };
  await withBench(async (bench) => {
    // Each chunk in a pack of its own.
    const backup = await store(bench, STORED, { packBytes: 1000 });
    const pack = packOf(bench, chunk);
    damage(bench, pack);
    const { events, failures, files } = await restoreInto(bench, backup);
    const failed = events.filter((event) => event.type === 'entry_failed');
    assert.is(failures, failed.length);
    assert.is(files, FILES - failed.length);
    const target = join(bench.folder, 'target');
    const names = failed.map(({ path }) => path.slice(target.length));
    assertRestored(
      target,
      STORED.filter(({ entry }) => !names.includes(entry.path.toString())),
    );
    found = { failed: names.sort(), reason: failed[0]!.reason, pack };
  });
  return found;
}

const damaged = suite('a restore from a damaged repository');

for (const [what, damage] of [
  ['is missing', ({ remote }: Bench, pack: string) => remote.objects.delete(pack)],
  [
    'is cut short',
    ({ remote }: Bench, pack: string) =>
      remote.objects.set(pack, remote.objects.get(pack)!.subarray(0, 5000)),
  ],
  ['is empty', ({ remote }: Bench, pack: string) => remote.objects.set(pack, Buffer.alloc(0))],
  ['has another header', ({ remote }: Bench, pack: string) => void remote.objects.get(pack)!.fill(0, 0, 10)],
  ['has another salt', ({ remote }: Bench, pack: string) => void remote.objects.get(pack)!.fill(0, 20, 30)],
  [
    'has one bit turned over',
    ({ remote }: Bench, pack: string) => {
      remote.objects.get(pack)![20_000]! ^= 1;
    },
  ],
] as const) {
  damaged(`whose pack ${what} names it with every file that needs it, and restores the others`, async () => {
    const { failed, reason, pack } = await damageAndRestore(SHARED, damage);
    assert.equal(failed, ['/s/1', '/s/2']);
    assert.ok(reason.includes(pack), reason);
  });

  damaged(`whose pack ${what} names the file that is one chunk of it, and restores the others`, async () => {
    const { failed, reason, pack } = await damageAndRestore(WHOLE, damage);
    assert.equal(failed, ['/s/6']);
    assert.ok(reason.includes(pack), reason);
  });
}

/** Enough for a stretch that is divided among threads. */
const MANY = 200;
for (const [where, keptBytes] of [
  ['to nothing', 0],
  ['in its first file', 300],
  ['in its middle', 100_000],
  ['in its last file', MANY * 1000 - 100],
] as const) {
  damaged(`whose pack of many small files is cut ${where} restores those before that`, () =>
    withBench(async (bench) => {
      const stored = Array.from({ length: MANY }, (_, index) =>
        file(`/m/${String(index).padStart(3, '0')}`, noise(1000, `m${index}`)),
      );
      const backup = await store(bench, [folder('/m'), ...stored], { packBytes: 1_000_000 });
      const pack = packOf(bench, noise(1000, 'm0'));
      bench.remote.objects.set(pack, bench.remote.objects.get(pack)!.subarray(0, keptBytes));
      const { failures, files } = await restoreInto(bench, backup);
      assert.is(failures + files, MANY);
      const whole = Math.floor(keptBytes / 1100); // more than a file takes in the pack
      assert.ok(files >= whole && files <= keptBytes / 1000, `${files} files`);
    }),
  );
}

damaged('names the links of a file that could not be restored too', async () => {
  const { failed } = await damageAndRestore(noise(40_000, '3'), ({ remote }, pack) =>
    remote.objects.delete(pack),
  );
  assert.equal(failed, ['/s/3', '/s/4']);
});

damaged('names the files whose chunk no pack is known to hold', async () => {
  const { failed, reason } = await damageAndRestore(noise(40_000, '6'), (bench) => {
    const id = chunkId(bench.repository.keys, noise(40_000, '6'));
    forgetPacks(bench.journal, [chunkLocation(bench.journal, bench.journalRepository, id)!.packId]);
  });
  assert.equal(failed, ['/s/5']);
  assert.match(reason, /^no pack is known to hold its chunk [0-9a-f]{64}$/);
});

damaged('leaves no part file of what it could not restore', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED, { packBytes: 1000 });
    bench.remote.objects.delete(packOf(bench, noise(40_000, '6')));
    await restoreInto(bench, backup);
    assert.equal(readdirSync(join(bench.folder, 'target/s')).sort(), ['1', '2', '3', '4', '6']);
  }),
);

damaged('whose list of entries cannot be read makes nothing, and says so', () =>
  withBench(async (bench) => {
    const backup = await store(bench, STORED);
    const { objects } = bench.remote;
    objects.get([...objects.keys()].filter((name) => name.startsWith('packs/')).at(-1)!)![300]! ^= 1;
    const error = await restoreInto(bench, backup).catch((thrown: unknown) => thrown);
    assert.instance(error, DamagedError);
    assert.match((error as Error).message, /^read manifest of 20251107_142030: read packs\//);
    assert.not.ok(existsSync(join(bench.folder, 'target')));
  }),
);

const reasons = suite('the reason an entry could not be restored');

reasons('is in words, unless it stops the whole restore or is a bug', () => {
  const system = (code: string, errno: number) => Object.assign(new Error(code), { code, errno });
  assert.is(reasonOf(system('EACCES', -13), '/t/a'), 'permission denied');
  assert.is(reasonOf(system('ENAMETOOLONG', -36), '/t/a'), 'name too long');
  for (const [code, errno, message] of [
    ['ENOSPC', -28, 'write /t/a: the disk is full'],
    ['EDQUOT', -122, 'write /t/a: the disk quota is used up'],
    ['EROFS', -30, 'write /t/a: the disk is read-only'],
  ] as const) {
    assert.throws(
      () => reasonOf(system(code, errno), '/t/a'),
      (error: unknown) =>
        error instanceof SkylockError && error.message === message && error.hints.length > 0,
    );
  }
  const bug = new TypeError('x is not a function');
  assert.throws(
    () => reasonOf(bug, '/t/a'),
    (error: unknown) => error === bug,
  );
});

damaged.run();
reasons.run();
