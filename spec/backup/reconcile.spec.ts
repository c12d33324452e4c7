import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { reconcilePacks } from '../../lib/backup/reconcile.ts';
import { RemoteError } from '../../lib/errors.ts';
import { openObject } from '../../lib/format/envelope.ts';
import { decodePackIndex } from '../../lib/format/pack-index.ts';
import type { Journal } from '../../lib/journal/database.ts';
import { chunkLocation, isKnownChunk, knownPacks, packsWithoutIndex } from '../../lib/journal/packs.ts';
import { rememberRepository } from '../../lib/journal/repositories.ts';
import type { ProgressEvent } from '../../lib/progress.ts';
import { listAhead } from '../../lib/remote/ahead.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { putIndexes, syncIndexes } from '../../lib/repository/indexes.ts';
import { assertRejects, withFlippedBit } from '../format/fixtures.ts';
import { failingRemote } from '../helpers/failing-remote.ts';
import { withJournal } from '../journal/fixture.ts';
import { nameOf, recordPack, repositoryOver, sealPack } from '../repository/fixtures.ts';
import { idOf } from './fixtures.ts';

type Repository = ReturnType<typeof repositoryOver>;

interface Yard {
  readonly repository: Repository;
  readonly journal: Journal;
  readonly number: number;
  readonly notices: string[];
  readonly hints: string[];
  reconcile(remote?: Remote): Promise<number>;
  known(name: string): boolean;
}

function withYard(use: (yard: Yard) => Promise<void>): Promise<void> {
  return withJournal(({ journal, journalRepository: number }) =>
    use(yardOf(repositoryOver(), journal, number)),
  );
}

function yardOf(repository: Repository, journal: Journal, number: number): Yard {
  const notices: string[] = [];
  const hints: string[] = [];
  const progress = (event: ProgressEvent) => {
    if (event.type !== 'notice') return;
    notices.push(event.text);
    hints.push(...(event.hints ?? []));
  };
  return {
    repository,
    journal,
    number,
    notices,
    hints,
    reconcile: (remote: Remote = repository.remote) =>
      reconcilePacks({
        repository: { ...repository, remote },
        journal,
        journalRepository: number,
        progress,
        signal: new AbortController().signal,
      }),
    known: (name) => isKnownChunk(journal, number, idOf(name)),
  };
}

/** Puts the packs, and records those that are to be known. */
function fill(
  { repository, journal, number }: Yard,
  names: Record<string, 'known' | 'only put'>,
): Record<string, string> {
  const objects: Record<string, string> = {};
  for (const [name, how] of Object.entries(names)) {
    const pack = sealPack(name, `${name}2`);
    repository.remote.objects.set(nameOf(pack), Buffer.from(pack.bytes));
    if (how === 'known') recordPack(journal, number, pack);
    objects[name] = nameOf(pack);
  }
  return objects;
}

const reconciling = suite('a journal and its remote');

reconciling('that agree are left as they are, for the price of a listing', () =>
  withYard(async (yard) => {
    fill(yard, { a: 'known', b: 'known' });
    const remote = failingRemote(yard.repository.remote, []);
    assert.is(await yard.reconcile(remote), 0);
    assert.equal(remote.calls.toSorted(), ['list index/', 'list packs/']);
    assert.equal([yard.known('a'), yard.known('b'), yard.notices], [true, true, []]);
  }),
);

reconciling('of which one lacks a pack: it is not durable any more, nor is what it held', () =>
  withYard(async (yard) => {
    const { a } = fill(yard, { a: 'known', b: 'known' });
    yard.repository.remote.objects.delete(a!);
    assert.is(await yard.reconcile(), 1);
    assert.equal([yard.known('a'), yard.known('a2'), yard.known('b')], [false, false, true]);
    assert.equal(yard.notices, ['1 pack is missing or short on the remote: what it held is sent again']);
  }),
);

for (const [what, change] of Object.entries({
  short: (bytes: Buffer) => bytes.subarray(0, -1),
  empty: () => Buffer.alloc(0),
  'too long': (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(1)]),
})) {
  reconciling(`of which one has a pack that is ${what}: it is as good as missing`, () =>
    withYard(async (yard) => {
      const { a } = fill(yard, { a: 'known' });
      const { objects } = yard.repository.remote;
      objects.set(a!, change(objects.get(a!)!));
      assert.is(await yard.reconcile(), 1);
      assert.equal([yard.known('a'), knownPacks(yard.journal, yard.number)], [false, []]);
    }),
  );
}

reconciling('may have lost what only an index tells of, as where the journal is new', () =>
  withYard(async (yard) => {
    const { a } = fill(yard, { a: 'known', b: 'known' });
    await putIndexes(yard.repository, yard.journal, yard.number);
    yard.repository.remote.objects.delete(a!);
    const other = yardOf(yard.repository, yard.journal, rememberRepository(yard.journal, 'other', 'memory:'));
    assert.is(await other.reconcile(), 1);
    assert.equal([other.known('a'), other.known('b')], [false, true]);
  }),
);

reconciling('of which one has packs nobody recorded: they are adopted, and told of in the next index', () =>
  withYard(async (yard) => {
    fill(yard, { a: 'known', b: 'only put', c: 'only put' });
    assert.is(await yard.reconcile(), 0);
    assert.equal([yard.known('b'), yard.known('c2'), yard.notices], [true, true, []]);
    await putIndexes(yard.repository, yard.journal, yard.number);
    const other = rememberRepository(yard.journal, 'other', 'memory:');
    await syncIndexes(yard.repository, yard.journal, other);
    const { packId: _, ...here } = chunkLocation(yard.journal, yard.number, idOf('c2'))!;
    const { packId: __, ...there } = chunkLocation(yard.journal, other, idOf('c2'))!;
    assert.equal(there, here);
    assert.equal([...packsWithoutIndex(yard.journal, yard.number)], []);
  }),
);

reconciling('adopt a pack of very many chunks, whose directory is long', () =>
  withYard(async ({ repository, known, reconcile }) => {
    const pack = sealPack(...Array.from({ length: 1800 }, (_, index) => `many ${index}`));
    repository.remote.objects.set(nameOf(pack), Buffer.from(pack.bytes));
    await reconcile();
    assert.equal([known('many 0'), known('many 1799')], [true, true]);
  }),
);

for (const [what, change] of Object.entries({
  'is cut off': (bytes: Buffer) => bytes.subarray(0, 900),
  'is empty': () => Buffer.alloc(0),
  'has a flipped bit in its header': (bytes: Buffer) => withFlippedBit(bytes, 20),
  'has a flipped bit in its directory': (bytes: Buffer) => withFlippedBit(bytes, bytes.length - 30),
  'has a flipped bit in its last bytes': (bytes: Buffer) => withFlippedBit(bytes, bytes.length - 1),
  'is something else': () => Buffer.alloc(5000, 'x'),
})) {
  reconciling(`do not adopt a pack that ${what}: it is named, and the others are`, () =>
    withYard(async (yard) => {
      const { a } = fill(yard, { a: 'only put', b: 'only put' });
      const { objects } = yard.repository.remote;
      objects.set(a!, change(objects.get(a!)!));
      await yard.reconcile();
      assert.equal([yard.known('a'), yard.known('b'), yard.notices.length], [false, true, 1]);
      assert.match(yard.notices.join(), new RegExp(a!.slice(-64)));
    }),
  );
}

reconciling('leave alone what is no pack', () =>
  withYard(async (yard) => {
    const { objects } = yard.repository.remote;
    objects.set('packs/README.txt', Buffer.from('packs live here'));
    objects.set(`packs/00/${'a'.repeat(64)}`, Buffer.from('in the wrong folder'));
    assert.is(await yard.reconcile(), 0);
    assert.equal([knownPacks(yard.journal, yard.number), yard.notices], [[], []]);
  }),
);

reconciling('do not mind a pack that vanishes after it was listed', () =>
  withYard(async (yard) => {
    fill(yard, { a: 'only put' });
    const remote = { ...yard.repository.remote, get: async () => null };
    assert.is(await yard.reconcile(remote), 0);
    assert.is(yard.known('a'), false);
  }),
);

reconciling('do not take for lost what another process puts and records while the remote is listed', () =>
  withYard(async (yard) => {
    fill(yard, { a: 'known' });
    const { remote } = yard.repository;
    const list = async function* (prefix: string) {
      yield* [...(await Array.fromAsync(remote.list(prefix)))];
      if (prefix === 'packs/') fill(yard, { b: 'known' });
    };
    assert.is(await yard.reconcile({ ...remote, list }), 0);
    assert.equal([yard.known('a'), yard.known('b')], [true, true]);
  }),
);

reconciling('stay as they are when the listing fails', () =>
  withYard(async (yard) => {
    const { a } = fill(yard, { a: 'known', b: 'known' });
    yard.repository.remote.objects.delete(a!);
    for (const when of ['before', 'after'] as const) {
      const remote = failingRemote(yard.repository.remote, [{ verb: 'list', call: 2, when }]);
      await assertRejects(() => yard.reconcile(remote), RemoteError);
      assert.equal([yard.known('a'), yard.known('b')], [true, true]);
    }
  }),
);

reconciling('take a pack for lost only when it is not there itself: a listing may lie for a moment', () =>
  withYard(async (yard) => {
    fill(yard, { a: 'known', b: 'known' });
    const { remote } = yard.repository;
    const list = async function* (prefix: string) {
      if (prefix !== 'packs/') yield* remote.list(prefix);
    };
    assert.is(await yard.reconcile({ ...remote, list }), 0);
    assert.equal([yard.known('a'), yard.known('b'), yard.notices], [true, true, []]);
  }),
);

reconciling.run();

/** Every pack an index names, by the index. */
async function namedPacks({ repository }: Yard): Promise<Map<string, string[]>> {
  const named = new Map<string, string[]>();
  for (const [name, bytes] of repository.remote.objects) {
    if (!name.startsWith('index/')) continue;
    const packs = [...decodePackIndex(openObject(repository.keys, 'index', name, bytes))];
    named.set(
      name,
      packs.map((pack) => `packs/${pack.name.slice(0, 2)}/${pack.name}`),
    );
  }
  return named;
}

/** `a` and `b` are in one index, `c` in another, and `a` is lost. */
async function loseOne(yard: Yard) {
  const { a, b } = fill(yard, { a: 'known', b: 'known' });
  await putIndexes(yard.repository, yard.journal, yard.number);
  const [first] = await namedPacks(yard);
  const { c } = fill(yard, { c: 'known' });
  await putIndexes(yard.repository, yard.journal, yard.number);
  const [, second] = await namedPacks(yard);
  yard.repository.remote.objects.delete(a!);
  return { a: a!, b: b!, c: c!, first: first![0], second: second![0] };
}

const damaged = suite('a damaged index');

for (const [what, change] of Object.entries({
  'has a flipped bit': (bytes: Buffer) => withFlippedBit(bytes, 50),
  'is cut off': (bytes: Buffer) => bytes.subarray(0, 100),
  'is empty': () => Buffer.alloc(0),
})) {
  damaged(`that ${what} is told of with the cure, and what it lists is learned from the packs`, () =>
    withYard(async (yard) => {
      const { repository, journal } = yard;
      fill(yard, { a: 'known', b: 'known' });
      await putIndexes(repository, journal, yard.number);
      const [name] = [...(await namedPacks(yard)).keys()];
      const { objects } = repository.remote;
      objects.set(name!, change(objects.get(name!)!));

      const other = yardOf(repository, journal, rememberRepository(journal, 'other', 'memory:'));
      assert.is(await other.reconcile(), 0);
      assert.equal([other.known('a'), other.known('b2'), other.notices.length], [true, true, 1]);
      assert.match(other.notices[0]!, new RegExp(`^an index is damaged and not used: open ${name}: `));
      assert.match(other.hints.join(), /'skylock repair' mends/);
      // Whoever has nothing but the indexes finds all of it again after the next backup.
      await putIndexes(repository, journal, other.number);
      objects.delete(name!);
      const third = rememberRepository(journal, 'third', 'memory:');
      await syncIndexes(repository, journal, third);
      assert.ok(isKnownChunk(journal, third, idOf('a')) && isKnownChunk(journal, third, idOf('b2')));
    }),
  );
}

damaged('is left to a repair where packs that another one names are lost', () =>
  withYard(async (yard) => {
    const { c, first, second } = await loseOne(yard);
    const { objects } = yard.repository.remote;
    objects.set(second, withFlippedBit(objects.get(second)!, 60));
    assert.is(await yard.reconcile(), 1);
    assert.equal([objects.has(first), objects.has(second)], [false, true]);
    assert.equal(['a', 'b', 'c'].map(yard.known), [false, true, true]);
    assert.ok(c);
  }),
);

damaged.run();

const indexes = suite('the indexes of a remote that has lost a pack');

indexes('do not name it any more, and those that did not are left alone', () =>
  withYard(async (yard) => {
    const { b, c, first, second } = await loseOne(yard);
    assert.is(await yard.reconcile(), 1);
    const named = await namedPacks(yard);
    assert.equal([...named.values()].sort(), [[b], [c]].sort());
    assert.equal([named.has(first), named.get(second)], [false, [c]]);
    assert.equal(['a', 'b', 'c'].map(yard.known), [false, true, true]);
    assert.equal([...packsWithoutIndex(yard.journal, yard.number)], []);
  }),
);

for (const failure of [
  { verb: 'get', call: 1 },
  { verb: 'put', call: 1 },
  { verb: 'put', call: 1, when: 'after' },
  { verb: 'remove', call: 1 },
  { verb: 'remove', call: 1, when: 'after' },
  { verb: 'get', call: 3 },
] as const) {
  indexes(
    `are right in the end where ${failure.verb} ${failure.call} fails, and never name less than is there`,
    () =>
      withYard(async (yard) => {
        const { b, c } = await loseOne(yard);
        const remote = failingRemote(yard.repository.remote, [failure]);
        await assertRejects(() => yard.reconcile(remote), RemoteError);
        const meanwhile = [...(await namedPacks(yard)).values()].flat();
        assert.ok(meanwhile.includes(b) && meanwhile.includes(c));
        await yard.reconcile();
        const named = new Set([...(await namedPacks(yard)).values()].flat());
        assert.equal([...named].sort(), [b, c].sort());
        assert.equal(['a', 'b', 'c'].map(yard.known), [false, true, true]);
      }),
  );
}

indexes('lead to another pack that holds the same chunk', () =>
  withYard(async (yard) => {
    const { repository, journal, number } = yard;
    const packs = [sealPack('a', 'b'), sealPack('c', 'a')];
    for (const pack of packs) {
      repository.remote.objects.set(nameOf(pack), Buffer.from(pack.bytes));
      recordPack(journal, number, pack);
    }
    await putIndexes(repository, journal, number);
    repository.remote.objects.delete(nameOf(packs[0]!));
    assert.is(await yard.reconcile(), 1);
    assert.equal(['a', 'b', 'c'].map(yard.known), [true, false, true]);
    assert.equal(chunkLocation(journal, number, idOf('a'))?.pack, Buffer.from(packs[1]!.name, 'hex'));
  }),
);

indexes('that named nothing else are gone', () =>
  withYard(async (yard) => {
    const { a } = fill(yard, { a: 'known' });
    await putIndexes(yard.repository, yard.journal, yard.number);
    yard.repository.remote.objects.delete(a!);
    await yard.reconcile();
    assert.equal([...(await namedPacks(yard)).keys()], []);
  }),
);

indexes.run();

/** Another process puts a pack, its index after it, and records both. */
async function putMore(yard: Yard, name: string): Promise<void> {
  fill(yard, { [name]: 'known' });
  await putIndexes(yard.repository, yard.journal, yard.number);
}

const others = suite('what another process puts, indexes and records');

others('after the remote was listed is not forgotten, nor read again', () =>
  withYard(async (yard) => {
    await putMore(yard, 'a');
    const watched = failingRemote(yard.repository.remote, []);
    const ahead = listAhead(watched, ['packs/', 'index/']);
    await new Promise((resolve) => setTimeout(resolve)); // the listings are through
    await putMore(yard, 'b');
    assert.is(await yard.reconcile(ahead), 0);
    assert.equal([yard.known('a'), yard.known('b')], [true, true]);
    assert.equal(
      watched.calls.filter((call) => call.startsWith('get ')),
      [],
    );
  }),
);

others('after that is still known when an index has vanished and the others are read again', () =>
  withYard(async (yard) => {
    await putMore(yard, 'a');
    const [old] = [...(await namedPacks(yard)).keys()];
    await putMore(yard, 'b');
    yard.repository.remote.objects.delete(old!);
    const ahead = listAhead(yard.repository.remote, ['packs/', 'index/']);
    await new Promise((resolve) => setTimeout(resolve)); // the listings are through
    await putMore(yard, 'c');
    assert.is(await yard.reconcile(ahead), 0);
    assert.equal(['a', 'b', 'c'].map(yard.known), [true, true, true]);
  }),
);

others('while a vanished index is asked for is still known', () =>
  withYard(async (yard) => {
    await putMore(yard, 'a');
    const { remote } = yard.repository;
    const [old] = [...(await namedPacks(yard)).keys()];
    remote.objects.delete(old!);
    let asked = 0;
    const stat = async (name: string) => {
      asked += 1;
      if (asked === 1) await putMore(yard, 'b');
      return remote.stat(name);
    };
    assert.is(await yard.reconcile({ ...listAhead(remote, ['packs/']), stat }), 0);
    assert.equal([yard.known('a'), yard.known('b')], [true, true]);
    assert.ok(asked > 0);
  }),
);

others.run();
