import { DamagedError, SkylockError } from '../errors.ts';
import { bytesField, Fields } from './fields.ts';
import { CHUNK_ID_BYTES } from './keys.ts';
import { findPathFault, liesUnder, MAX_PATH_BYTES } from './path.ts';

/** One more with each change of what entries become in a manifest, or of how that is cut: those that are remembered are made anew. */
export const MANIFEST_EDITION = 1;
export const MAX_LINE_BYTES = 256 * 1024 * 1024;
const MAX_PIECES = 1024;
/** About 7 TB of a file; their ids in base64 fill nearly the whole of a line. */
export const MAX_FILE_CHUNKS = 6_000_000;

const TYPES = ['file', 'folder', 'symlink', 'fifo', 'socket', 'character_device', 'block_device'] as const;
const MAX_U32 = 0xffff_ffff;
const LINK = /^\d{1,20}:\d{1,20}$/;
const NEWLINE = 0x0a;

interface CommonFacts {
  /** Absolute, `/` between its parts; bytes, not text. */
  readonly path: Buffer;
  /** The permission bits, `0o0000` to `0o7777`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly inode: bigint;
}

export interface FileEntry extends CommonFacts {
  readonly type: 'file';
  /** Of the content that was stored. */
  readonly size: number;
  /** `device:inode` of a file with more than one name: entries with the same one are the same file. */
  readonly link: string | null;
  /** Ids of its chunks, one after the other. */
  readonly chunks: Buffer;
}

export interface SymlinkEntry extends CommonFacts {
  readonly type: 'symlink';
  readonly target: Buffer;
}

export interface DeviceEntry extends CommonFacts {
  readonly type: 'character_device' | 'block_device';
  /** `st_rdev` as the system gave it. */
  readonly device: bigint;
}

export interface PlainEntry extends CommonFacts {
  readonly type: 'folder' | 'fifo' | 'socket';
}

/** One file, folder, symlink or special file of a backup. */
export type Entry = FileEntry | SymlinkEntry | DeviceEntry | PlainEntry;

/**
 * *Shape*: a line of JSON in UTF-8, ended by a newline.
 * @throws SkylockError when the file has more chunks than a line can hold
 */
export function encodeEntry(entry: Entry): Buffer {
  // By hand, since JSON.stringify takes four times as long and there may be millions of entries
  const line =
    `{${bytesField('path', entry.path)},"type":"${entry.type}","mode":${entry.mode & 0o7777},` +
    `"uid":${entry.uid},"gid":${entry.gid},"mtime_ns":"${entry.mtimeNs}","ctime_ns":"${entry.ctimeNs}",` +
    `"inode":"${entry.inode}"${ownFields(entry)}}\n`;
  return Buffer.from(line, 'utf8');
}

/**
 * @param line without its newline
 * @throws DamagedError unless it is an entry
 */
export function decodeEntry(line: Uint8Array, task = 'read manifest'): Entry {
  const fields = Fields.parse(line, task);
  const type = fields.oneOf('type', TYPES);
  const facts = {
    path: decodePath(fields),
    mode: fields.integer('mode', 0, 0o7777),
    uid: fields.integer('uid', 0, MAX_U32),
    gid: fields.integer('gid', 0, MAX_U32),
    mtimeNs: fields.decimal('mtime_ns'),
    ctimeNs: fields.decimal('ctime_ns'),
    inode: fields.decimal('inode'),
  };
  switch (type) {
    case 'file':
      return { ...facts, type, ...decodeContent(fields) };
    case 'symlink':
      return { ...facts, type, target: decodeTarget(fields) };
    case 'character_device':
    case 'block_device':
      return { ...facts, type, device: fields.decimal('device') };
    default:
      return { ...facts, type };
  }
}

/**
 * The entries of a manifest, which comes in pieces cut anywhere; each piece is looked at until the next is asked for.
 * @throws DamagedError at the first line that is no entry, does not follow the one before it in the byte order of
 * paths, or lies under something that is no folder
 */
export async function* decodeManifest(
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Entry, void, void> {
  const follow = pathOrder();
  let count = 0;
  for await (const line of splitLines(pieces)) {
    count += 1;
    const task = `read manifest: line ${count}`;
    const entry = decodeEntry(line, task);
    const fault = follow(entry);
    if (fault !== null) throw new DamagedError(`${task}: its path ${fault}`);
    yield entry;
  }
}

/** The ids in {@link FileEntry.chunks}, as views into it. */
export function* splitChunkIds(chunks: Buffer): Generator<Buffer, void, void> {
  if (chunks.length === CHUNK_ID_BYTES) return yield chunks; // most files' only one needs no view
  for (let at = 0; at < chunks.length; at += CHUNK_ID_BYTES) yield chunks.subarray(at, at + CHUNK_ID_BYTES);
}

function ownFields(entry: Entry): string {
  switch (entry.type) {
    case 'file':
      if (entry.chunks.length > MAX_FILE_CHUNKS * CHUNK_ID_BYTES) {
        throw new SkylockError(`store ${entry.path.toString()}: it is too large for format 1`);
      }
      return (
        `,"size":${entry.size}${entry.link === null ? '' : `,"link":"${entry.link}"`}` +
        `,"chunks":"${entry.chunks.toString('base64')}"`
      );
    case 'symlink':
      return `,${bytesField('target', entry.target)}`;
    case 'character_device':
    case 'block_device':
      return `,"device":"${entry.device}"`;
    default:
      return '';
  }
}

function decodePath(fields: Fields): Buffer {
  const path = fields.bytes('path');
  const fault = findPathFault(path);
  if (fault !== null) throw fields.fail(`its path ${fault}`);
  return path;
}

function decodeTarget(fields: Fields): Buffer {
  const target = fields.bytes('target');
  if (target.length === 0 || target.length > MAX_PATH_BYTES || target.includes(0)) {
    throw fields.fail('target is malformed');
  }
  return target;
}

function decodeContent(fields: Fields): Pick<FileEntry, 'size' | 'link' | 'chunks'> {
  const size = fields.integer('size', 0, Number.MAX_SAFE_INTEGER);
  const link = fields.has('link') ? fields.text('link', LINK) : null;
  const chunks = fields.base64('chunks');
  const count = chunks.length / CHUNK_ID_BYTES;
  // Each chunk has a byte at least, and no content means no chunk
  if (!Number.isInteger(count) || count > size || (size > 0 && count === 0))
    throw fields.fail('chunks is malformed');
  return { size, link, chunks };
}

/** @returns a judge of one entry after the other: what is wrong with the entry's path, or `null` */
function pathOrder(): (entry: Entry) => string | null {
  let previous: Buffer | null = null;
  // Entries that are no folders and may still be followed by paths under them: each begins like the one before it,
  // since `/a` `/a-b` `/a/c` is an order that can be.
  const leaves: Buffer[] = [];
  return ({ path, type }) => {
    if (previous !== null && Buffer.compare(previous, path) >= 0) return 'does not follow the one before it';
    previous = path;
    while (leaves.length > 0 && !startsWith(path, leaves.at(-1)!)) leaves.pop();
    if (leaves.some((leaf) => liesUnder(path, leaf))) return 'lies under what is no folder';
    if (type !== 'folder') leaves.push(path);
    return null;
  };
}

function startsWith(path: Buffer, start: Buffer): boolean {
  return path.length >= start.length && path.compare(start, 0, start.length, 0, start.length) === 0;
}

/** @throws DamagedError when a line is too long, or the last one has no end */
async function* splitLines(
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  let begun: Uint8Array[] = [];
  let begunBytes = 0;
  for await (const piece of pieces) {
    let start = 0;
    for (let end = piece.indexOf(NEWLINE); end !== -1; end = piece.indexOf(NEWLINE, start)) {
      const rest = piece.subarray(start, end);
      yield begun.length === 0 ? rest : Buffer.concat([...begun, rest]);
      begun = [];
      begunBytes = 0;
      start = end + 1;
    }
    if (start === piece.length) continue;
    begun.push(Buffer.from(piece.subarray(start))); // a copy: the piece is its owner's again when the next is asked for
    begunBytes += piece.length - start;
    if (begunBytes > MAX_LINE_BYTES) throw new DamagedError('read manifest: a line is too long');
    // Of very small pieces the list would take up more than they do.
    if (begun.length === MAX_PIECES) begun = [Buffer.concat(begun)];
  }
  if (begun.length > 0) throw new DamagedError('read manifest: it ends inside a line');
}
