import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type BackupHeader, encodeBackupHeader } from '../../lib/format/backup-header.ts';
import { MAX_CHUNK_BYTES } from '../../lib/format/chunker.ts';
import { compressChunk } from '../../lib/format/compress.ts';
import { contentName, HEADER_BYTES, sealObject } from '../../lib/format/envelope.ts';
import { chunkId } from '../../lib/format/keys.ts';
import { type Entry, encodeEntry } from '../../lib/format/manifest.ts';
import { createPackBuilder, type SealedPack } from '../../lib/format/pack.ts';
import {
  type Compression,
  encodeDirectory,
  RAW,
  sealedDirectoryBytes,
  TRAILER_BYTES,
  ZSTD,
} from '../../lib/format/pack-directory.ts';
import { encodePackIndex } from '../../lib/format/pack-index.ts';
import { seededBytes, testKeys } from '../format/fixtures.ts';
import { withFolder } from '../helpers/temporary.ts';
import { headerOf } from '../repository/fixtures.ts';

const PROCESS = resolve(import.meta.dirname, 'hostile-process.ts');
const KEYS = testKeys();
const BACKUP_ID = '20251107_142030';
/** A command that does next to nothing takes some 90 MiB; what the program promises for a million files is 300. */
const MOST_MIB = 300;

interface EvilChunk {
  readonly id: Buffer;
  readonly compression: Compression;
  readonly stored: Uint8Array;
  readonly size: number;
}

/** A repository written by somebody who has the keys and means no good. */
interface Evil {
  readonly folder: string;
  put(name: string, bytes: Uint8Array): void;
  putPack(...chunks: EvilChunk[]): SealedPack;
  putIndex(...packs: Pick<SealedPack, 'name' | 'bytes' | 'directory'>[]): string;
  putHeader(manifest: readonly Pick<EvilChunk, 'id' | 'size'>[], fields?: Partial<BackupHeader>): void;
  /** Has a process of its own do it. */
  do(what: 'learn' | 'list' | 'restore'): { error: string | null; said: string[]; peakMiB: number };
}

function withEvil(use: (evil: Evil) => void): Promise<void> {
  return withFolder(async (folder) => {
    const put: Evil['put'] = (name, bytes) => {
      const path = join(folder, 'repository', name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, bytes);
    };
    use({
      folder,
      put,
      putPack(...chunks) {
        const bytes = chunks.reduce((sum, { stored }) => sum + stored.length + 100, 1000);
        const builder = createPackBuilder(KEYS, Buffer.allocUnsafeSlow(bytes));
        for (const { id, compression, stored, size } of chunks) builder.add(id, compression, stored, size);
        const pack = builder.seal();
        put(`packs/${pack.name.slice(0, 2)}/${pack.name}`, pack.bytes);
        return pack;
      },
      putIndex(...packs) {
        const named = packs.map(({ name, bytes, directory }) => ({
          name,
          sizeBytes: bytes.length,
          directory,
        }));
        const sealed = sealObject(KEYS, 'index', '', encodePackIndex(named));
        const name = `index/${contentName(sealed)}`;
        put(name, sealed);
        return name;
      },
      putHeader(manifest, fields = {}) {
        const sizeBytes = manifest.reduce((sum, { size }) => sum + size, 0);
        const header = headerOf(BACKUP_ID, {
          manifest: { sizeBytes, chunks: Buffer.concat(manifest.map(({ id }) => id)) },
          ...fields,
        });
        const name = `backups/${header.backupId}`;
        put(name, sealObject(KEYS, 'backup', name, encodeBackupHeader(header)));
      },
      do(what) {
        const { stdout, stderr } = spawnSync(
          process.execPath,
          ['--disable-warning=ExperimentalWarning', PROCESS, folder, what],
          { encoding: 'utf8', timeout: 120_000 },
        );
        assert.ok(stdout !== '', stderr);
        return JSON.parse(stdout);
      },
    });
  });
}

function evilChunk(bytes: Buffer): EvilChunk {
  const zstd = compressChunk(bytes);
  const id = chunkId(KEYS, bytes);
  return { id, compression: zstd === null ? RAW : ZSTD, stored: zstd ?? bytes, size: bytes.length };
}

const FACTS = { mode: 0o755, uid: 0, gid: 0, mtimeNs: 0n, ctimeNs: 0n, inode: 1n };

function lineOf(entry: Partial<Entry> & Pick<Entry, 'type' | 'path'>): Buffer {
  return encodeEntry({ ...FACTS, ...entry } as Entry);
}

/** The line, and so many blanks behind it as make a whole chunk of the largest size. */
function padded(line: Buffer): Buffer {
  return Buffer.concat([
    line.subarray(0, -1),
    Buffer.alloc(MAX_CHUNK_BYTES - line.length, ' '),
    Buffer.from('\n'),
  ]);
}

const bombs = suite('a hostile repository');

bombs(
  'whose list of files unfolds to sixty times what it takes up is read in the memory of a few chunks',
  () =>
    withEvil((evil) => {
      const lines = Array.from({ length: 24 }, (_, index) =>
        padded(lineOf({ type: 'folder', path: Buffer.from(`/folder ${String(index).padStart(2, '0')}`) })),
      );
      const chunks = lines.map(evilChunk);
      evil.putIndex(evil.putPack(...chunks));
      evil.putHeader(chunks);
      const { error, peakMiB } = evil.do('restore');
      assert.is(error, null);
      assert.ok(existsSync(join(evil.folder, 'target/folder 23')));
      assert.ok(peakMiB < MOST_MIB, `${peakMiB} MiB`);
    }),
);

for (const [what, bytes] of Object.entries({
  'a line of brackets': Buffer.alloc(MAX_CHUNK_BYTES, '['),
  'a line of objects': Buffer.alloc(MAX_CHUNK_BYTES, '{"a":'),
  'an entry with very many fields': Buffer.concat([
    Buffer.from('{"a":1'),
    Buffer.alloc(MAX_CHUNK_BYTES - 10, ',"a":1'),
    Buffer.from('}'),
  ]),
})) {
  bombs(`whose list of files is ${what} is refused before it is unfolded`, () =>
    withEvil((evil) => {
      const chunks = [evilChunk(bytes), evilChunk(Buffer.from('\n'))];
      evil.putIndex(evil.putPack(...chunks));
      evil.putHeader(chunks);
      const { error, peakMiB } = evil.do('restore');
      assert.is(error, 'DamagedError: read manifest: line 1: it holds too many values');
      assert.ok(peakMiB < MOST_MIB, `${peakMiB} MiB`);
    }),
  );
}

bombs('whose list of files has no end of a line is refused when that is too long', () =>
  withEvil((evil) => {
    const chunk = evilChunk(Buffer.alloc(MAX_CHUNK_BYTES, 'x'));
    evil.putIndex(evil.putPack(chunk));
    evil.putHeader(Array(40).fill(chunk));
    const { error, peakMiB } = evil.do('restore');
    assert.is(error, 'DamagedError: read manifest: a line is too long');
    assert.ok(peakMiB < MOST_MIB + 256, `${peakMiB} MiB, of which a line may take up 256`);
  }),
);

bombs('with chunks that are not what they are said to be loses those files alone', () =>
  withEvil((evil) => {
    const honest = evilChunk(Buffer.from('what it is said to be'));
    const big = Buffer.alloc(MAX_CHUNK_BYTES);
    const lies: Record<string, EvilChunk> = {
      'a bomb': { ...evilChunk(big), id: chunkId(KEYS, Buffer.from('a')), size: 30_000 },
      'a dwarf': {
        ...evilChunk(Buffer.alloc(5000)),
        id: chunkId(KEYS, Buffer.from('b')),
        size: MAX_CHUNK_BYTES,
      },
      'another chunk': { ...evilChunk(Buffer.from('something else')), id: chunkId(KEYS, Buffer.from('c')) },
      'no zstd': {
        id: chunkId(KEYS, Buffer.from('d')),
        compression: ZSTD,
        stored: Buffer.alloc(50, 7),
        size: 70,
      },
    };
    const chunks = [...Object.values(lies), honest];
    const file = (name: string, { id, size }: EvilChunk) =>
      lineOf({ type: 'file', path: Buffer.from(`/${name}`), size, link: null, chunks: id });
    const names = Object.entries({ ...lies, honest }).toSorted(([a], [b]) => (a < b ? -1 : 1));
    const manifest = evilChunk(Buffer.concat(names.map(([name, chunk]) => file(name, chunk))));
    evil.putIndex(evil.putPack(...chunks, manifest));
    evil.putHeader([manifest]);
    const { error, said, peakMiB } = evil.do('restore');
    assert.equal([error, said.length], [null, 4]);
    assert.is(readFileSync(join(evil.folder, 'target/honest'), 'utf8'), 'what it is said to be');
    for (const reason of ['it is not as long as it should be', 'damaged when they were stored']) {
      assert.ok(
        said.some((text) => text.includes(reason)),
        said.join('\n'),
      );
    }
    for (const name of Object.keys(lies)) assert.not.ok(existsSync(join(evil.folder, 'target', name)), name);
    assert.ok(peakMiB < MOST_MIB, `${peakMiB} MiB`);
  }),
);

/** Packs that are not there, of chunks that say they have one byte each. */
function packsOfNothing(count: number, chunks: number) {
  return Array.from({ length: count }, (_, number) => {
    const ids = seededBytes(32 * chunks, String(number));
    const entries = Array.from(
      { length: chunks },
      (_, index) =>
        ({
          id: ids.subarray(32 * index, 32 * index + 32),
          compression: RAW,
          offset: HEADER_BYTES + 17 * index,
          storedSize: 17,
          size: 1,
        }) as const,
    );
    const bytes = {
      length: HEADER_BYTES + 17 * chunks + sealedDirectoryBytes(chunks) + TRAILER_BYTES,
    } as Buffer;
    return { name: number.toString(16).padStart(64, '0'), bytes, directory: encodeDirectory(entries) };
  });
}

bombs('with an index of four hundred thousand chunks is read pack by pack', () =>
  withEvil((evil) => {
    evil.putIndex(...packsOfNothing(20, 20_000));
    const { error, said, peakMiB } = evil.do('learn');
    assert.equal([error, said], [null, []]);
    assert.ok(peakMiB < MOST_MIB, `${peakMiB} MiB`);
  }),
);

bombs('with objects larger than any can be says so of each, and fetches none of them', () =>
  withEvil((evil) => {
    const names = [`index/${'a'.repeat(64)}`, 'backups/20251107_000000', `packs/bb/${'b'.repeat(64)}`];
    for (const name of names) {
      evil.put(name, Buffer.alloc(0));
      truncateSync(join(evil.folder, 'repository', name), 2 ** 40);
    }
    const learned = evil.do('learn');
    assert.is(learned.error, null);
    assert.match(learned.said.join('\n'), new RegExp(`${names[0]}: it is too large`));
    assert.match(
      learned.said.join('\n'),
      /pack b{64} on the remote is not used: .*the length of its directory is wrong/,
    );
    const listed = evil.do('list');
    assert.equal([listed.error, listed.said], [null, [`open ${names[1]}: it is too large`]]);
    for (const { peakMiB } of [learned, listed]) assert.ok(peakMiB < MOST_MIB, `${peakMiB} MiB`);
  }),
);

bombs('with a header of very many sources is refused, and the others are listed', () =>
  withEvil((evil) => {
    const chunk = evilChunk(Buffer.from('\n'));
    evil.putHeader([chunk], {
      backupId: '20251106_000000',
      sourcePaths: Array(600_000).fill(Buffer.from('/a')),
    });
    evil.putHeader([chunk]);
    const { error, said, peakMiB } = evil.do('list');
    assert.equal([error, said], [null, ['open backups/20251106_000000: it holds too many values']]);
    assert.ok(peakMiB < MOST_MIB, `${peakMiB} MiB`);
  }),
);

bombs('with a path of thirty thousand folders has it made, or loses that entry alone', () =>
  withEvil((evil) => {
    const deep = Buffer.from(`/a${'/a'.repeat(30_000)}`);
    const lines = [
      lineOf({ type: 'folder', path: deep }),
      lineOf({ type: 'folder', path: Buffer.from('/b') }),
    ];
    const manifest = evilChunk(Buffer.concat(lines));
    evil.putIndex(evil.putPack(manifest));
    evil.putHeader([manifest]);
    const { error, said, peakMiB } = evil.do('restore');
    assert.is(error, null);
    assert.ok(said.length <= 1 && existsSync(join(evil.folder, 'target/b')));
    assert.ok(peakMiB < MOST_MIB, `${peakMiB} MiB`);
    execFileSync('rm', ['-rf', join(evil.folder, 'target')]); // Node's own cannot
  }),
);

bombs('with very many files in a path of thirty thousand folders restores them a few at a time', () =>
  withEvil((evil) => {
    const deep = `/a${'/a'.repeat(30_000)}`;
    const contents = Array.from({ length: 1500 }, (_, n) => evilChunk(Buffer.from(`content ${n}`)));
    const lines = contents.map(({ id, size }, n) =>
      lineOf({
        type: 'file',
        path: Buffer.from(`${deep}/${String(n).padStart(4, '0')}`),
        size,
        link: null,
        chunks: id,
      }),
    );
    const manifest = Array.from({ length: 15 }, (_, n) =>
      evilChunk(Buffer.concat(lines.slice(n * 100, (n + 1) * 100))),
    );
    evil.putIndex(evil.putPack(...contents, ...manifest));
    evil.putHeader(manifest);
    const { error, said, peakMiB } = evil.do('restore');
    execFileSync('rm', ['-rf', join(evil.folder, 'target')]); // Node's own cannot
    assert.equal([error, said], [null, []]);
    // 465 when a thread is given them all at once; a page of 500 rows of the plan holds 30, some of them until they are collected.
    assert.ok(peakMiB < MOST_MIB + 80, `${peakMiB} MiB`);
  }),
);

bombs.run();
