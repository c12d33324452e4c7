import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createRandom, times } from '../fuzz/fuzz.ts';
import { withSmallDisk } from '../helpers/cli-disk.ts';
import { objectsAt, type Place, packsAt, withLocal, withSftp } from '../helpers/cli-places.ts';
import { assertRestored, writeNoise, writePersonsFolder } from '../helpers/cli-trees.ts';
import {
  assertClearError,
  assertStatus,
  type Machine,
  type Outcome,
  summaryOf,
  withMachine,
} from '../helpers/program.ts';

const MB = 1_000_000;

/** Restores the newest backup, and compares it with what lies at the source. */
async function assertWhole(machine: Machine, source: string): Promise<void> {
  const target = join(machine.folder, 'restored');
  rmSync(target, { recursive: true, force: true });
  await machine.succeeds(['restore', 'latest', '--target', target]);
  assertRestored(target, [source]);
}

/** Either it is complete and right, or it says in one line why not; then the next run is. */
async function assertHonest(machine: Machine, source: string, what: string): Promise<void> {
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    const outcome = await machine.run(['backup', '--direct', source]);
    if (outcome.status === 0) return assertWhole(machine, source);
    assert.is(outcome.status, 1, `${what}: ${outcome.stderr}`);
    assertClearError(outcome, 1, /journal|index|pack/);
  }
  throw new Error(`${what}: it never ended well`);
}

type Damage = (bytes: Buffer, random: (below: number) => number) => Buffer;

const DAMAGES: Record<string, Damage> = {
  'one bit turned over': (bytes, random) => {
    // Nine in ten bytes of a new journal are zeros that nobody reads.
    let at = random(bytes.length);
    while (bytes[at] === 0) at = random(bytes.length);
    bytes[at]! ^= 1 << random(8);
    return bytes;
  },
  'a few bytes of noise': (bytes, random) => {
    const at = random(bytes.length - 64);
    for (let offset = 0; offset < 1 + random(64); offset += 1) bytes[at + offset] = random(256);
    return bytes;
  },
  'a sector of zeros': (bytes, random) => {
    const at = random(Math.floor(bytes.length / 512)) * 512;
    return bytes.fill(0, at, at + 512);
  },
  'its end missing': (bytes, random) => bytes.subarray(0, random(bytes.length)),
};

/** Lends a machine on which a backup was killed half-way, and what puts the machine and the remote back to that moment. */
async function withKilledBackup(
  place: Place,
  use: (machine: Machine, source: string, putBack: () => void) => Promise<void>,
): Promise<void> {
  await withMachine(async (machine) => {
    const source = join(machine.home, 'source');
    writePersonsFolder(source);
    writeNoise(join(source, 'noise'), 12, MB / 2);
    await machine.succeeds(['init']);
    const run = machine.start(['backup', '--direct', '--json', source]);
    await run.waitFor('some packs', () => packsAt(place).size >= 2);
    run.kill('SIGKILL');
    await run.ended;
    const kept = join(machine.folder, 'kept');
    cpSync(machine.dataFolder, join(kept, 'data'), { recursive: true });
    cpSync(place.root, join(kept, 'root'), { recursive: true });
    const putBack = () => {
      for (const [from, to] of [
        ['data', machine.dataFolder],
        ['root', place.root],
      ] as const) {
        rmSync(to, { recursive: true });
        cpSync(join(kept, from), to, { recursive: true });
      }
    };
    await use(machine, source, putBack);
  }, place.env);
}

const journal = suite('the journal of a backup that was killed');

for (const [what, damage] of Object.entries(DAMAGES)) {
  journal(
    `with ${what} leads to a backup that can be restored, or to a clear error, and never to a false success`,
    () =>
      withLocal((place) =>
        withKilledBackup(place, async (machine, source, putBack) => {
          const random = createRandom();
          for (let round = 0; round < times(1); round += 1) {
            putBack();
            // What was written last is in the log.
            const files = [machine.journalFile, `${machine.journalFile}-wal`].filter(
              (file) => existsSync(file) && statSync(file).size > 512,
            );
            const file = files[random(files.length)]!;
            writeFileSync(file, damage(readFileSync(file), random));
            await assertHonest(machine, source, `${what} of ${file}, round ${round}`);
          }
        }),
      ),
  );
}

journal('without its write-ahead log, or with that alone, goes on with what the remote has', () =>
  withLocal((place) =>
    withKilledBackup(place, async (machine, source, putBack) => {
      for (const suffixes of [['-wal', '-shm'], ['']]) {
        putBack();
        for (const suffix of suffixes) rmSync(machine.journalFile + suffix, { force: true });
        await assertHonest(machine, source, `without ${suffixes}`);
      }
    }),
  ),
);

journal('that goes, with the whole data folder, while the backup runs costs nothing of that backup', () =>
  withSftp((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      const bytes = writeNoise(source, 10, MB);
      await machine.succeeds(['init']);
      place.line.limit(4 * MB);
      const run = machine.start(['backup', '--direct', '--json', source]);
      await run.waitFor('some packs', () => packsAt(place).size >= 2);
      rmSync(machine.dataFolder, { recursive: true });
      place.line.limit(Number.POSITIVE_INFINITY);
      const outcome = await run.ended;
      if (outcome.status !== 0) assertClearError(outcome, 1, /journal|state/);
      await assertWholeAfterwards(machine, source, outcome, bytes);
    }, place.env),
  ),
);

async function assertWholeAfterwards(
  machine: Machine,
  source: string,
  outcome: Outcome,
  bytes: number,
): Promise<void> {
  const next = await machine.run(['backup', '--direct', '--json', source]);
  assertStatus(next, 0);
  if (outcome.status === 0)
    assert.ok(Number(summaryOf(next).sent_bytes) < bytes / 50, 'what is there is not sent again');
  await assertWhole(machine, source);
}

journal.run();

const remote = suite('a remote with a damaged index');

remote(
  'is backed up to, looked into and restored from by a machine that knows nothing of it, with the cure told',
  () =>
    withLocal((place) =>
      withMachine(async (machine) => {
        const source = join(machine.home, 'source');
        const bytes = writeNoise(source, 5, MB);
        await machine.succeeds(['init']);
        await machine.succeeds(['backup', '--direct', source]);
        const [index] = [...objectsAt(place).keys()].filter((name) => name.startsWith('index/'));
        truncateSync(join(place.root, index!), 100);

        for (const args of [
          ['backup', '--direct', '--json', source],
          ['ls', 'latest'],
        ]) {
          rmSync(machine.dataFolder, { recursive: true });
          const outcome = await machine.succeeds(args);
          assert.match(
            `${outcome.stderr}${outcome.stdout}`,
            `an index is damaged and not used: open ${index}`,
          );
          assert.match(`${outcome.stderr}${outcome.stdout}`, /'skylock repair' mends what can be/);
          if (args[0] === 'backup') assert.ok(Number(summaryOf(outcome).sent_bytes) < bytes / 50);
        }
        rmSync(machine.dataFolder, { recursive: true });
        await assertWhole(machine, source);
        await machine.succeeds(['repair']);
        const mended = await machine.succeeds(['backup', '--direct', source]);
        assert.not.match(mended.stderr, /damaged/);
        await assertWhole(machine, source);
      }, place.env),
    ),
);

remote.run();

const disk = suite('the disk of this machine');

disk('that is full, or read-only, ends a backup in one line; with room it goes on', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      writeNoise(source, 600, 3000);
      await machine.succeeds(['init']);
      mkdirSync(machine.dataFolder, { recursive: true });
      await withSmallDisk(machine.dataFolder, 1, async (small) => {
        const filler = join(machine.dataFolder, 'filler');
        writeFileSync(filler, Buffer.alloc(0.9 * 1024 * 1024));
        const full = await machine.run(['backup', '--direct', source]);
        assertClearError(full, 1, /journal.*: the disk is full/);
        assert.match(full.stderr, /Make room and run the same command again/);
        small.grow(20);
        rmSync(filler);
        small.setReadOnly(true);
        assertClearError(
          await machine.run(['backup', '--direct', source]),
          1,
          /journal.*: the disk is read-only/,
        );
        small.setReadOnly(false);
        await machine.succeeds(['backup', '--direct', source]);
        await assertWhole(machine, source);
      });
    }, place.env),
  );
});

disk('that is full under the target ends a restore in one line, which goes on with room', async () => {
  await withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'source');
      const bytes = writeNoise(source, 8, MB);
      await machine.succeeds(['init']);
      await machine.succeeds(['backup', '--direct', source]);
      const target = join(machine.folder, 'restored');
      mkdirSync(target);
      await withSmallDisk(target, 5, async (small) => {
        const args = ['restore', 'latest', '--json', '--target', target];
        assertClearError(await machine.run(args), 1, /^skylock: write .*: the disk is full$/);
        small.grow(20);
        const outcome = await machine.succeeds(args);
        const { fetched_bytes: fetched, files } = summaryOf(outcome);
        assert.is(files, 8);
        assert.ok(
          Number(fetched) < bytes * 0.8,
          `${fetched} bytes fetched: what was right is not fetched again`,
        );
        assertRestored(target, [source]);
      });
    }, place.env),
  );
});

disk.run();
