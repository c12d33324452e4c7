import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError, SkylockError } from '../../lib/errors.ts';
import { type BackupHeader, decodeBackupHeader, encodeBackupHeader } from '../../lib/format/backup-header.ts';
import { MAX_CHUNK_BYTES } from '../../lib/format/chunker.ts';
import { compressChunk } from '../../lib/format/compress.ts';
import { openObject, sealObject } from '../../lib/format/envelope.ts';
import { parseKeyFile, unwrapMasterKey, wrapMasterKey } from '../../lib/format/key-file.ts';
import { chunkId } from '../../lib/format/keys.ts';
import { decodeManifest, type Entry, encodeEntry } from '../../lib/format/manifest.ts';
import {
  createPackBuilder,
  openPackDirectory,
  packDirectoryRange,
  packKey,
  type SealedPack,
} from '../../lib/format/pack.ts';
import { decodeDirectory, RAW, ZSTD } from '../../lib/format/pack-directory.ts';
import { decodePackIndex, encodePackIndex } from '../../lib/format/pack-index.ts';
import {
  encodeRepositoryConfig,
  parseRepositoryConfig,
  verifyRepositoryConfig,
} from '../../lib/format/repository-config.ts';
import { openChunk } from '../../lib/repository/chunks.ts';
import { readPack, seededBytes, testKeys, testMaster } from '../format/fixtures.ts';
import { headerOf } from '../repository/fixtures.ts';
import { anyBytes, anyChangeOf, anyChangeOfJson, holds, holdsInTime, readOrRefuse } from './fuzz.ts';

const KEYS = testKeys();
const NAME = 'backups/20251107_142030';
const REPOSITORY_ID = '00000000-1111-4222-8333-444444444444';

/** Some chunks, of which one shrinks. */
function somePack(...sizes: number[]): SealedPack {
  const builder = createPackBuilder(KEYS, Buffer.alloc(100_000));
  for (const [index, size] of sizes.entries()) {
    const chunk = index === 1 ? Buffer.alloc(size, 'text ') : seededBytes(size, `chunk ${index}`);
    const zstd = compressChunk(chunk);
    builder.add(chunkId(KEYS, chunk), zstd === null ? RAW : ZSTD, zstd ?? chunk, size);
  }
  return builder.seal();
}

const PACK = somePack(700, 3000, 1, 64);
const HEADER: BackupHeader = headerOf('20251107_142030', {
  sourcePaths: [Buffer.from('/home/docs'), Buffer.from('/home/\xff', 'latin1')],
  manifest: { sizeBytes: 4000, chunks: seededBytes(96, 'manifest') },
});
const CHECKPOINT: BackupHeader = {
  ...HEADER,
  state: 'unfinished',
  finishedAt: null,
  progress: {
    totalFiles: 10,
    totalBytes: 20_000,
    updatedAt: new Date('2025-11-07T14:21:30Z'),
    owner: { pid: 7, startedAt: '123', bootId: 'boot' },
  },
};
const INDEX = encodePackIndex(
  [PACK, somePack(5, 100)].map(({ name, bytes, directory }) => ({
    name,
    sizeBytes: bytes.length,
    directory,
  })),
);

const FACTS = { mode: 0o644, uid: 1, gid: 2, mtimeNs: 3n, ctimeNs: 4n, inode: 5n };
const ENTRIES: readonly Entry[] = [
  { ...FACTS, path: Buffer.from('/a'), type: 'folder' },
  {
    ...FACTS,
    path: Buffer.from('/a/b'),
    type: 'file',
    size: 70,
    link: '1:5',
    chunks: seededBytes(64, 'ids'),
  },
  { ...FACTS, path: Buffer.from('/a/c\xff', 'latin1'), type: 'symlink', target: Buffer.from('../b') },
  { ...FACTS, path: Buffer.from('/a/d'), type: 'block_device', device: 2049n },
  { ...FACTS, path: Buffer.from('/a/e'), type: 'fifo' },
];
const MANIFEST = Buffer.concat(ENTRIES.map(encodeEntry));

const sealed = suite('bytes in place of a sealed object');

for (const kind of ['index', 'backup', 'checkpoint'] as const) {
  const object = sealObject(KEYS, kind, NAME, seededBytes(300, kind));
  sealed(`(${kind}) are refused, unless they are the object`, () => {
    const open = (bytes: Buffer) => readOrRefuse(() => openObject(KEYS, kind, NAME, bytes), DamagedError);
    holds(
      fc.property(anyBytes([object.subarray(0, 9), object.subarray(0, 41)]), (bytes) =>
        assert.is(open(bytes), null),
      ),
    );
    holds(
      fc.property(anyChangeOf(object), (bytes) => {
        assert.equal(open(bytes), bytes.equals(object) ? seededBytes(300, kind) : null);
      }),
    );
  });
}

sealed('(pack) are refused, unless they are the pack', () => {
  const read = (bytes: Buffer) => readOrRefuse(() => readPack(KEYS, bytes), DamagedError);
  holds(
    fc.property(anyBytes([PACK.bytes.subarray(0, 9), PACK.bytes.subarray(0, 41)]), (bytes) =>
      assert.is(read(bytes), null),
    ),
  );
  holds(
    fc.property(anyChangeOf(PACK.bytes), (bytes) => {
      assert.is(read(bytes)?.length ?? 0, bytes.equals(PACK.bytes) ? 4 : 0);
    }),
  );
});

sealed('(a chunk) are refused, unless they are the chunk at its place', () => {
  const key = packKey(KEYS, PACK.bytes);
  const entry = PACK.entries[1]!;
  const frame = PACK.bytes.subarray(entry.offset, entry.offset + entry.storedSize);
  holds(
    fc.property(anyChangeOf(frame), fc.nat(3), (bytes, position) => {
      const chunk = readOrRefuse(() => openChunk(KEYS, key, position, entry, bytes), DamagedError);
      assert.is(chunk !== null, bytes.equals(frame) && position === 1);
    }),
  );
});

sealed('(the last bytes of a pack) name a directory inside it, or are refused', () => {
  const size = fc.oneof(fc.nat(200), fc.nat(2 ** 31 - 1), fc.constantFrom(2 ** 32, Number.MAX_SAFE_INTEGER));
  holds(
    fc.property(fc.uint8Array({ maxLength: 5 }), size, (trailer, packSize) => {
      const range = readOrRefuse(() => packDirectoryRange(trailer, packSize), DamagedError);
      if (range === null) return;
      assert.ok(range.offset >= 41 && range.length > 0 && range.offset + range.length + 4 === packSize);
      assert.ok(packSize <= 64 * 1024 * 1024);
    }),
  );
});

sealed.run();

const inside = suite('what was sealed by somebody who has the keys and means no good');

inside('(a directory) is read as chunks that lie in the pack one behind the other, or refused', () => {
  const read = (directory: Buffer, packSize: number) => {
    const entries = readOrRefuse(() => decodeDirectory(directory, packSize, 'open pack'), DamagedError);
    let end = 41;
    for (const { offset, storedSize, size } of entries ?? []) {
      assert.ok(offset === end && size >= 1 && size <= MAX_CHUNK_BYTES && storedSize > 16);
      end += storedSize;
    }
    assert.ok(entries === null || end <= packSize);
  };
  const anyDirectory = fc.oneof(
    anyChangeOf(PACK.directory),
    anyBytes(),
    fc.uint8Array({ minLength: 41, maxLength: 41 }).map(Buffer.from),
  );
  holds(fc.property(anyDirectory, fc.oneof(fc.constant(PACK.bytes.length), fc.nat()), read), 600);
});

inside('(a directory) is refused in a pack of another size', () => {
  for (const change of [-1, 1, 41, 2 ** 32]) {
    const opened = readOrRefuse(
      () => openPackDirectory(KEYS, PACK.bytes, sealedDirectoryOf(PACK), PACK.bytes.length + change),
      DamagedError,
    );
    assert.is(opened, null);
  }
});

function sealedDirectoryOf({ bytes }: SealedPack): Buffer {
  const { offset, length } = packDirectoryRange(bytes.subarray(-4), bytes.length);
  return bytes.subarray(offset, offset + length);
}

inside('(an index) is read as packs that could be, or refused', () => {
  holds(
    fc.property(fc.oneof(anyChangeOf(INDEX), anyBytes([INDEX.subarray(0, 40)])), (bytes) => {
      for (const { name, sizeBytes, entries } of readOrRefuse(
        () => [...decodePackIndex(bytes)],
        DamagedError,
      ) ?? []) {
        assert.match(name, /^[0-9a-f]{64}$/);
        assert.ok(sizeBytes <= 64 * 1024 * 1024 && entries.every(({ size }) => size <= MAX_CHUNK_BYTES));
      }
    }),
    600,
  );
});

for (const [what, header] of Object.entries({ 'a backup': HEADER, 'a checkpoint': CHECKPOINT })) {
  inside(
    `(${what}) is read as it was written, and refused or read as something else that makes sense`,
    () => {
      const encoded = encodeBackupHeader(header);
      assert.equal(decodeBackupHeader(encoded), header);
      const json = JSON.parse(encoded.toString());
      holds(
        fc.property(fc.oneof(anyChangeOf(encoded), anyChangeOfJson(json), anyBytes()), (bytes) => {
          const read = readOrRefuse(() => decodeBackupHeader(bytes), DamagedError);
          if (read === null) return;
          assert.is(read.manifest.chunks.length % 32, 0);
          assert.ok(read.sourcePaths.every((path) => path[0] === 0x2f && !path.includes('/../')));
          assert.equal(decodeBackupHeader(encodeBackupHeader(read)), read, 'and comes back');
        }),
        1000,
      );
    },
  );
}

inside('(a manifest) is read as entries in order that lie where they say, or refused', async () => {
  const pieces = (bytes: Buffer, length: number) =>
    Array.from({ length: Math.ceil(bytes.length / length) }, (_, index) =>
      bytes.subarray(index * length, (index + 1) * length),
    );
  const anyManifest = fc.oneof(anyChangeOf(MANIFEST), anyBytes([MANIFEST.subarray(0, 200)]), anyOddEntries);
  await holdsInTime(
    fc.asyncProperty(anyManifest, fc.integer({ min: 1, max: 300 }), async (bytes, length) => {
      let previous: Buffer | null = null;
      try {
        for await (const { path } of decodeManifest(pieces(bytes, length))) {
          const [root, ...parts] = path.toString('latin1').split('/');
          assert.ok(root === '' && parts.length > 0 && !path.includes(0));
          assert.ok(path.length === 1 || parts.every((part) => !['', '.', '..'].includes(part)));
          if (previous !== null) assert.ok(Buffer.compare(previous, path) < 0);
          previous = path;
        }
      } catch (error) {
        assert.instance(error, DamagedError);
      }
    }),
    600,
  );
});

/** Lines with one field changed. */
const anyOddEntries = fc
  .array(
    fc.constantFrom(...ENTRIES).chain((entry) => anyChangeOfJson(JSON.parse(encodeEntry(entry).toString()))),
    { maxLength: 4 },
  )
  .map((lines) => Buffer.concat(lines.flatMap((line) => [line, Buffer.from('\n')])));

inside.run();

const plain = suite('what anybody can change');

plain('(skylock.json) is read, refused, or found to be another', () => {
  const config = {
    repositoryId: REPOSITORY_ID,
    chunker: { min: 512, avg: 1024, max: 4096 },
    manifestChunker: { min: 64, avg: 1024, max: 4096 },
  };
  const encoded = encodeRepositoryConfig(config, KEYS);
  const json = JSON.parse(encoded.toString());
  holds(
    fc.property(fc.oneof(anyChangeOf(encoded), anyChangeOfJson(json), anyBytes()), (bytes) => {
      const read = readOrRefuse(() => parseRepositoryConfig(bytes));
      if (read === null) return;
      const isVerified = readOrRefuse(() => verifyRepositoryConfig(read, KEYS), DamagedError) !== null;
      const { mac: _, ...facts } = read;
      if (isVerified) assert.equal(facts, config);
    }),
    1000,
  );
});

const WRAPPED = await wrapMasterKey(testMaster(), 'password', {
  repositoryId: REPOSITORY_ID,
  createdAt: new Date(0),
  parameters: { memoryKib: 8 * 1024, passes: 1, lanes: 1 },
});

plain('(a key file) is read with parameters this machine can bear, or refused', () => {
  const json = JSON.parse(WRAPPED.toString());
  holds(
    fc.property(fc.oneof(anyChangeOf(WRAPPED), anyChangeOfJson(json), anyBytes()), (bytes) => {
      const read = readOrRefuse(() => parseKeyFile(bytes));
      if (read === null) return;
      const { memoryKib, passes, lanes } = read.parameters;
      assert.ok(
        memoryKib >= 8 * 1024 &&
          memoryKib <= 1024 * 1024 &&
          passes >= 1 &&
          passes <= 16 &&
          lanes >= 1 &&
          lanes <= 16,
      );
    }),
    1000,
  );
});

plain('(a key file) gives the key with the password only as it was written', async () => {
  const json = JSON.parse(WRAPPED.toString());
  const { kdf: _, ...others } = json;
  const keepsItsCost = anyChangeOfJson(others).map((bytes) =>
    Buffer.from(JSON.stringify({ ...JSON.parse(bytes.toString()), kdf: json.kdf })),
  );
  await holdsInTime(
    fc.asyncProperty(keepsItsCost, async (bytes) => {
      const isSame = isDeepStrictEqual(JSON.parse(bytes.toString()), json);
      const opened = await unwrapMasterKey(bytes, 'password', REPOSITORY_ID).catch((error: unknown) => {
        assert.instance(error, SkylockError);
        return null;
      });
      assert.is(opened !== null, isSame);
    }),
    40,
  );
});

plain.run();
