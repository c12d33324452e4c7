import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError, RemoteError } from '../../lib/errors.ts';
import { contentName, openObject, sealObject } from '../../lib/format/envelope.ts';
import { decodePackIndex } from '../../lib/format/pack-index.ts';
import type { Journal } from '../../lib/journal/database.ts';
import { chunkLocation, isKnownChunk, knownPacks, packsWithoutIndex } from '../../lib/journal/packs.ts';
import { rememberRepository } from '../../lib/journal/repositories.ts';
import { putIndexes, syncIndexes } from '../../lib/repository/indexes.ts';
import { idOf } from '../backup/fixtures.ts';
import { assertRejects, withFlippedBit } from '../format/fixtures.ts';
import { failingRemote } from '../helpers/failing-remote.ts';
import { withJournal } from '../journal/fixture.ts';
import { recordPack, repositoryOver, sealPack } from './fixtures.ts';

/** Two repositories in one journal are two machines' views that know nothing of each other. */
function otherView(journal: Journal): number {
  return rememberRepository(journal, 'another', 'memory:');
}

function indexesOf({ remote }: ReturnType<typeof repositoryOver>): string[] {
  return [...remote.objects.keys()].filter((name) => name.startsWith('index/'));
}

const indexes = suite('indexes');

indexes('tell another machine where every chunk lies', () =>
  withJournal(async ({ journal, repository: number }) => {
    const repository = repositoryOver();
    const packs = [sealPack('a', 'b', 'c'), sealPack('d')];
    for (const pack of packs) recordPack(journal, number, pack);
    await putIndexes(repository, journal, number);
    assert.is(indexesOf(repository).length, 1);

    const other = otherView(journal);
    await syncIndexes(repository, journal, other);
    for (const name of ['a', 'b', 'c', 'd']) {
      const { packId: _, ...here } = chunkLocation(journal, number, idOf(name))!;
      const { packId: __, ...there } = chunkLocation(journal, other, idOf(name))!;
      assert.equal(there, here);
    }
    assert.equal(packsWithoutIndex(journal, other), []);
  }),
);

indexes('are put once: what one holds is in no other', () =>
  withJournal(async ({ journal, repository: number }) => {
    const repository = repositoryOver();
    recordPack(journal, number, sealPack('a'));
    await putIndexes(repository, journal, number);
    await putIndexes(repository, journal, number);
    const [first, ...others] = indexesOf(repository);
    assert.equal(others, []);
    recordPack(journal, number, sealPack('b'));
    await putIndexes(repository, journal, number);
    const [second] = indexesOf(repository).filter((name) => name !== first);
    const plaintext = openObject(repository.keys, 'index', second!, repository.remote.objects.get(second!)!);
    const held = [...decodePackIndex(plaintext)].flatMap(({ entries }) => entries.map(({ id }) => id));
    assert.equal(held, [idOf('b')]);
  }),
);

indexes('are not put where there is nothing to tell', () =>
  withJournal(async ({ journal, repository: number }) => {
    const repository = repositoryOver();
    await putIndexes(repository, journal, number);
    assert.equal(indexesOf(repository), []);
  }),
);

indexes('are fetched once', () =>
  withJournal(async ({ journal, repository: number }) => {
    const repository = repositoryOver();
    for (const name of ['a', 'b', 'c']) {
      recordPack(journal, number, sealPack(name));
      await putIndexes(repository, journal, number);
    }
    const remote = failingRemote(repository.remote, []);
    const other = otherView(journal);
    await syncIndexes({ ...repository, remote }, journal, other);
    await syncIndexes({ ...repository, remote }, journal, other);
    assert.equal(remote.calls.filter((call) => call.startsWith('get')).length, 3);
    assert.is(knownPacks(journal, other).length, 3);
  }),
);

indexes('of our own are not fetched at all', () =>
  withJournal(async ({ journal, repository: number }) => {
    const repository = repositoryOver();
    recordPack(journal, number, sealPack('a'));
    await putIndexes(repository, journal, number);
    const remote = failingRemote(repository.remote, []);
    await syncIndexes({ ...repository, remote }, journal, number);
    assert.equal(remote.calls, ['list index/']);
  }),
);

indexes('whose put fails leave their packs without one, for the next time', () =>
  withJournal(async ({ journal, repository: number }) => {
    const repository = repositoryOver();
    recordPack(journal, number, sealPack('a'));
    const remote = failingRemote(repository.remote, [{ verb: 'put', call: 1 }]);
    await assertRejects(() => putIndexes({ ...repository, remote }, journal, number), RemoteError);
    assert.is(packsWithoutIndex(journal, number).length, 1);
    await putIndexes(repository, journal, number);
    assert.equal(packsWithoutIndex(journal, number), []);
    assert.is(indexesOf(repository).length, 1);
  }),
);

indexes('of very many chunks are several, each of some megabytes', () =>
  withJournal(async ({ journal, repository: number }) => {
    const repository = repositoryOver();
    // A directory is only bytes here: 41 a chunk, 20,000 chunks a pack.
    const pack = sealPack('a');
    for (let index = 0; index < 12; index += 1) {
      const directory = Buffer.concat(Array(20_000).fill(pack.directory));
      const name = index.toString(16).padStart(64, '0');
      recordPack(journal, number, { ...pack, name, directory });
    }
    await putIndexes(repository, journal, number);
    const sizes = indexesOf(repository).map((name) => repository.remote.objects.get(name)!.length);
    assert.is(sizes.length, 2);
    assert.ok(sizes.every((size) => size < 6 * 1024 * 1024));
    assert.equal(packsWithoutIndex(journal, number), []);
  }),
);

indexes('that vanish after they were listed are no error', () =>
  withJournal(async ({ journal, repository: number }) => {
    const repository = repositoryOver();
    recordPack(journal, number, sealPack('a'));
    await putIndexes(repository, journal, number);
    const remote = { ...repository.remote, get: async () => null };
    const other = otherView(journal);
    await syncIndexes({ ...repository, remote }, journal, other);
    assert.is(isKnownChunk(journal, other, idOf('a')), false);
  }),
);

for (const [what, damage] of Object.entries({
  'a flipped bit': (bytes: Buffer) => withFlippedBit(bytes, 60),
  'a part missing': (bytes: Buffer) => bytes.subarray(0, -1),
  'nothing left': () => Buffer.alloc(0),
})) {
  indexes(`with ${what} are refused by name, and nothing of them is believed`, () =>
    withJournal(async ({ journal, repository: number }) => {
      const repository = repositoryOver();
      recordPack(journal, number, sealPack('a'));
      await putIndexes(repository, journal, number);
      const [name] = indexesOf(repository);
      repository.remote.objects.set(name!, damage(repository.remote.objects.get(name!)!));
      const other = otherView(journal);
      await assertRejects(() => syncIndexes(repository, journal, other), DamagedError, new RegExp(name!));
      assert.equal(knownPacks(journal, other), []);
    }),
  );
}

indexes('that hold what is no index are refused whole', () =>
  withJournal(async ({ journal, repository: number }) => {
    const repository = repositoryOver();
    const sealed = sealObject(repository.keys, 'index', '', Buffer.from('no index'));
    repository.remote.objects.set(`index/${contentName(sealed)}`, sealed);
    await assertRejects(() => syncIndexes(repository, journal, number), DamagedError);
  }),
);

indexes.run();
