import { randomUUID } from 'node:crypto';
import { readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SkylockError } from '../../lib/errors.ts';
import {
  claimLeftovers,
  noteFolder,
  noteLeftover,
  unclaimedLeftovers,
} from '../../lib/journal/restore-leftovers.ts';
import {
  addPiece,
  countPiece,
  neededFrames,
  neededPacks,
  notePart,
  partOf,
  piecesOf,
  waitForPieces,
} from '../../lib/journal/restore-pieces.ts';
import {
  addEntry,
  contentOf,
  followLeader,
  leaderOf,
  openRestorePlan,
  type PlannedEntry,
  plannedEntries,
  plannedEntry,
  type RestorePlan,
  setState,
  waitingFolders,
  waitingLinks,
} from '../../lib/journal/restore-plan.ts';
import { withFolder } from '../helpers/temporary.ts';

/** More than two pages of whatever is read page by page. */
const MANY = 1234;

async function withPlan(use: (plan: RestorePlan, folder: string) => void): Promise<void> {
  await withFolder(async (folder) => {
    const plan = openRestorePlan({ file: join(folder, 'journal.db') });
    try {
      use(plan, folder);
    } finally {
      plan.close();
    }
  });
}

const entry = (path: string, facts: Partial<PlannedEntry> = {}): PlannedEntry => ({
  path: Buffer.from(path),
  type: 'file',
  chosen: true,
  mode: 0o644,
  uid: 1,
  gid: 2,
  mtimeUs: -5,
  size: 10,
  device: null,
  link: null,
  ...facts,
});

const location = (packId: number, position: number) => ({
  packId,
  pack: Buffer.alloc(32, packId),
  packSize: 1000 * packId,
  position,
  offset: 41 + position * 100,
  storedSize: 100,
  size: 84,
  compression: 0,
});

const plan = suite('the plan of a restore');

plan('leaves nothing beside the journal, not even while it is open', () =>
  withPlan((plan, folder) => {
    for (let n = 0; n < 50_000; n += 1) addEntry(plan, entry(`/${n}`), Buffer.alloc(200));
    assert.equal(readdirSync(folder), []);
  }),
);

plan('removes those of processes that were killed before they could take the name away', () =>
  withFolder(async (folder) => {
    const [dead, young] = ['scratch-00000000-0000-4000-8000-000000000000.db', `scratch-${randomUUID()}.db`];
    for (const name of [dead, young, 'scratch-of-mine.db']) writeFileSync(join(folder, name), '');
    const longAgo = new Date(Date.now() - 61_000);
    for (const name of [dead, 'scratch-of-mine.db']) utimesSync(join(folder, name), longAgo, longAgo);
    openRestorePlan({ file: join(folder, 'journal.db') }).close();
    assert.equal(readdirSync(folder).sort(), [young, 'scratch-of-mine.db'].sort());
  }),
);

plan('that cannot be made says why', () => {
  assert.throws(
    () => openRestorePlan({ file: '/proc/nowhere/journal.db' }),
    (error: unknown) => error instanceof SkylockError,
  );
});

plan('gives entries back as they were, in their order, while they change', () =>
  withPlan((plan) => {
    const entries = Array.from({ length: MANY }, (_, n) =>
      entry(`/${String(n).padStart(5, '0')}`, { size: n, chosen: n % 2 === 0 }),
    );
    const contents = ['', 'short', 'c'.repeat(32), 'd'.repeat(33), 'e'.repeat(10_000)];
    const content = (n: number) => contents[n % contents.length]!;
    entries.forEach((one, n) => {
      addEntry(plan, one, content(n) === '' ? null : Buffer.from(content(n)));
    });
    let count = 0;
    for (const planned of plannedEntries(plan)) {
      const { id, state, leader, shortContent, ...facts } = planned;
      assert.equal(facts, entries[count]);
      assert.equal([state, leader], ['chosen', null]);
      assert.is(contentOf(plan, planned).toString(), content(count));
      assert.ok(shortContent === null || shortContent.length <= 32);
      setState(plan, id, 'right');
      count += 1;
    }
    assert.is(count, MANY);
  }),
);

plan('says whether a state is news', () =>
  withPlan((plan) => {
    addEntry(plan, entry('/a'), null);
    assert.ok(setState(plan, 1, 'failed'));
    assert.not.ok(setState(plan, 1, 'failed'));
    assert.is(plannedEntry(plan, 1).state, 'failed');
  }),
);

plan('gives the folders that wait, what lies in them first', () =>
  withPlan((plan) => {
    for (let n = 0; n < MANY; n += 1)
      addEntry(plan, entry(`/${n}`, { type: n % 3 === 0 ? 'file' : 'folder' }), null);
    for (let id = 1; id <= MANY; id += 1) if (id % 5 !== 0) setState(plan, id, 'waiting');
    const ids = Array.from(waitingFolders(plan), ({ id }) => id);
    const expected = Array.from({ length: MANY }, (_, n) => MANY - n).filter(
      (id) => (id - 1) % 3 !== 0 && id % 5 !== 0,
    );
    assert.equal(ids, expected);
  }),
);

plan('finds the file a link stands for, as long as it has not failed', () =>
  withPlan((plan) => {
    const link = Buffer.from('one');
    for (let n = 0; n < MANY; n += 1) addEntry(plan, entry(`/${n}`, { link }), null);
    addEntry(plan, entry('/other', { link: Buffer.from('two') }), null);
    assert.is(leaderOf(plan, link), null, 'none has been looked at');
    setState(plan, 3, 'failed');
    setState(plan, 5, 'waiting');
    assert.is(leaderOf(plan, link)?.id, 5);
    for (let id = 6; id <= MANY; id += 1) followLeader(plan, id, 5);
    assert.is(leaderOf(plan, link)?.id, 5);
    assert.is(leaderOf(plan, Buffer.from('two')), null);
    assert.equal(
      Array.from(waitingLinks(plan), ({ id, leader }) => [id, leader]),
      Array.from({ length: MANY - 5 }, (_, n) => [n + 6, 5]),
    );
  }),
);

plan('gives each pack once, its frames in order, and every place a chunk goes', () =>
  withPlan((plan) => {
    for (let n = 0; n < MANY; n += 1) addEntry(plan, entry(`/${n}`), null);
    const id = Buffer.alloc(32, 7);
    // Frame 1 of pack 3 goes to every file twice, frame 0 and 2 to one.
    for (let file = MANY; file >= 1; file -= 1) {
      for (const offset of [84, 0])
        addPiece(plan, id, location(3, 1), { entry: file, offset, blank: offset === 0 });
      waitForPieces(plan, file, 2, false);
    }
    addPiece(plan, id, location(3, 2), { entry: 9, offset: 500, blank: true });
    addPiece(plan, id, location(3, 0), { entry: 8, offset: 600, blank: true });
    addPiece(plan, id, location(2, 5), { entry: 7, offset: 700, blank: true });
    assert.equal(
      Array.from(neededPacks(plan), ({ id, size }) => [id, size]),
      [
        [2, 2000],
        [3, 3000],
      ],
    );
    const frames = Array.from(neededFrames(plan, 3, 2));
    assert.equal(
      frames.map((page) => page.map(({ position }) => position)),
      [[0, 1], [2]],
    );
    const pieces = Array.from(piecesOf(plan, 3, 0, 2));
    assert.is(pieces.length, 2 * MANY + 2);
    const keys = pieces.map(({ frame, entry, offset }) => frame * 1e9 + entry.id * 1000 + offset);
    assert.equal(
      keys,
      keys.toSorted((a, b) => a - b),
    );
    assert.equal(pieces[0], { ...pieces[0], frame: 0, offset: 600, blank: true, alone: false });
    assert.equal(pieces[1], { ...pieces[1], frame: 1, offset: 0, blank: true, alone: false });
    assert.equal(pieces[2], { ...pieces[2], frame: 1, offset: 84, blank: false, alone: false });
    assert.is(Array.from(piecesOf(plan, 3, 1, 1)).length, 2 * MANY);
  }),
);

plan('counts the pieces a file waits for, and knows one that has only one', () =>
  withPlan((plan) => {
    addEntry(plan, entry('/a'), null);
    addPiece(plan, Buffer.alloc(32), location(1, 0), { entry: 1, offset: 0, blank: true });
    waitForPieces(plan, 1, 1, false);
    assert.ok(piecesOf(plan, 1, 0, 0).next().value?.alone);
    waitForPieces(plan, 1, 1, true);
    assert.not.ok(piecesOf(plan, 1, 0, 0).next().value?.alone, 'the rest of a part file');
    waitForPieces(plan, 1, 2, false);
    assert.equal(partOf(plan, 1), { failed: false, hasPart: false });
    notePart(plan, 1);
    assert.equal(partOf(plan, 1), { failed: false, hasPart: true });
    assert.equal([countPiece(plan, 1), countPiece(plan, 1)], [1, 0]);
    setState(plan, 1, 'failed');
    assert.ok(partOf(plan, 1).failed);
  }),
);

plan('knows which leftovers were claimed', () =>
  withPlan((plan) => {
    const folder = Buffer.from('/f');
    assert.ok(noteFolder(plan, folder));
    assert.not.ok(noteFolder(plan, folder));
    for (let n = 0; n < MANY; n += 1) noteLeftover(plan, folder, String(n % 600), `name ${n}`);
    assert.equal(claimLeftovers(plan, folder, '7').sort(), ['name 1207', 'name 607', 'name 7']);
    assert.equal(claimLeftovers(plan, folder, '7'), []);
    assert.equal(claimLeftovers(plan, Buffer.from('/g'), '8'), []);
    let left = 0;
    for (const { folder, key } of unclaimedLeftovers(plan)) {
      claimLeftovers(plan, folder, key);
      left += 1;
    }
    assert.ok(left >= MANY - 3);
  }),
);

plan.run();
