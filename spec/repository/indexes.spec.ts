import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError, RemoteError } from '../../lib/errors.ts';
import { contentName, HEADER_BYTES, openObject, sealObject } from '../../lib/format/envelope.ts';
import type { SealedPack } from '../../lib/format/pack.ts';
import {
  encodeDirectory,
  RAW,
  sealedDirectoryBytes,
  TRAILER_BYTES,
} from '../../lib/format/pack-directory.ts';
import { decodePackIndex } from '../../lib/format/pack-index.ts';
import type { Journal } from '../../lib/journal/database.ts';
import { chunkLocation, isKnownChunk, knownPacks, packsWithoutIndex } from '../../lib/journal/packs.ts';
import { rememberRepository } from '../../lib/journal/repositories.ts';
import { putIndexes, syncIndexes } from '../../lib/repository/indexes.ts';
import { idOf } from '../backup/fixtures.ts';
import { assertRejects, seededBytes, withFlippedBit } from '../format/fixtures.ts';
import { failingRemote } from '../helpers/failing-remote.ts';
import { withJournal } from '../journal/fixture.ts';
import { nameOf, recordPack, repositoryOver, sealPack } from './fixtures.ts';

/** Two repositories in one journal are two machines' views that know nothing of each other. */
function otherView(journal: Journal): number {
  return rememberRepository(journal, 'another', 'memory:');
}

function indexesOf({ remote }: ReturnType<typeof repositoryOver>): string[] {
  return [...remote.objects.keys()].filter((name) => name.startsWith('index/'));
}

/** A pack of so many chunks of one byte, of which only the directory is looked at. */
function packOfMany(number: number, count: number): SealedPack {
  const ids = seededBytes(32 * count, String(number));
  let offset = HEADER_BYTES;
  const entries = Array.from({ length: count }, (_, index) => {
    const entry = {
      id: ids.subarray(32 * index, 32 * index + 32),
      compression: RAW,
      offset,
      storedSize: 17,
      size: 1,
    } as const;
    offset += entry.storedSize;
    return entry;
  });
  const bytes = Buffer.alloc(offset + sealedDirectoryBytes(count) + TRAILER_BYTES);
  const name = number.toString(16).padStart(64, '0');
  return { name, bytes, entries, directory: encodeDirectory(entries) };
}

const indexes = suite('indexes');

indexes('of very many small chunks are made with pauses for all else', () =>
  withJournal(async ({ journal, journalRepository: number }) => {
    for (let pack = 0; pack < 40; pack += 1) recordPack(journal, number, packOfMany(pack, 4000));
    const repository = repositoryOver();
    let turns = 0;
    let turnsAtPut: number | null = null;
    const put: typeof repository.remote.put = (name, bytes, options) => {
      turnsAtPut ??= turns;
      return repository.remote.put(name, bytes, options);
    };
    const taking = setInterval(() => (turns += 1), 1);
    await putIndexes({ ...repository, remote: { ...repository.remote, put } }, journal, number);
    clearInterval(taking);
    assert.ok(turnsAtPut! > 0);
  }),
);

indexes('are put as packs are read from the journal: what is recorded meanwhile is in one as well', () =>
  withJournal(async ({ journal, journalRepository: number }) => {
    recordPack(journal, number, sealPack('a'));
    const repository = repositoryOver();
    const put: typeof repository.remote.put = (name, bytes, options) => {
      if (indexesOf(repository).length === 0) recordPack(journal, number, packOfMany(1, 1));
      return repository.remote.put(name, bytes, options);
    };
    for (let pack = 2; pack < 30; pack += 1) recordPack(journal, number, packOfMany(pack, 4000));
    await putIndexes({ ...repository, remote: { ...repository.remote, put } }, journal, number);
    assert.ok(indexesOf(repository).length > 1);
    assert.equal([...packsWithoutIndex(journal, number)], []);
    const other = otherView(journal);
    await syncIndexes(repository, journal, other);
    assert.is(knownPacks(journal, other).length, 30);
  }),
);

indexes('tell another machine where every chunk lies', () =>
  withJournal(async ({ journal, journalRepository: number }) => {
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
    assert.equal([...packsWithoutIndex(journal, other)], []);
  }),
);

indexes('are put once: what one holds is in no other', () =>
  withJournal(async ({ journal, journalRepository: number }) => {
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
  withJournal(async ({ journal, journalRepository: number }) => {
    const repository = repositoryOver();
    await putIndexes(repository, journal, number);
    assert.equal(indexesOf(repository), []);
  }),
);

indexes('are fetched once', () =>
  withJournal(async ({ journal, journalRepository: number }) => {
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
  withJournal(async ({ journal, journalRepository: number }) => {
    const repository = repositoryOver();
    recordPack(journal, number, sealPack('a'));
    await putIndexes(repository, journal, number);
    const remote = failingRemote(repository.remote, []);
    await syncIndexes({ ...repository, remote }, journal, number);
    assert.equal(remote.calls, ['list index/']);
  }),
);

indexes('whose put fails leave their packs without one, for the next time', () =>
  withJournal(async ({ journal, journalRepository: number }) => {
    const repository = repositoryOver();
    recordPack(journal, number, sealPack('a'));
    const remote = failingRemote(repository.remote, [{ verb: 'put', call: 1 }]);
    await assertRejects(() => putIndexes({ ...repository, remote }, journal, number), RemoteError);
    assert.is([...packsWithoutIndex(journal, number)].length, 1);
    await putIndexes(repository, journal, number);
    assert.equal([...packsWithoutIndex(journal, number)], []);
    assert.is(indexesOf(repository).length, 1);
  }),
);

indexes('are made from the pack itself where what the journal kept of it has changed', () =>
  withJournal(async ({ journal }) => {
    const packs = [sealPack('a', 'b'), sealPack('c')];
    for (let at = 0; at < packs[0]!.directory.length; at += 3) {
      const repository = repositoryOver();
      for (const pack of packs) repository.remote.objects.set(nameOf(pack), Buffer.from(pack.bytes));
      const view = rememberRepository(journal, `view ${at}`, 'memory:');
      recordPack(journal, view, packs[1]!);
      recordPack(journal, view, packs[0]!);
      const changed = withFlippedBit(packs[0]!.directory, at);
      journal.sqlite
        .prepare('UPDATE pack SET directory = ? WHERE repository = ? AND name = ?')
        .run(changed, view, Buffer.from(packs[0]!.name, 'hex'));
      await putIndexes(repository, journal, view);
      const [name] = indexesOf(repository);
      const held = [
        ...decodePackIndex(
          openObject(repository.keys, 'index', name!, repository.remote.objects.get(name!)!),
        ),
      ];
      assert.equal(
        held.map(({ entries }) => entries),
        [packs[1]!.entries, packs[0]!.entries],
      );
    }
  }),
);

indexes('whose pack is gone from the remote as well are not made of what is left in the journal', () =>
  withJournal(async ({ journal, journalRepository: number }) => {
    const repository = repositoryOver();
    recordPack(journal, number, { ...sealPack('a'), directory: Buffer.alloc(41) });
    await assertRejects(
      () => putIndexes(repository, journal, number),
      DamagedError,
      /is not on the remote any more$/,
    );
    assert.equal(indexesOf(repository), []);
  }),
);

indexes('of very many chunks are several, each of some megabytes', () =>
  withJournal(async ({ journal, journalRepository: number }) => {
    const repository = repositoryOver();
    for (let index = 0; index < 6; index += 1) recordPack(journal, number, packOfMany(index, 21_000));
    await putIndexes(repository, journal, number);
    const sizes = indexesOf(repository).map((name) => repository.remote.objects.get(name)!.length);
    assert.is(sizes.length, 2);
    assert.ok(sizes.every((size) => size < 6 * 1024 * 1024));
    assert.equal([...packsWithoutIndex(journal, number)], []);
  }),
);

indexes('that vanish after they were listed are no error', () =>
  withJournal(async ({ journal, journalRepository: number }) => {
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
    withJournal(async ({ journal, journalRepository: number }) => {
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
  withJournal(async ({ journal, journalRepository: number }) => {
    const repository = repositoryOver();
    const sealed = sealObject(repository.keys, 'index', '', Buffer.from('no index'));
    repository.remote.objects.set(`index/${contentName(sealed)}`, sealed);
    await assertRejects(() => syncIndexes(repository, journal, number), DamagedError);
  }),
);

indexes.run();
