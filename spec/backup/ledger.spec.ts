import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createKnownChunks } from '../../lib/backup/known.ts';
import { createLedger } from '../../lib/backup/ledger.ts';
import type { Batch } from '../../lib/backup/pack.ts';
import type { FileInHand, ReadItem } from '../../lib/backup/read.ts';
import type { Journal } from '../../lib/journal/database.ts';
import { journalEntries } from '../../lib/journal/entries.ts';
import { isKnownChunk } from '../../lib/journal/packs.ts';
import { durablePrefix } from '../../lib/journal/pieces.ts';
import type { Run } from '../../lib/journal/runs.ts';
import { totalsOf } from '../../lib/journal/totals.ts';
import { uploadedEntries } from '../../lib/journal/uploaded-entries.ts';
import { pendingFiles } from '../../lib/journal/uploading.ts';
import { add, claim, entryAt, type Lent, NOW, withJournal } from '../journal/fixture.ts';
import { batchesOf, changedItem, fileInHand, idOf, itemsOf, packItems } from './fixtures.ts';

interface Desk {
  readonly journal: Journal;
  readonly run: Run;
  readonly ledger: ReturnType<typeof createLedger>;
  readonly failed: string[];
  /** The files that are uploaded, with what they are made of. */
  uploaded(): Record<string, string[]>;
}

/** A journal with files `/home/docs/1`, `/home/docs/2`, … that are all pending, and a ledger over it. */
function withDesk(files: number, use: (desk: Desk) => void): Promise<void> {
  return withJournal((lent) => use(deskAt(lent, claim(lent), files)));
}

function deskAt({ journal }: Lent, run: Run, files: number): Desk {
  // By hand, so that a file's number is its row's.
  const numbers = Array.from({ length: files }, (_, index) => index + 1);
  if (files > 0)
    add(journal, run, ...numbers.map((number) => entryAt(fileInHand(number).path, { size: 3001n })));
  const failed: string[] = [];
  const onFailed = (file: FileInHand, reason: string) => void failed.push(`${file.path}: ${reason}`);
  return {
    journal,
    run,
    failed,
    ledger: createLedger(journal, run, { now: () => NOW, onFailed }),
    uploaded: () =>
      Object.fromEntries(
        [...uploadedEntries(journal, run.sourceSet)].map(({ path, chunks }) => [
          path.toString().slice('/home/docs/'.length),
          chunks.map((chunk) => chunk.toString('hex')),
        ]),
      ),
  };
}

function ids(...names: string[]): string[] {
  return names.map((name) => idOf(name).toString('hex'));
}

const SEVEN = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

const ledger = suite('a ledger');

ledger('completes a file when the last of its packs is durable, whatever their order', () =>
  withDesk(1, ({ ledger, uploaded }) => {
    const [first, second, third] = batchesOf(itemsOf(fileInHand(1), SEVEN));
    for (const batch of [first, second, third]) ledger.expect(batch!);
    assert.equal(ledger.settle(third!), { completed: [], bytes: 1000 });
    assert.equal(ledger.settle(first!), { completed: [], bytes: 3000 });
    assert.equal(uploaded(), {});
    assert.equal(ledger.settle(second!), { completed: [fileInHand(1).path], bytes: 3000 });
    assert.equal(uploaded(), { 1: ids(...SEVEN) });
  }),
);

ledger('does not complete a file that has not been read to its end', () =>
  withDesk(1, ({ ledger, uploaded }) => {
    const [first, second] = batchesOf(itemsOf(fileInHand(1), SEVEN));
    ledger.expect(first!);
    assert.equal(ledger.settle(first!).completed, []);
    ledger.expect(second!);
    assert.equal(ledger.settle(second!).completed, []);
    assert.equal(uploaded(), {});
  }),
);

ledger('lets a file wait for the pack of another that holds one of its chunks', () =>
  withDesk(2, ({ ledger, uploaded }) => {
    const items = [...itemsOf(fileInHand(1), ['a', 'b', 'c']), ...itemsOf(fileInHand(2), ['d', 'b'])];
    const [first, second] = batchesOf(items);
    ledger.expect(first!);
    ledger.expect(second!);
    assert.equal(ledger.settle(second!).completed, []);
    assert.equal(uploaded(), {});
    const { completed } = ledger.settle(first!);
    assert.equal(completed.map(String).sort(), ['/home/docs/1', '/home/docs/2']);
    assert.equal(uploaded(), { 1: ids('a', 'b', 'c'), 2: ids('d', 'b') });
  }),
);

ledger('does not let a file wait for a pack that is durable already', () =>
  withDesk(2, ({ ledger }) => {
    const items = [...itemsOf(fileInHand(1), ['a', 'b', 'c']), ...itemsOf(fileInHand(2), ['d', 'b'])];
    const [first, second] = batchesOf(items);
    ledger.expect(first!);
    ledger.settle(first!);
    ledger.expect(second!);
    assert.equal(ledger.settle(second!).completed.map(String).sort(), ['/home/docs/1', '/home/docs/2']);
  }),
);

ledger('completes a file whose last batch has no pack', () =>
  withDesk(1, ({ ledger, uploaded }) => {
    const [first, second] = batchesOf(itemsOf(fileInHand(1), ['a', 'b', 'c']));
    assert.is(second?.pack, null);
    ledger.expect(first!);
    ledger.expect(second!);
    assert.equal(ledger.settle(second!).completed, []);
    assert.equal(ledger.settle(first!).completed, [fileInHand(1).path]);
    assert.equal(uploaded(), { 1: ids('a', 'b', 'c') });
  }),
);

ledger('records nothing before it is settled: what is merely expected is not durable', () =>
  withDesk(1, ({ ledger, journal, run }) => {
    const before = totalsOf(journal, run);
    const [first] = batchesOf(itemsOf(fileInHand(1), SEVEN));
    ledger.expect(first!);
    assert.equal(totalsOf(journal, run), before);
    assert.is(isKnownChunk(journal, run.journalRepository, idOf('a')), false);
    assert.equal(durablePrefix(journal, run.journalRepository, 1n), { chunks: 0, bytes: 0 });
    ledger.settle(first!);
    assert.is(isKnownChunk(journal, run.journalRepository, idOf('a')), true);
    assert.equal(durablePrefix(journal, run.journalRepository, 1n), { chunks: 3, bytes: 3000 });
  }),
);

ledger.run();

const again = suite('a file that is read once more');

again('is made of what was read last, though the packs of the first time come in later', () =>
  withDesk(1, ({ ledger, uploaded }) => {
    const second = fileInHand(1, { attempt: 2 });
    const items = function* (): Generator<ReadItem> {
      const [...first] = itemsOf(fileInHand(1), SEVEN);
      yield* first.slice(0, 5); // then it turned out that it had changed
      yield changedItem(second);
      yield* itemsOf(second, ['x', 'a', 'y', 'z']);
    };
    const batches = batchesOf(items());
    for (const batch of batches) ledger.expect(batch);
    for (const batch of batches.toReversed()) ledger.settle(batch);
    assert.equal(uploaded(), { 1: ids('x', 'a', 'y', 'z') });
  }),
);

again('has nothing of the first time left once it has become shorter', () =>
  withDesk(1, ({ ledger, journal, run, uploaded }) => {
    const second = fileInHand(1, { attempt: 2, sizeBytes: 2222 });
    const [...first] = itemsOf(fileInHand(1), SEVEN);
    const batches = batchesOf([...first.slice(0, 6), changedItem(second), ...itemsOf(second, ['x'])]);
    ledger.expect(batches[0]!);
    ledger.settle(batches[0]!);
    assert.equal(durablePrefix(journal, run.journalRepository, 1n), { chunks: 3, bytes: 3000 });
    for (const batch of batches.slice(1)) ledger.expect(batch);
    // Killed here, the next run must not go on behind what the file no longer begins with.
    assert.equal(durablePrefix(journal, run.journalRepository, 1n), { chunks: 0, bytes: 0 });
    for (const batch of batches.slice(1)) ledger.settle(batch);
    assert.equal(uploaded(), { 1: ids('x') });
    const [row] = journalEntries(journal, run.sourceSet);
    assert.is(row?.size, 2222n, 'the manifest tells of what was read');
  }),
);

again('and changed each time is uploaded, and named', () =>
  withDesk(1, ({ ledger, uploaded, failed }) => {
    const third = fileInHand(1, { attempt: 3 });
    const items = [...itemsOf(third, ['a'])].map((item) =>
      item.type === 'end' ? { ...item, torn: true } : item,
    );
    const [batch] = batchesOf([changedItem(third), ...items]);
    ledger.expect(batch!);
    ledger.settle(batch!);
    assert.equal(uploaded(), { 1: ids('a') });
    assert.equal(failed, ['/home/docs/1: changed each time it was read: what was read last is kept']);
  }),
);

again('and cannot be read then is not uploaded, and named', () =>
  withDesk(2, ({ ledger, journal, run, uploaded, failed }) => {
    const [...items] = itemsOf(fileInHand(1), SEVEN);
    const failure: ReadItem = { type: 'failed', file: fileInHand(1), reason: 'input/output error' };
    const batches = batchesOf([...items.slice(0, 4), failure, ...itemsOf(fileInHand(2), ['a'])]);
    for (const batch of batches) ledger.expect(batch);
    for (const batch of batches.toReversed()) ledger.settle(batch);
    assert.equal(uploaded(), { 2: ids('a') });
    assert.equal(failed, ['/home/docs/1: input/output error']);
    const [first] = journalEntries(journal, run.sourceSet);
    assert.is(first?.state, 'unreadable');
  }),
);

again.run();

/** A file's life in one run: what each attempt read, and how the last one ended. */
const anyChunks = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'), { maxLength: 9 });
const anyFile = fc.record({
  attempts: fc.array(anyChunks, { minLength: 1, maxLength: 3 }),
  ends: fc.constantFrom('whole', 'whole', 'whole', 'torn', 'failed'),
  changedBefore: fc.boolean(),
});
const anyLife = fc.record({
  files: fc.array(anyFile, { minLength: 1, maxLength: 6 }),
  chunksInPack: fc.integer({ min: 1, max: 5 }),
  /** Which of the batches in flight is settled next; a number beyond them takes another one in hand. */
  choices: fc.infiniteStream(fc.nat(5)),
  /** The process dies after so many steps. */
  diesAfter: fc.option(fc.nat(25)),
});

type Life = typeof anyLife extends fc.Arbitrary<infer T> ? T : never;
type FileLife = Life['files'][number];

/** The size tells the attempts of a file apart, as its times would. */
function inHand(number: number, attempt: number): FileInHand {
  return fileInHand(number, { attempt, sizeBytes: sizeAfter(attempt) });
}

function sizeAfter(attempts: number): number {
  return 3000 + attempts;
}

function* lifeOf(number: number, { attempts, ends, changedBefore }: FileLife): Generator<ReadItem> {
  for (const [index, chunks] of attempts.entries()) {
    const file = inHand(number, index + 1);
    if (index > 0 || changedBefore) yield changedItem(file);
    for (const item of itemsOf(file, chunks)) {
      if (item.type === 'chunk') yield item;
      else if (index === attempts.length - 1) {
        if (ends === 'failed') yield { type: 'failed', file, reason: 'input/output error' };
        else yield { ...item, torn: ends === 'torn' } as ReadItem;
      }
    }
  }
}

/** The same file as the next run reads it: only from its first chunk on that is not durable. */
function* resumed(desk: Desk, number: number, life: FileLife, size: bigint): Generator<ReadItem> {
  const chunks = life.attempts.at(-1)!;
  const file = fileInHand(number, { sizeBytes: sizeAfter(life.attempts.length) });
  const isAsPlanned = Number(size) === file.sizeBytes;
  if (!isAsPlanned) yield changedItem(file);
  yield* itemsOf(
    file,
    chunks,
    isAsPlanned ? durablePrefix(desk.journal, desk.run.journalRepository, file.entry).chunks : 0,
  );
}

/** Takes batches in hand and settles them as the choices have it. @returns whether it came to the end */
function work(desk: Desk, items: Iterable<ReadItem>, life: Life, check: (desk: Desk) => void): boolean {
  const { journal, run, ledger } = desk;
  const known = createKnownChunks((id) => isKnownChunk(journal, run.journalRepository, id));
  const batches = packItems(items, { known, targetBytes: () => 1000 * life.chunksInPack });
  const inFlight: Batch[] = [];
  let read = false;
  for (let steps = 0; life.diesAfter === null || steps < life.diesAfter; steps += 1) {
    if (read && inFlight.length === 0) return true;
    const choice = life.choices.next().value!;
    if (!read && (choice >= inFlight.length || inFlight.length === 0)) {
      let next = batches.next();
      while (!next.done && next.value === null) next = batches.next();
      if (next.done) read = true;
      else {
        ledger.expect(next.value!);
        inFlight.push(next.value!);
      }
    } else {
      const [batch] = inFlight.splice(choice % inFlight.length, 1);
      ledger.settle(batch!);
      known.settle(batch!.number);
    }
    check(desk);
  }
  return false;
}

const model = suite('any life of a ledger');

model('has as uploaded only files all of whose chunks are durable, and in the end every one', () =>
  withJournal(async (lent) => {
    await fc.assert(
      fc.property(anyLife, (life) => {
        // Each life in a transaction that is taken back: rows are numbered from 1 every time.
        const undo = new Error('undo');
        try {
          lent.journal.sqlite.transaction(() => {
            live(lent, life);
            throw undo;
          })();
        } catch (error) {
          if (error !== undo) throw error;
        }
      }),
      { numRuns: 150 },
    );
  }),
);

function live(lent: Lent, life: Life): void {
  const run = claim(lent);
  const desk = deskAt(lent, run, life.files.length);
  const wanted = (number: string) => ids(...life.files[Number(number) - 1]!.attempts.at(-1)!);

  const check = ({ uploaded }: Desk) => {
    for (const [number, chunks] of Object.entries(uploaded())) {
      assert.equal(chunks, wanted(number), `the chunks of ${number}`);
      for (const chunk of chunks) {
        assert.ok(
          isKnownChunk(lent.journal, run.journalRepository, Buffer.from(chunk, 'hex')),
          `chunk of ${number}`,
        );
      }
    }
  };
  const lives = life.files.map((file, index) => ({ number: index + 1, file }));
  const items = function* () {
    for (const { number, file } of lives) yield* lifeOf(number, file);
  };
  const isThrough = work(desk, items(), life, check);
  if (isThrough) {
    const stillFailing = life.files.filter(({ ends }) => ends !== 'whole').length;
    assert.is(desk.failed.length, stillFailing);
  } else {
    // Another process goes on; the files are at rest now.
    const next = { ...deskAt(lent, run, 0), failed: [] };
    const pending = [...pendingFiles(lent.journal, run.sourceSet)];
    const rest = function* () {
      for (const { id, size } of pending) yield* resumed(next, Number(id), life.files[Number(id) - 1]!, size);
    };
    assert.ok(work(next, rest(), { ...life, diesAfter: null }, check));
  }
  for (const { id, state } of journalEntries(lent.journal, run.sourceSet)) {
    const { ends } = life.files[Number(id) - 1]!;
    if (isThrough) assert.is(state, ends === 'failed' ? 'unreadable' : 'uploaded');
    else assert.ok(state === 'uploaded' || (state === 'unreadable' && ends === 'failed'));
  }
}

model.run();

const counting = suite('the counts of a ledger');

counting('are the files and the bytes that became durable', () =>
  withDesk(2, ({ ledger, journal, run }) => {
    const batches = batchesOf([...itemsOf(fileInHand(1), SEVEN), ...itemsOf(fileInHand(2), ['a'])]);
    let bytes = 0;
    let files = 0;
    for (const batch of batches) {
      ledger.expect(batch);
      const settled = ledger.settle(batch);
      bytes += settled.bytes;
      files += settled.completed.length;
    }
    assert.equal([files, bytes], [2, 8000]);
    assert.is(totalsOf(journal, run).uploadedFiles, 2);
  }),
);

counting.run();
