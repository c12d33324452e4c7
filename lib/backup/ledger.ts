import type { Journal } from '../journal/database.ts';
import { resetEntry } from '../journal/planned-entries.ts';
import type { Run } from '../journal/runs.ts';
import { markUnreadable, type ReadFile, recordUploaded } from '../journal/uploading.ts';
import { type Batch, durablePack } from './pack.ts';
import type { FileInHand } from './read.ts';

/** Keeps account of which files still wait for which batches, and writes both down once they are durable. */
export interface Ledger {
  /** The batch is about to be put. Batches come in the order of their numbers. */
  expect(batch: Batch): void;
  /**
   * Order 3: the batch's pack is durable, so it is recorded, in one transaction with the files it completes. Batches
   * come in any order.
   */
  settle(batch: Batch): Settled;
}

export interface Settled {
  readonly completed: readonly Buffer[];
  /** Bytes of the pieces that are durable now. */
  readonly bytes: number;
}

interface Waiting {
  readonly file: FileInHand;
  /** How many batches that hold one of the file's chunks or pieces are not settled. */
  batches: number;
  /** Set once the file was read to its end. */
  ended: ReadFile | null;
}

export function createLedger(
  journal: Journal,
  run: Run,
  { now, onFailed }: { now: () => Date; onFailed: (file: FileInHand, reason: string) => void },
): Ledger {
  const waiting = new Map<bigint, Waiting>();
  /** Of each batch that is not settled, the files that wait for it. */
  const filesOf = new Map<number, Set<Waiting>>();

  /** The file's record of its present attempt; one of an earlier attempt is thrown away. */
  const waitingFor = (file: FileInHand): Waiting => {
    const found = waiting.get(file.entry);
    if (found && found.file.attempt >= file.attempt) return found;
    const begun = { file, batches: 0, ended: null };
    waiting.set(file.entry, begun);
    return begun;
  };
  const wait = (one: Waiting, batch: number) => {
    const files = filesOf.get(batch);
    if (files === undefined || files.has(one)) return; // settled, or waited for already
    files.add(one);
    one.batches += 1;
  };

  return {
    expect(batch) {
      filesOf.set(batch.number, new Set());
      for (const { file, entry } of batch.changed) {
        waitingFor(file);
        resetEntry(journal, run, file.entry, entry);
      }
      for (const { file, needs } of batch.pieces) {
        const one = waitingFor(file);
        wait(one, batch.number);
        if (needs !== null) wait(one, needs);
      }
      for (const { file, chunks, bytes, torn } of batch.ended) {
        const one = waitingFor(file);
        one.ended = { entry: file.entry, chunks, bytes, torn };
        wait(one, batch.number);
        if (torn) onFailed(file, 'changed each time it was read: what was read last is kept');
      }
      for (const { file, reason } of batch.failed) {
        waiting.delete(file.entry);
        markUnreadable(journal, file.entry);
        onFailed(file, reason);
      }
    },

    settle(batch) {
      // Pieces of an attempt that was given up must not overwrite those of the one that followed.
      const pieces = function* () {
        for (const piece of batch.pieces) {
          const { entry, attempt } = piece.file;
          if (waiting.get(entry)?.file.attempt === attempt) yield piece;
        }
      };
      let bytes = 0;
      for (const { sizeBytes } of pieces()) bytes += sizeBytes;
      const completed: Waiting[] = [];
      for (const one of filesOf.get(batch.number) ?? []) {
        one.batches -= 1;
        const isCurrent = waiting.get(one.file.entry) === one;
        if (isCurrent && one.ended !== null && one.batches === 0) completed.push(one);
      }
      filesOf.delete(batch.number);
      recordUploaded(
        journal,
        run,
        {
          pack: durablePack(batch),
          pieces: pieces().map(({ file, position, chunk }) => ({ entry: file.entry, position, chunk })),
          completed: completed.map(({ ended }) => ended!),
          bytes,
        },
        now(),
      );
      for (const { file } of completed) waiting.delete(file.entry);
      return {
        completed: completed.map(({ file }) => file.path),
        bytes,
      };
    },
  };
}
