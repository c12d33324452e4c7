import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError, SkylockError } from '../../lib/errors.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { largestPackAt, packsAt, withLocal, withSftp, withWebdav } from '../helpers/cli-places.ts';
import { writeNoise } from '../helpers/cli-trees.ts';
import { assertClearError, assertStatus, jsonLines, summaryOf, withMachine } from '../helpers/program.ts';
import { DAMAGES, damage, swap } from './damages.ts';
import { type Stored, verifyStored, withStored } from './fixtures.ts';

const ASKED = { readShare: 0, serverHash: true };

/** Takes down which packs are fetched. */
function watched(
  objects: Map<string, Buffer>,
  over: Partial<Remote> = {},
): Remote & { fetched: Set<string> } {
  const remote = { ...memoryRemote(objects), ...over };
  const fetched = new Set<string>();
  return {
    ...remote,
    fetched,
    get(name, range) {
      if (name.startsWith('packs/')) fetched.add(name);
      return remote.get(name, range);
    },
  };
}

/** What a look without hashes fetches: lists of files. */
async function fetchedAnyway({ journalFile, source, objects }: Stored): Promise<Set<string>> {
  const remote = watched(objects);
  await verifyStored({ journalFile, source, objects }, { readShare: 0 }, remote);
  return remote.fetched;
}

async function failureOf(promise: Promise<unknown>): Promise<SkylockError> {
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  assert.instance(error, SkylockError);
  return error as SkylockError;
}

const hashed = suite('packs whose hashes the server computes');

hashed('are right, and none is fetched for it', async () => {
  await withStored(async (stored) => {
    const anyway = await fetchedAnyway(stored);
    const remote = watched(stored.objects);
    const { told, packs, bytes, hashedPacks, hashedBytes } = await verifyStored(stored, ASKED, remote);
    assert.equal([told, hashedPacks, hashedBytes], [[], packs, bytes]);
    assert.equal(remote.fetched, anyway);
    const one = await verifyStored(stored, { ...ASKED, backupId: stored.backupIds[0]! });
    assert.equal(one.told, []);
    assert.ok(one.hashedPacks > 0 && one.hashedPacks < packs, 'those that backup needs');
  });
});

for (const kind of DAMAGES) {
  hashed(`are found when ${kind.name}, with the same files as when all is read`, async () => {
    await withStored(async (stored) => {
      for (const name of stored.names('packs/').slice(0, 4)) {
        damage(stored.objects, name, kind);
        const remote = watched(stored.objects);
        const found = await verifyStored(stored, ASKED, remote);
        assert.ok(found.damage.has(name), `${name} is a finding`);
        assert.equal(found.damage, (await verifyStored(stored)).damage);
        stored.reset();
      }
    });
  });
}

hashed('are found when two have changed places, which no size need tell', async () => {
  await withStored(async (stored) => {
    const [a, b] = stored.names('packs/') as [string, string];
    swap(stored.objects, a, b);
    const { damage: found } = await verifyStored(stored, ASKED);
    assert.ok(found.has(a) && found.has(b));
  });
});

hashed('that the server does not know are read', async () => {
  await withStored(async (stored) => {
    const anyway = await fetchedAnyway(stored);
    const unknown = stored.names('packs/').find((name) => !anyway.has(name))!;
    const { sha256 } = memoryRemote(stored.objects);
    const remote = watched(stored.objects, {
      sha256: async (names) => sha256!(names.filter((name) => name !== unknown)),
    });
    assert.equal((await verifyStored(stored, ASKED, remote)).told, []);
    assert.equal(remote.fetched, anyway.union(new Set([unknown])));
  });
});

hashed('are findings when the server says one thing and gives another', async () => {
  await withStored(async (stored) => {
    const [name] = stored.names('packs/');
    const { sha256 } = memoryRemote(stored.objects);
    const remote = watched(stored.objects, {
      sha256: async (names) => new Map([...(await sha256!(names)), [name!, 'ab'.repeat(32)]]),
    });
    const { told } = await verifyStored(stored, ASKED, remote);
    // The question for an object that is known is answered with more than was asked for.
    assert.equal(
      told.map(({ kind, object, affected }) => [kind, object, affected]),
      [['finding', name, []]],
    );
    assert.match(told[0]!.reason, /^the server computes another SHA-256/);
  });
});

for (const [what, over, message] of [
  ['of no kind that can do it', { sha256: undefined }, /offers no command for it$/],
  [
    'without a command for it',
    {
      sha256: async () => {
        throw new RemoteError('compute checksums: no command', { retryable: false });
      },
    },
    /^compute checksums: no command$/,
  ],
  ['that has seen nothing', { sha256: async () => new Map() }, /skylock\.json is wrong$/],
  [
    'that says what is not so',
    { sha256: async () => new Map([['skylock.json', 'ab'.repeat(32)]]) },
    /skylock\.json is wrong$/,
  ],
] as const) {
  hashed(`cannot be had from a remote ${what}, and it is said what can be done`, async () => {
    await withStored(async (stored) => {
      const { sha256: _, ...plain } = memoryRemote(stored.objects);
      const remote = over.sha256 === undefined ? plain : { ...plain, ...over };
      const error = await failureOf(verifyStored(stored, ASKED, remote));
      assert.match(error.message, message);
      assert.match(error.hints.join('\n'), /--read-data/);
    });
  });
}

hashed.run();

const program = suite('skylock verify --server-hash');

program('proves a repository on an SSH server, and finds a flipped bit, without fetching the packs', () =>
  withSftp((place) =>
    withMachine(async (machine) => {
      const source = join(machine.folder, 'source');
      writeNoise(source, 4, 2_000_000);
      await machine.succeeds(['init']);
      await machine.succeeds(['backup', '--direct', source]);
      const looks = async (flags: readonly string[]) => {
        const before = place.line.receivedBytes();
        const outcome = await machine.run(['verify', '--json', ...flags]);
        return { outcome, receivedBytes: place.line.receivedBytes() - before };
      };

      const plain = await looks([]);
      const hashed = await looks(['--server-hash']);
      assertStatus(hashed.outcome, 0);
      const summary = summaryOf(hashed.outcome);
      assert.equal([summary.hashed_packs, summary.hashed_bytes], [summary.packs, summary.bytes]);
      assert.is(summary.hashed_packs, packsAt(place).size);
      assert.ok(
        hashed.receivedBytes < plain.receivedBytes + 20_000,
        `${hashed.receivedBytes} bytes in place of ${plain.receivedBytes}`,
      );

      const [name] = [...packsAt(place)].find(([, size]) => size === largestPackAt(place))!;
      const bytes = readFileSync(join(place.root, name));
      bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(join(place.root, name), bytes);
      assertStatus((await looks([])).outcome, 0);
      const found = await looks(['--server-hash']);
      assertStatus(found.outcome, 1);
      const findings = jsonLines(found.outcome.stdout).filter(({ type }) => type === 'finding');
      assert.equal(
        findings.map(({ object, files }) => [object, files]),
        [[name, 1]],
      );
      assert.ok(found.receivedBytes < bytes.length + 200_000, 'only that one was fetched');
      const told = await machine.run(['verify', '--server-hash', 'latest']);
      assertStatus(told, 1);
      assert.match(told.stderr, /the server hashed \d+ packs? \(/);
      assert.match(told.stderr, /skylock repair --read-data/);
    }, place.env),
  ),
);

program('looks by itself where the repository is a folder', () =>
  withLocal((place) =>
    withMachine(async (machine) => {
      const source = join(machine.folder, 'source');
      writeNoise(source, 2, 100_000);
      await machine.succeeds(['init']);
      await machine.succeeds(['backup', '--direct', source]);
      assert.match((await machine.succeeds(['verify', '--server-hash'])).stderr, /the server hashed/);
      const folder = join(place.root, 'packs');
      for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
      assertStatus(await machine.run(['verify', '--server-hash']), 1);
    }, place.env),
  ),
);

program('says so where the server has no shell, or is none that has any', async () => {
  const backUp = async (url: string, machine: Parameters<Parameters<typeof withMachine>[0]>[0]) => {
    const source = join(machine.folder, 'source');
    writeNoise(source, 1, 1000);
    await machine.succeeds(['init', url]);
    await machine.succeeds(['backup', '--direct', source]);
    const outcome = await machine.run(['verify', '--server-hash']);
    assertClearError(outcome, 1, /compute checksums.*offers no command for it/);
    assert.match(outcome.stderr, /'--read-data' fetches the packs/);
  };
  const noShell = { config: ['ForceCommand internal-sftp'] };
  await withSftp((place) => withMachine((machine) => backUp(place.url, machine), { ...place.env }), noShell);
  await withWebdav((place) => withMachine((machine) => backUp(place.url, machine), place.env));
});

program.run();
