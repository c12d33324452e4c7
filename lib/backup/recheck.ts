import { lstatSync } from 'node:fs';
import { InterruptedError } from '../errors.ts';
import { createChunker } from '../format/chunker.ts';
import { chunkId } from '../format/keys.ts';
import type { Journal } from '../journal/database.ts';
import { type Entry, type JournalEntry, journalEntries } from '../journal/entries.ts';
import { chunkAt } from '../journal/pieces.ts';
import { resetEntry } from '../journal/planned-entries.ts';
import type { Run } from '../journal/runs.ts';
import { uploadedContent } from '../journal/uploaded-entries.ts';
import type { Progress } from '../progress.ts';
import type { Repository } from '../repository/repository.ts';
import { formatCount } from '../units.ts';
import { pauser } from '../waiting.ts';
import { hasSameContent } from './plan.ts';
import { allocateReadMemory, type ReadDeps, type ReadItem, readFiles } from './read.ts';
import { entryOf } from './scan.ts';

export interface RecheckDeps {
  readonly journal: Journal;
  readonly repository: Pick<Repository, 'keys' | 'config'>;
  readonly run: Run;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly now: () => Date;
}

/**
 * Reads every file that counts as uploaded, and compares its chunks with what the journal says of them. One whose content
 * differs, though its size and times do not, is pending again; of one that is uploaded in part nothing is believed. What
 * has changed by its times is left to the plan, which comes next.
 *
 * On this thread, as nothing else goes on yet. What is found is recorded at once: a kill costs the looking only.
 * @returns how many files could not be read: they stay in the backup as they were uploaded
 * @throws InterruptedError when the signal was given
 */
export async function recheckFiles(deps: RecheckDeps): Promise<number> {
  const { journal, repository, run, progress, now } = deps;
  const chunker = createChunker(repository.keys.gear, repository.config.chunker);
  const reading: ReadDeps = { chunker, durablePrefix: () => ({ chunks: 0, bytes: 0 }), now };
  const memory = allocateReadMemory(chunker);
  const pause = pauser();
  const takeTurn = async () => {
    await pause();
    if (deps.signal.aborted)
      throw new InterruptedError('back up: interrupted while comparing what is uploaded');
  };
  const { files, bytes } = uploadedContent(journal, run.sourceSet);
  progress({ type: 'checking', what: 'files that count as uploaded' });
  progress({ type: 'check_planned', unit: 'file', total: files, totalBytes: bytes });

  let [done, doneBytes, differing, failures] = [0, 0, 0, 0];
  for (const row of journalEntries(journal, run.sourceSet)) {
    await takeTurn();
    if (row.type !== 'file' || row.size === 0n || row.state === 'unreadable') continue;
    if (row.state === 'pending') {
      if (chunkAt(journal, row.id, 0) !== null) resetEntry(journal, run, row.id, row);
      continue;
    }
    const found = findUnchanged(row);
    if (found !== null) {
      const verdict = await compare(row, readFiles([{ ...row, ...found }], reading, memory), deps, (read) => {
        progress({ type: 'checked', done, doneBytes: doneBytes + read });
        return takeTurn();
      });
      if (verdict === 'other content' || verdict === 'changing') resetEntry(journal, run, row.id, found);
      if (verdict === 'other content') differing += 1;
      if (verdict === 'unreadable') failures += 1;
    }
    done += 1;
    doneBytes += Number(row.size);
    progress({ type: 'checked', done, doneBytes });
  }
  const text = `${formatCount(files, 'uploaded file')} compared: ${differing === 0 ? 'none has' : `${differing} with`} other content than was uploaded`;
  progress({ type: 'notice', text });
  return failures;
}

type Verdict = 'same' | 'other content' | 'changing' | 'unreadable';

/** @param onRead awaited after each chunk, with the bytes read so far */
async function compare(
  row: JournalEntry,
  items: Iterable<ReadItem>,
  { journal, repository, progress }: RecheckDeps,
  onRead: (bytes: number) => Promise<void>,
): Promise<Verdict> {
  const path = row.path.toString();
  const differs = (): Verdict => {
    if (findUnchanged(row) === null) return 'changing';
    const text = `${path} has other content than was uploaded, though its size and times are the same`;
    progress({ type: 'notice', text });
    return 'other content';
  };
  let bytes = 0;
  for (const item of items) {
    if (item.type === 'changed') return 'changing';
    if (item.type === 'end') return chunkAt(journal, row.id, item.chunks) === null ? 'same' : differs();
    if (item.type === 'failed') {
      if (findUnchanged(row) === null) return 'changing';
      const reason = `${item.reason}: it is not compared, and stays as it was uploaded`;
      progress({ type: 'entry_failed', path, reason });
      return 'unreadable';
    }
    const uploaded = chunkAt(journal, row.id, item.position);
    if (!uploaded?.equals(chunkId(repository.keys, item.bytes))) return differs();
    bytes += item.bytes.length;
    await onRead(bytes);
  }
  return 'changing';
}

/** @returns the file as it is found now, or `null` when the plan will not take it for unchanged */
function findUnchanged(row: JournalEntry): Entry | null {
  try {
    const found = entryOf(row.path, lstatSync(row.path, { bigint: true }), null);
    return hasSameContent(row, found) ? found : null;
  } catch {
    return null; // the scan, which comes next, says why
  }
}
