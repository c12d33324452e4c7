/**
 * Makes the frozen vectors of format 1: `node spec/format/make-vectors.ts`. Made once; what is released has to stay
 * readable for ever, so they are never made again, and this refuses to.
 *
 * `vectors/format-1/repository` is a whole small repository as it lies on a remote, `expected.json` what a reader finds in
 * it, `manifest.jsonl` the complete backup's manifest in clear. Everything follows from fixed seeds.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type BackupHeader, encodeBackupHeader } from '../../lib/format/backup-header.ts';
import {
  type ChunkSizes,
  createChunker,
  DATA_CHUNK_SIZES,
  MANIFEST_CHUNK_SIZES,
} from '../../lib/format/chunker.ts';
import { compressChunk } from '../../lib/format/compress.ts';
import { contentName, sealObject } from '../../lib/format/envelope.ts';
import { wrapMasterKey } from '../../lib/format/key-file.ts';
import { chunkId, deriveBytes } from '../../lib/format/keys.ts';
import { type Entry, encodeEntry } from '../../lib/format/manifest.ts';
import { createPackBuilder, type SealedPack } from '../../lib/format/pack.ts';
import { encodePackIndex } from '../../lib/format/pack-index.ts';
import { encodeRepositoryConfig } from '../../lib/format/repository-config.ts';
import { seededBytes, testKeys, testMaster } from './fixtures.ts';

const FOLDER = join(import.meta.dirname, 'vectors', 'format-1');
const PASSWORD = 'correct horse bättery stäple';
/** Small, so that small files have many chunks. */
const CONFIG = {
  repositoryId: '3e1f7a52-9c0d-4b6e-8a21-5d4c3b2a1f00',
  chunker: { min: 512, avg: 2048, max: 8192 },
  manifestChunker: { min: 128, avg: 1024, max: 2048 },
};

const CLAIMS = ['0b5e8c4e-6d0f-4d3a-9a55-1f2e3d4c5b6a', 'c2a7f3d1-8e4b-4f60-b1c9-7a6d5e4f3c2b'];
/** What the later checkpoint says beside. */
const LATER = {
  backupId: '20251110_080000',
  progress: {
    totalFiles: 12,
    totalBytes: 40_000,
    updatedAt: new Date('2025-11-10T08:01:00Z'),
    owner: { pid: 4711, startedAt: '123456', bootId: '6a1b0b8e-0000-4000-8000-000000000000' },
  },
};

const keys = testKeys();
const salt = (what: string) => seededBytes(32, `salt of ${what}`);

function write(name: string, bytes: Uint8Array | string): void {
  const path = join(FOLDER, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}

function chunksOf(bytes: Buffer, sizes: ChunkSizes): Buffer[] {
  const { nextCut } = createChunker(keys.gear, sizes);
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunks.at(-1)!.length) {
    chunks.push(bytes.subarray(at, at + nextCut(bytes, at, bytes.length, true)));
  }
  return chunks;
}

/** Puts what is new among the chunks into a pack, in their order, and writes it. */
function writePack(chunks: readonly Buffer[], what: string, known: Set<string>): SealedPack {
  const builder = createPackBuilder(keys, Buffer.alloc(1024 * 1024), salt(what));
  for (const chunk of chunks) {
    const id = chunkId(keys, chunk);
    if (known.has(id.toString('hex'))) continue;
    known.add(id.toString('hex'));
    const compressed = compressChunk(chunk);
    if (compressed === null) builder.add(id, 0, chunk);
    else builder.add(id, 1, compressed, chunk.length);
  }
  const pack = builder.seal();
  write(`repository/packs/${pack.name.slice(0, 2)}/${pack.name}`, pack.bytes);
  return pack;
}

const idsOf = (chunks: readonly Buffer[]) => Buffer.concat(chunks.map((chunk) => chunkId(keys, chunk)));

/** @returns the entries in byte order, and the content of each file by its path in hexadecimal */
function makeEntries(): { entries: Entry[]; contents: Map<string, Buffer> } {
  const contents = new Map<string, Buffer>();
  let inode = 100n;
  const facts = (path: string | Buffer, mode: number) => {
    inode += 1n;
    const mtimeNs = 1_762_525_230_123_456_789n + inode;
    return {
      path: Buffer.from(path as string),
      mode,
      uid: 1000,
      gid: 100,
      mtimeNs,
      ctimeNs: mtimeNs + 1n,
      inode,
    };
  };
  const file = (path: string | Buffer, content: Buffer, link: string | null = null): Entry => {
    contents.set(Buffer.from(path as string).toString('hex'), content);
    const chunks = idsOf(chunksOf(content, CONFIG.chunker));
    return { ...facts(path, 0o644), type: 'file', size: content.length, link, chunks };
  };
  const linked = { content: Buffer.from('one file under two names\n'), link: '2049:999' };
  const entries: Entry[] = [
    { ...facts('/', 0o755), type: 'folder' },
    { ...facts('/home', 0o755), type: 'folder' },
    { ...facts('/home/anna', 0o700), type: 'folder' },
    file('/home/anna/compressible.txt', Buffer.alloc(10_000, 'All work and no play. ')),
    { ...facts('/home/anna/console', 0o600), type: 'character_device', device: 1281n },
    { ...facts('/home/anna/disk', 0o660), type: 'block_device', device: 2048n },
    file('/home/anna/empty', Buffer.alloc(0)),
    { ...facts('/home/anna/empty folder', 0o1777), type: 'folder' },
    file('/home/anna/hard link 1', linked.content, linked.link),
    file('/home/anna/hard link 2', linked.content, linked.link),
    { ...facts('/home/anna/last century', 0o755), mtimeNs: -86_400_000_000_001n, type: 'folder' },
    { ...facts('/home/anna/link', 0o777), type: 'symlink', target: Buffer.from('../nowhere') },
    {
      ...facts('/home/anna/link to latin-1', 0o777),
      type: 'symlink',
      target: Buffer.from('caf\xe9', 'latin1'),
    },
    file('/home/anna/one byte', Buffer.from('x')),
    { ...facts('/home/anna/pipe', 0o644), type: 'fifo' },
    file('/home/anna/quotes " and \\ and \n', Buffer.from('text')),
    file('/home/anna/random', seededBytes(30_000, 'random file')),
    { ...facts('/home/anna/socket', 0o755), type: 'socket' },
    file(Buffer.from('/home/anna/caf\xe9', 'latin1'), Buffer.from('a name in latin-1')),
    file('/home/anna/café 🔑', Buffer.from('a name in UTF-8')),
  ];
  entries.sort((a, b) => Buffer.compare(a.path, b.path));
  return { entries, contents };
}

async function makeVectors(): Promise<void> {
  const keyFile = await wrapMasterKey(testMaster(), PASSWORD, {
    repositoryId: CONFIG.repositoryId,
    createdAt: new Date('2025-11-07T14:20:00Z'),
    label: 'Annas Schlüssel',
    salt: salt('key file'),
  });
  write('repository/skylock.json', encodeRepositoryConfig(CONFIG, keys));
  write(`repository/keys/${contentName(keyFile).slice(0, 16)}.json`, keyFile);

  const { entries, contents } = makeEntries();
  const manifest = Buffer.concat(entries.map(encodeEntry));
  const partial = Buffer.concat(entries.slice(0, 8).map(encodeEntry));
  const manifestChunks = chunksOf(manifest, CONFIG.manifestChunker);
  const partialChunks = chunksOf(partial, CONFIG.manifestChunker);
  const known = new Set<string>();
  const packs = [
    writePack(
      [...contents.values()].flatMap((content) => chunksOf(content, CONFIG.chunker)),
      'data pack',
      known,
    ),
    writePack([...partialChunks, ...manifestChunks], 'manifest pack', known),
  ];
  const index = sealObject(
    keys,
    'index',
    '',
    encodePackIndex(
      packs.map(({ name, bytes, directory }) => ({ name, sizeBytes: bytes.length, directory })),
    ),
    salt('index'),
  );
  write(`repository/index/${contentName(index)}`, index);

  const complete: BackupHeader = {
    backupId: '20251107_142030',
    state: 'complete',
    startedAt: new Date('2025-11-07T14:20:30Z'),
    finishedAt: new Date('2025-11-07T14:21:30Z'),
    host: 'annas-notebook',
    sourcePaths: [Buffer.from('/home/anna'), Buffer.from('/caf\xe9', 'latin1')],
    matchKey: contentName(Buffer.from('match key')),
    files: contents.size,
    folders: entries.filter(({ type }) => type === 'folder').length,
    bytes: [...contents.values()].reduce((sum, { length }) => sum + length, 0),
    unreadable: 1,
    program: 'skylock 0.1.0',
    claims: [],
    progress: null,
    manifest: { sizeBytes: manifest.length, chunks: idsOf(manifestChunks) },
  };
  const unfinished: BackupHeader = {
    ...complete,
    backupId: '20251108_090000',
    state: 'unfinished',
    finishedAt: null,
    manifest: { sizeBytes: partial.length, chunks: idsOf(partialChunks) },
  };
  for (const [kind, name, header] of [
    ['backup', 'backups/20251107_142030', complete],
    ['checkpoint', 'resume/20251108_090000', unfinished],
    ['backup', 'backups/20251109_080000', { ...complete, backupId: '20251109_080000', claims: CLAIMS }],
    ['checkpoint', 'resume/20251110_080000', { ...unfinished, ...LATER, claims: CLAIMS }],
  ] as const) {
    write(`repository/${name}`, sealObject(keys, kind, name, encodeBackupHeader(header), salt(name)));
  }

  write('manifest.jsonl', manifest);
  const stream = seededBytes(4 * 1024 * 1024, 'boundaries');
  const lengthsOf = (sizes: ChunkSizes, bytes: Buffer) => chunksOf(bytes, sizes).map(({ length }) => length);
  const expected = {
    password: PASSWORD,
    master_key: testMaster().export().toString('hex'),
    chunk_id_key: deriveBytes(testMaster(), 'chunk-id', '', 32).toString('hex'),
    gear_first_and_last: [keys.gear[0], keys.gear[255]],
    chunks: known.size,
    backups: {
      'backups/20251107_142030': entries.length,
      'resume/20251108_090000': 8,
      'backups/20251109_080000': entries.length,
      'resume/20251110_080000': 8,
    },
    claims: CLAIMS,
    contents_sha256_by_path_in_hex: Object.fromEntries(
      [...contents].map(([path, content]) => [path, contentName(content)]),
    ),
    boundaries: {
      stream: "SHA-256('boundaries:0') || SHA-256('boundaries:1') || ..., 4 MiB",
      stream_sha256: contentName(stream),
      data_chunk_lengths: lengthsOf(DATA_CHUNK_SIZES, stream),
      manifest_chunk_lengths: lengthsOf(MANIFEST_CHUNK_SIZES, stream.subarray(0, 1024 * 1024)),
    },
  };
  write('expected.json', `${JSON.stringify(expected, null, 2)}\n`);
}

if (existsSync(FOLDER)) throw new Error('the vectors are there already, and frozen');
await makeVectors();
