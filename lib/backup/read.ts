import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { Chunker } from '../format/chunker.ts';
import type { Entry, JournalEntry } from '../journal/entries.ts';
import { entryOf, reasonOf } from './scan.ts';

/** A file being read. One that changes meanwhile is read again from its start: another attempt. */
export interface FileInHand {
  readonly entry: bigint;
  readonly path: Buffer;
  readonly sizeBytes: number;
  readonly attempt: number;
}

export type ReadItem =
  /** The file is not what the scan saw: this is what it is now. Comes before any of its chunks. */
  | { readonly type: 'changed'; readonly file: FileInHand; readonly entry: Entry }
  /** `bytes` is a view into the memory that is read into: it holds as long as that does. */
  | { readonly type: 'chunk'; readonly file: FileInHand; readonly position: number; readonly bytes: Buffer }
  | {
      readonly type: 'end';
      readonly file: FileInHand;
      readonly chunks: number;
      readonly bytes: number;
      /** It changed each time it was read: what was read last is kept, and may be half old and half new. */
      readonly torn: boolean;
    }
  | { readonly type: 'failed'; readonly file: FileInHand; readonly reason: string };

export interface ReadDeps<File extends JournalEntry = JournalEntry> {
  readonly chunker: Chunker;
  /** How many of the file's first chunks are durable, and the bytes they cover: reading goes on behind them. */
  readonly durablePrefix: (file: File) => { readonly chunks: number; readonly bytes: number };
  readonly now: () => Date;
}

/** What files are read into, one behind the other. */
export interface ReadMemory {
  /** More than the largest chunk. */
  bytes: Buffer;
  /** Where the next file goes: before it lie chunks that may still be needed. */
  used: number;
  /** Called when `bytes` is full: what lies from `start` on has to be at the beginning of `bytes` afterwards. */
  renew(start: number): void;
}

/** How often a file that changes while it is read is read at most. */
const ATTEMPTS = 3;
/** Two chunks of the largest size: what has to be moved to the front is small beside what is read. */
const CHUNKS_HELD = 2;

/** Memory for one file after another: a chunk holds until the next item is asked for. */
export function allocateReadMemory({ sizes }: Chunker): ReadMemory {
  return {
    bytes: Buffer.allocUnsafeSlow(CHUNKS_HELD * sizes.max),
    used: 0,
    renew(start) {
      this.bytes.copyWithin(0, start);
      this.used = 0;
    },
  };
}

/** Reads files one after another and cuts them into chunks. */
export function* readFiles<File extends JournalEntry>(
  files: Iterable<File>,
  deps: ReadDeps<File>,
  memory = allocateReadMemory(deps.chunker),
): Generator<ReadItem> {
  for (const file of files) {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const settled = yield* readOnce(file, attempt, memory, deps);
      if (settled) break;
    }
  }
}

/** @returns false when the file changed while it was read and another attempt may find it at rest */
function* readOnce<File extends JournalEntry>(
  row: File,
  attempt: number,
  memory: ReadMemory,
  { chunker, durablePrefix, now }: ReadDeps<File>,
): Generator<ReadItem, boolean> {
  let file: FileInHand = { entry: row.id, path: row.path, sizeBytes: Number(row.size), attempt };
  let descriptor: number | null = null;
  try {
    // A named pipe in the file's place must not make us wait, nor a symlink lead us away.
    descriptor = openSync(row.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = fstatSync(descriptor, { bigint: true });
    const opened = trustTimes(entryOf(row.path, stats, null), now());
    file = { ...file, sizeBytes: Number(opened.size) };
    if (opened.type !== 'file') {
      yield { type: 'failed', file, reason: `became a ${opened.type} while it was being backed up` };
      return true;
    }
    const asPlanned = attempt === 1 && isSame(row, opened);
    if (!asPlanned) yield { type: 'changed', file, entry: opened };
    const prefix = asPlanned ? durablePrefix(row) : { chunks: 0, bytes: 0 };
    const read = yield* readChunks(descriptor, file, prefix, memory, chunker);
    const after = entryOf(row.path, fstatSync(descriptor, { bigint: true }), null);
    const atRest = after.size === BigInt(read.bytes) && isSame(after, { ...opened, ctimeNs: stats.ctimeNs });
    if (!atRest && attempt < ATTEMPTS) return false;
    yield { type: 'end', file, ...read, torn: !atRest };
    return true;
  } catch (error) {
    yield { type: 'failed', file, reason: reasonOf(error) };
    return true;
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}

/** @returns the chunks and bytes of the whole file, those before `from` included */
function* readChunks(
  descriptor: number,
  file: FileInHand,
  from: { readonly chunks: number; readonly bytes: number },
  memory: ReadMemory,
  chunker: Chunker,
): Generator<ReadItem, { chunks: number; bytes: number }> {
  let position = from.chunks;
  let fileOffset = from.bytes;
  let end = memory.used;
  for (let atEof = false; ; ) {
    const start = memory.used;
    const length = chunker.nextCut(memory.bytes, start, end, atEof);
    if (length > 0) {
      memory.used += length;
      yield { type: 'chunk', file, position, bytes: memory.bytes.subarray(start, start + length) };
      position += 1;
      continue;
    }
    if (atEof) return { chunks: position, bytes: fileOffset };
    if (end === memory.bytes.length) {
      memory.renew(start);
      end -= start;
    }
    const wanted = memory.bytes.length - end;
    const got = readSync(descriptor, memory.bytes, end, wanted, fileOffset);
    end += got;
    fileOffset += got;
    // A network's file system may give less than was asked for before the end. Whether the end has moved since the file
    // was opened is looked at afterwards.
    atEof = got === 0 || (got < wanted && fileOffset >= file.sizeBytes);
  }
}

/**
 * A file changed within one tick of the file system's clock from now may change once more without its times telling.
 * Its ctime is not kept, so that the next run reads it again.
 */
function trustTimes(entry: Entry, now: Date): Entry {
  const isCoarse = entry.ctimeNs % 1_000_000_000n === 0n;
  const tickMs = isCoarse ? 2000 : 50;
  const isFresh = entry.ctimeNs > BigInt(now.getTime() - tickMs) * 1_000_000n;
  return isFresh ? { ...entry, ctimeNs: 0n } : entry;
}

function isSame(a: Entry, b: Entry): boolean {
  return (
    a.type === b.type &&
    a.size === b.size &&
    a.mtimeNs === b.mtimeNs &&
    a.ctimeNs === b.ctimeNs &&
    a.inode === b.inode
  );
}
