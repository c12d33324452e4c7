import type { Chunker } from '../format/chunker.ts';
import { encodeEntry, type Entry as ManifestEntry } from '../format/manifest.ts';
import type { JournalEntry } from '../journal/entries.ts';

export interface ManifestCounts {
  files: number;
  folders: number;
  bytes: number;
}

/** An entry of the journal as the manifest has it. */
export function manifestEntry(row: JournalEntry & { readonly chunks: readonly Buffer[] }): ManifestEntry {
  const facts = {
    path: row.path,
    mode: Number(row.mode),
    uid: Number(row.uid),
    gid: Number(row.gid),
    mtimeNs: row.mtimeNs,
    ctimeNs: row.ctimeNs,
    inode: row.inode,
  };
  switch (row.type) {
    case 'file':
      return {
        ...facts,
        type: 'file',
        size: Number(row.size),
        link: row.links > 1n ? `${row.device}:${row.inode}` : null,
        chunks: Buffer.concat(row.chunks),
      };
    case 'symlink':
      return { ...facts, type: 'symlink', target: row.target! };
    case 'character_device':
    case 'block_device':
      return { ...facts, type: row.type, device: row.specialDevice };
    default:
      return { ...facts, type: row.type as 'folder' | 'fifo' | 'socket' };
  }
}

/**
 * Cuts the manifest's lines into chunks by their content, so that unchanged stretches are found to be known.
 * @param counts filled while it runs
 * @yields views that hold until the next one is asked for
 */
export function* cutManifest(
  entries: Iterable<ManifestEntry>,
  chunker: Chunker,
  counts: ManifestCounts,
): Generator<Buffer> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  const cut = function* (atEof: boolean): Generator<Buffer> {
    const bytes = Buffer.concat(pending);
    let start = 0;
    for (;;) {
      const length = chunker.nextCut(bytes, start, bytes.length, atEof);
      if (length === 0) break;
      yield bytes.subarray(start, start + length);
      start += length;
    }
    pending = [bytes.subarray(start)];
    pendingBytes = bytes.length - start;
  };
  for (const entry of entries) {
    const line = encodeEntry(entry);
    pending.push(line);
    pendingBytes += line.length;
    if (entry.type === 'file') {
      counts.files += 1;
      counts.bytes += entry.size;
    } else if (entry.type === 'folder') counts.folders += 1;
    if (pendingBytes >= 4 * chunker.sizes.max) yield* cut(false);
  }
  yield* cut(true);
}
