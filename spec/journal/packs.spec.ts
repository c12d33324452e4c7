import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  chunkLocation,
  chunkLocator,
  type DurablePack,
  forgetPacks,
  isKnownChunk,
  knownPacks,
  packsWithoutIndex,
  recordIndex,
  recordOwnIndex,
  seenIndexes,
} from '../../lib/journal/packs.ts';
import { rememberRepository } from '../../lib/journal/repositories.ts';
import { recordUploaded } from '../../lib/journal/uploading.ts';
import { claim, hash, type Lent, NOW, packOf, withJournal } from './fixture.ts';

/** Records packs as a run does. */
function store(lent: Lent, name: string, ...packs: DurablePack[]): void {
  const run = claim(lent, { name });
  for (const pack of packs)
    recordUploaded(lent.journal, run, { pack, pieces: [], completed: [], bytes: 0 }, NOW);
}

function namesOf(packs: readonly { readonly name: Buffer }[]): string[] {
  return packs.map(({ name }) => name.toString('hex'));
}

const packs = suite('a durable pack');

packs('tells where each of its chunks lies', async () => {
  await withJournal((lent) => {
    const { journal, journalRepository } = lent;
    store(lent, 'docs', packOf('a', 'b'));
    assert.ok(isKnownChunk(journal, journalRepository, hash('b')));
    assert.not(isKnownChunk(journal, journalRepository, hash('c')));
    assert.is(chunkLocation(journal, journalRepository, hash('c')), null);
    const { packId, ...location } = chunkLocation(journal, journalRepository, hash('b'))!;
    assert.equal(location, {
      pack: packOf('a', 'b').name,
      packSize: 2000,
      position: 1,
      offset: 1000,
      storedSize: 900,
      size: 1000,
      compression: 1,
    });
    assert.equal(knownPacks(journal, journalRepository), [
      { id: packId, name: packOf('a', 'b').name, size: 2000 },
    ]);
  });
});

packs('is told with each of its chunks, whichever was asked for before', async () => {
  await withJournal((lent) => {
    store(lent, 'docs', packOf('a', 'b'), packOf('c'));
    const locate = chunkLocator(lent.journal, lent.journalRepository);
    for (const name of ['a', 'c', 'x', 'b', 'a', 'c']) {
      assert.equal(locate(hash(name)), chunkLocation(lent.journal, lent.journalRepository, hash(name)), name);
    }
    assert.equal(locate(hash('b'))?.pack, packOf('a', 'b').name);
    assert.equal(locate(hash('c'))?.pack, packOf('c').name);
  });
});

packs('is known in its own repository only', async () => {
  await withJournal((lent) => {
    store(lent, 'docs', packOf('a'));
    const other = rememberRepository(lent.journal, 'second', 'file:///other');
    assert.not(isKnownChunk(lent.journal, other, hash('a')));
    assert.equal(knownPacks(lent.journal, other), []);
    store({ ...lent, journalRepository: other }, 'docs', packOf('a'));
    assert.ok(isKnownChunk(lent.journal, other, hash('a')));
  });
});

packs('may hold what another run stored at the same time', async () => {
  await withJournal((lent) => {
    const { journal, journalRepository } = lent;
    store(lent, 'docs', packOf('a', 'b'));
    store(lent, 'pictures', packOf('b', 'c'));
    const at = (name: string) => chunkLocation(journal, journalRepository, hash(name))!.pack;
    assert.equal(['a', 'b', 'c'].map(at), [
      packOf('a', 'b').name,
      packOf('a', 'b').name,
      packOf('b', 'c').name,
    ]);
    assert.is(knownPacks(journal, journalRepository).length, 2);
  });
});

packs('that the remote has lost is forgotten with its chunks', async () => {
  await withJournal((lent) => {
    const { journal, journalRepository } = lent;
    store(lent, 'docs', packOf('a', 'b'), packOf('c'));
    forgetPacks(journal, [chunkLocation(journal, journalRepository, hash('a'))!.packId]);
    assert.equal(
      ['a', 'b', 'c'].map((name) => isKnownChunk(journal, journalRepository, hash(name))),
      [false, false, true],
    );
    assert.equal(namesOf([...packsWithoutIndex(journal, journalRepository)]), namesOf([packOf('c')]));
  });
});

packs.run();

const indexes = suite('an index');

indexes('makes its packs known', async () => {
  await withJournal(({ journal, journalRepository }) => {
    recordIndex(journal, journalRepository, 'index/one', [packOf('a'), packOf('b')]);
    assert.ok(isKnownChunk(journal, journalRepository, hash('b')));
    assert.equal(seenIndexes(journal, journalRepository), new Set(['index/one']));
    assert.equal([...packsWithoutIndex(journal, journalRepository)], []);
  });
});

indexes('is recorded whole or not at all', async () => {
  await withJournal(({ journal, journalRepository }) => {
    const broken = function* () {
      yield packOf('a');
      throw new Error('damaged');
    };
    assert.throws(() => recordIndex(journal, journalRepository, 'index/one', broken()), /damaged/);
    assert.not(isKnownChunk(journal, journalRepository, hash('a')));
    assert.equal(seenIndexes(journal, journalRepository), new Set());
  });
});

indexes('is still to be written of the packs that no index holds', async () => {
  await withJournal((lent) => {
    const { journal, journalRepository } = lent;
    store(lent, 'docs', packOf('a'), packOf('b'), packOf('c'));
    const [first] = packsWithoutIndex(journal, journalRepository);
    assert.equal(first, { name: packOf('a').name, size: 1000, directory: Buffer.from('directory of a') });
    recordOwnIndex(journal, journalRepository, 'index/mine', [packOf('a').name]);
    recordIndex(journal, journalRepository, 'index/of-another', [packOf('b')]); // which stored the same
    assert.equal(namesOf([...packsWithoutIndex(journal, journalRepository)]), namesOf([packOf('c')]));
    assert.equal(seenIndexes(journal, journalRepository), new Set(['index/mine', 'index/of-another']));
  });
});

indexes('that was written is not written again because a pack is recorded again', async () => {
  await withJournal((lent) => {
    const { journal, journalRepository } = lent;
    store(lent, 'docs', packOf('a'));
    recordOwnIndex(journal, journalRepository, 'index/mine', [packOf('a').name]);
    store(lent, 'pictures', packOf('a'));
    assert.equal([...packsWithoutIndex(journal, journalRepository)], []);
  });
});

indexes.run();
