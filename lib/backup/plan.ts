import { setImmediate } from 'node:timers/promises';
import { InterruptedError } from '../errors.ts';
import type { Journal } from '../journal/database.ts';
import { type Entry, type JournalEntry, journalEntries } from '../journal/entries.ts';
import { partlyUploadedBytes } from '../journal/pieces.ts';
import { applyPlan, type PlanBatch } from '../journal/planned-entries.ts';
import type { Run } from '../journal/runs.ts';
import { recordTotals, type Totals } from '../journal/totals.ts';
import { EVERY_PATH, type PathRange } from '../journal/uploading.ts';
import type { Progress } from '../progress.ts';
import type { Found } from './scan.ts';

/** One transaction each, and between them a breath for signals, timers and the screen. */
const BATCH = 500;

export interface Plan extends Totals {
  /** Entries the scan could not look at. */
  readonly failures: number;
}

/**
 * Compares what is there with what the journal knows, both in byte order of the paths, and writes down what is new,
 * changed or gone. What is unchanged and uploaded is not touched, and never opened.
 */
export async function plan(
  found: Iterable<Found>,
  sources: readonly Buffer[],
  {
    journal,
    run,
    progress,
    signal,
    now,
    onPlanned = () => {},
  }: {
    readonly journal: Journal;
    readonly run: Run;
    readonly progress: Progress;
    readonly signal: AbortSignal;
    readonly now: () => Date;
    /** Told of each range whose files are written down, where some of them are pending: of so many bytes. */
    readonly onPlanned?: (range: PathRange, bytes: number) => void;
  },
): Promise<Plan> {
  const totals = { totalFiles: 0, totalBytes: 0, uploadedFiles: 0, uploadedBytes: 0, failures: 0 };
  const bySource = sources.map((path) => ({ path: path.toString(), files: 0, bytes: 0, begun: false }));
  const known = journalEntries(journal, run.sourceSet);
  let row = known.next();
  let batch = emptyBatch();
  /** Of the entries that were looked at and not told of yet. */
  let range = { after: EVERY_PATH.after, upTo: EVERY_PATH.after };
  let pending = { files: 0, bytes: 0 };

  const flush = async () => {
    applyPlan(journal, run, batch);
    batch = emptyBatch();
    if (pending.files > 0) onPlanned(range, pending.bytes);
    range = { after: range.upTo, upTo: range.upTo };
    pending = { files: 0, bytes: 0 };
    await setImmediate();
    if (signal.aborted) throw new InterruptedError('back up: interrupted while scanning');
  };
  const dropRowsBefore = (path: Buffer | null) => {
    for (; !row.done && (path === null || row.value.path.compare(path) < 0); row = known.next()) {
      batch.gone.push(row.value.id);
    }
  };

  let looked = 0;
  for (const item of found) {
    looked += 1;
    if (looked % BATCH === 0) await flush();
    if (item.type === 'failed') {
      totals.failures += 1;
      progress({ type: 'entry_failed', path: item.path.toString(), reason: item.reason });
      continue;
    }
    const source = bySource[item.source]!;
    if (!source.begun) progress({ type: 'source_scanning', path: source.path });
    source.begun = true;
    if (item.type === 'source_end') {
      progress({ type: 'source_scanned', path: source.path, files: source.files, bytes: source.bytes });
      continue;
    }
    const { entry } = item;
    dropRowsBefore(entry.path);
    const before = !row.done && row.value.path.equals(entry.path) ? row.value : null;
    if (before) row = known.next();
    const uploaded = sortInto(batch, before, entry);
    range.upTo = entry.path;
    if (entry.type !== 'file') continue;
    const bytes = Number(entry.size);
    source.files += 1;
    source.bytes += bytes;
    totals.totalFiles += 1;
    totals.totalBytes += bytes;
    if (!uploaded) {
      pending.files += 1;
      pending.bytes += bytes;
      continue;
    }
    totals.uploadedFiles += 1;
    totals.uploadedBytes += bytes;
  }
  dropRowsBefore(null);
  await flush();
  totals.uploadedBytes += partlyUploadedBytes(journal, run);
  recordTotals(journal, run, totals, now());
  const { failures, ...counts } = totals;
  progress({ type: 'planned', ...counts });
  return totals;
}

interface Batch extends PlanBatch {
  readonly added: Entry[];
  readonly changed: { id: bigint; entry: Entry }[];
  readonly moved: { id: bigint; entry: Entry; state: 'pending' | 'uploaded' }[];
  readonly gone: bigint[];
}

function emptyBatch(): Batch {
  return { added: [], changed: [], moved: [], gone: [] };
}

/** @returns whether nothing of the entry is left to upload */
function sortInto(batch: Batch, before: JournalEntry | null, entry: Entry): boolean {
  if (before === null) batch.added.push(entry);
  else if (hasSameContent(before, entry) && before.state !== 'unreadable') {
    if (!hasSameAttributes(before, entry)) batch.moved.push({ id: before.id, entry, state: before.state });
    return before.state === 'uploaded';
  } else batch.changed.push({ id: before.id, entry });
  return entry.size === 0n;
}

/**
 * The device's number may change from boot to boot, and of what a checkpoint told little else is right. Of everything else
 * the ctime would tell: a row that differs is not as it was written, and what is there now is what counts.
 */
function hasSameAttributes(before: Entry, entry: Entry): boolean {
  return (
    ATTRIBUTES.every((name) => before[name] === entry[name]) &&
    (before.target ?? NO_TARGET).equals(entry.target ?? NO_TARGET)
  );
}

const ATTRIBUTES = ['ctimeNs', 'inode', 'device', 'links', 'mode', 'uid', 'gid', 'specialDevice'] as const;
const NO_TARGET = Buffer.alloc(0);

/** ctime tells of every change to content, mode, owner and links. */
export function hasSameContent(before: Entry, entry: Entry): boolean {
  const isSame = before.type === entry.type && before.size === entry.size && before.mtimeNs === entry.mtimeNs;
  // What a checkpoint told of has no inode and no ctime that mean anything here.
  const isImported = before.inode === 0n;
  return isSame && (isImported || (before.ctimeNs === entry.ctimeNs && before.inode === entry.inode));
}
