import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError, SkylockError } from '../../lib/errors.ts';
import {
  decodeEntry,
  decodeManifest,
  type Entry,
  encodeEntry,
  type FileEntry,
  MAX_FILE_CHUNKS,
  splitChunkIds,
} from '../../lib/format/manifest.ts';
import {
  assertOnlySkylockErrors,
  assertRejects,
  assertThrows,
  type Json,
  seededBytes,
  withFlippedBit,
} from './fixtures.ts';

const FACTS = {
  mode: 0o644,
  uid: 1000,
  gid: 1000,
  mtimeNs: 1762525230123456789n,
  ctimeNs: 1762525230123456790n,
  inode: 12345n,
};

function fileAt(path: string | Buffer, facts: Partial<FileEntry> = {}): FileEntry {
  const bytes = Buffer.from(path as string);
  return { ...FACTS, path: bytes, type: 'file', size: 5, link: null, chunks: Buffer.alloc(32, 7), ...facts };
}

function entryOf(type: 'folder' | 'symlink' | 'fifo' | 'socket', path: string | Buffer): Entry {
  const bytes = Buffer.from(path as string);
  return type === 'symlink'
    ? { ...FACTS, path: bytes, type, target: Buffer.from('target') }
    : { ...FACTS, path: bytes, type };
}

function roundTrip(entry: Entry): Entry {
  const line = encodeEntry(entry);
  assert.is(line.at(-1), 0x0a);
  assert.is(line.indexOf(0x0a), line.length - 1);
  return decodeEntry(line.subarray(0, -1));
}

async function decodeAll(pieces: Iterable<Uint8Array>): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const entry of decodeManifest(pieces)) entries.push(entry);
  return entries;
}

/** The line of an entry after `change`. */
function changed(change: (json: Json) => void, entry: Entry = fileAt('/a')): Buffer {
  const json = JSON.parse(encodeEntry(entry).toString());
  change(json);
  return Buffer.from(JSON.stringify(json));
}

const entries = suite('an entry');

entries('is a line of JSON with its fields in this order', () => {
  assert.is(
    encodeEntry(fileAt('/home/anna/notes "1".txt', { link: '2049:12345' })).toString(),
    '{"path":"/home/anna/notes \\"1\\".txt","type":"file","mode":420,"uid":1000,"gid":1000,' +
      '"mtime_ns":"1762525230123456789","ctime_ns":"1762525230123456790","inode":"12345","size":5,' +
      `"link":"2049:12345","chunks":"${Buffer.alloc(32, 7).toString('base64')}"}\n`,
  );
  assert.match(encodeEntry(entryOf('symlink', '/s')).toString(), /,"target":"target"}\n$/);
  assert.match(encodeEntry(entryOf('folder', '/')).toString(), /^{"path":"\/","type":"folder",/);
});

entries('of every type comes back as it was', () => {
  const all: Entry[] = [
    fileAt('/file'),
    fileAt('/empty', { size: 0, chunks: Buffer.alloc(0) }),
    fileAt('/linked', { link: '18446744073709551615:1' }),
    fileAt('/large', { size: Number.MAX_SAFE_INTEGER, chunks: seededBytes(32 * 1000, 'ids') }),
    entryOf('folder', '/folder'),
    entryOf('folder', '/'),
    entryOf('symlink', '/symlink'),
    { ...FACTS, path: Buffer.from('/s'), type: 'symlink', target: Buffer.of(0x2e, 0xff) },
    entryOf('fifo', '/fifo'),
    entryOf('socket', '/socket'),
    { ...FACTS, path: Buffer.from('/dev/sda'), type: 'block_device', device: 2048n },
    { ...FACTS, path: Buffer.from('/dev/null'), type: 'character_device', device: 2n ** 64n - 1n },
  ];
  for (const entry of all) assert.equal(roundTrip(entry), entry);
});

entries('keeps times before 1970 and far away, and permissions but not the type bits of a mode', () => {
  for (const mtimeNs of [0n, -1n, -(10n ** 25n), 10n ** 29n, 9007199254740993n]) {
    assert.is(roundTrip(fileAt('/a', { mtimeNs })).mtimeNs, mtimeNs);
  }
  for (const mode of [0, 0o777, 0o4755, 0o7777]) assert.is(roundTrip(fileAt('/a', { mode })).mode, mode);
  assert.is(roundTrip(fileAt('/a', { mode: 0o100600 })).mode, 0o600);
});

entries('writes names that are not UTF-8 in base64, and only those', () => {
  const latin = Buffer.from('/caf\xe9', 'latin1');
  assert.match(encodeEntry(fileAt(latin)).toString(), /^{"path_base64":"L2NhZuk=",/);
  assert.equal(roundTrip(fileAt(latin)).path, latin);
  for (const path of ['/\ufeff', '/\ufffd', '/\u2028\n\t"\\', '/🔑', '/\u0001']) {
    assert.match(encodeEntry(fileAt(path)).toString(), /^{"path":/);
    assert.equal(roundTrip(fileAt(path)).path, Buffer.from(path));
  }
});

const pathPart = fc
  .uint8Array({ minLength: 1, maxLength: 12 })
  .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte))))
  .filter((part) => !['.', '..'].includes(part.toString('latin1')));
const anyPath = fc
  .array(pathPart, { minLength: 1, maxLength: 4 })
  .map((parts) => Buffer.concat(parts.flatMap((part) => [Buffer.from('/'), part])));

entries('with any name, times and target comes back as it was', () => {
  const anyEntry = fc
    .record({
      path: anyPath,
      mode: fc.integer({ min: 0, max: 0o7777 }),
      uid: fc.nat(0xffff_ffff),
      gid: fc.nat(0xffff_ffff),
      mtimeNs: fc.bigInt(-(2n ** 63n), 2n ** 63n),
      ctimeNs: fc.bigInt(-(2n ** 63n), 2n ** 63n),
      inode: fc.bigInt(0n, 2n ** 64n),
    })
    .chain((facts) =>
      fc.oneof(
        fc
          .uint8Array({ minLength: 1, maxLength: 20 })
          .filter((target) => !target.includes(0))
          .map((target): Entry => ({ ...facts, type: 'symlink', target: Buffer.from(target) })),
        fc.integer({ min: 1, max: 5 }).map(
          (count): Entry => ({
            ...facts,
            type: 'file',
            size: count * 1000,
            link: null,
            chunks: seededBytes(count * 32, 'chunks'),
          }),
        ),
      ),
    );
  fc.assert(fc.property(anyEntry, (entry) => assert.equal(roundTrip(entry), entry)));
});

entries('with a path that could lead elsewhere is damaged', () => {
  for (const path of [
    '',
    'a',
    './a',
    '../a',
    '/.',
    '/..',
    '/a/.',
    '/a/..',
    '/../a',
    '/a/../b',
    '/a/./b',
    '//',
    '//a',
    '/a//b',
    '/a/',
    '/a\u0000b',
    `/${'x'.repeat(65_535)}`,
    '\ud800',
    '/\ud800',
  ]) {
    assertThrows(() => decodeEntry(changed((json) => (json.path = path))), DamagedError);
  }
  for (const path of ['/...', '/.a', '/..a', '/a..', '/a/.b', `/${'x'.repeat(65_534)}`]) {
    assert.equal(decodeEntry(changed((json) => (json.path = path))).path, Buffer.from(path));
  }
  for (const path of ['/\xff/../b', '/\xff//b', '\xff', '/\xff\0']) {
    const base64 = Buffer.from(path, 'latin1').toString('base64');
    const line = changed((json) => {
      delete json.path;
      json.path_base64 = base64;
    });
    assertThrows(() => decodeEntry(line), DamagedError);
  }
});

entries('with a value that makes no sense is damaged', () => {
  for (const change of [
    (json: Json) => delete json.path,
    (json: Json) => (json.path = 5),
    (json: Json) => (json.path_base64 = 'L/8='),
    (json: Json) => (json.type = 'door'),
    (json: Json) => (json.type = 'constructor'),
    (json: Json) => delete json.type,
    (json: Json) => (json.mode = 0o10000),
    (json: Json) => (json.mode = -1),
    (json: Json) => (json.mode = 1.5),
    (json: Json) => (json.mode = '420'),
    (json: Json) => (json.uid = 2 ** 32),
    (json: Json) => (json.gid = -1),
    (json: Json) => (json.mtime_ns = 5),
    (json: Json) => (json.mtime_ns = ''),
    (json: Json) => (json.mtime_ns = '01'),
    (json: Json) => (json.mtime_ns = '-0'),
    (json: Json) => (json.mtime_ns = '0x10'),
    (json: Json) => (json.mtime_ns = '1'.repeat(31)),
    (json: Json) => (json.ctime_ns = ' 1'),
    (json: Json) => (json.inode = null),
    (json: Json) => (json.size = -1),
    (json: Json) => (json.size = 2 ** 53),
    (json: Json) => (json.size = 0),
    (json: Json) => (json.chunks = ''),
    (json: Json) => (json.chunks = Buffer.alloc(31).toString('base64')),
    (json: Json) => (json.chunks = Buffer.alloc(6 * 32).toString('base64')), // six chunks of five bytes
    (json: Json) => (json.chunks = json.chunks.replace('=', '')),
    (json: Json) => (json.chunks = ` ${json.chunks}`),
    (json: Json) => (json.chunks = json.chunks.replaceAll('B', '-')),
    (json: Json) => (json.link = 5),
    (json: Json) => (json.link = '5'),
    (json: Json) => (json.link = '../5:6'),
  ]) {
    assertThrows(() => decodeEntry(changed(change)), DamagedError, /^read manifest: /);
  }
  for (const target of ['', 'a\u0000', 'x'.repeat(65_536), 5, undefined]) {
    const line = changed((json) => (json.target = target), entryOf('symlink', '/s'));
    assertThrows(() => decodeEntry(line), DamagedError);
  }
  for (const text of ['', 'null', '[]', '"a"', '{', '{}{}']) {
    assertThrows(() => decodeEntry(Buffer.from(text)), DamagedError);
  }
});

entries('has in path_base64 and target_base64 no bytes that are UTF-8', () => {
  const inBase64 = (name: string, bytes: Buffer, entry: Entry) =>
    changed((json) => {
      delete json[name];
      json[`${name}_base64`] = bytes.toString('base64');
    }, entry);
  assertThrows(
    () => decodeEntry(inBase64('path', Buffer.from('/a'), fileAt('/a'))),
    DamagedError,
    /is UTF-8/,
  );
  const link = entryOf('symlink', '/s');
  assertThrows(() => decodeEntry(inBase64('target', Buffer.from('t'), link)), DamagedError, /is UTF-8/);
  assert.ok(decodeEntry(inBase64('target', Buffer.of(0xff), link)));
});

entries('may have fields that a later Skylock adds', () => {
  assert.equal(decodeEntry(changed((json) => (json.later = { any: 'thing' }))), fileAt('/a'));
});

entries('of a file with more chunks than a line holds is refused', () => {
  const chunks = Buffer.alloc((MAX_FILE_CHUNKS + 1) * 32);
  assertThrows(() => encodeEntry(fileAt('/huge', { size: 2 ** 50, chunks })), SkylockError, /\/huge/);
});

entries('out of any bytes is damaged and nothing worse', () => {
  const line = encodeEntry(fileAt('/a', { link: '1:2' })).subarray(0, -1);
  for (let bit = 0; bit < line.length * 8; bit += 1) {
    assertOnlySkylockErrors(() => decodeEntry(withFlippedBit(line, bit >> 3, bit % 8)));
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) =>
      assertThrows(() => decodeEntry(bytes), DamagedError),
    ),
  );
  fc.assert(
    fc.property(fc.json(), (json) => assertThrows(() => decodeEntry(Buffer.from(json)), DamagedError)),
  );
});

entries('gives its chunk ids one by one', () => {
  const chunks = seededBytes(96, 'ids');
  assert.equal(
    [...splitChunkIds(chunks)],
    [0, 32, 64].map((at) => chunks.subarray(at, at + 32)),
  );
  assert.equal([...splitChunkIds(Buffer.alloc(0))], []);
});

entries.run();

const manifests = suite('a manifest');

manifests('gives its entries however its bytes are cut', async () => {
  const all = [entryOf('folder', '/'), fileAt('/a'), entryOf('symlink', '/b'), fileAt('/é'), fileAt('/🔑')];
  const bytes = Buffer.concat(all.map(encodeEntry));
  for (const length of [1, 2, 7, 100, bytes.length - 1, bytes.length, bytes.length + 1]) {
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += length) pieces.push(bytes.subarray(at, at + length));
    assert.equal(await decodeAll(pieces), all);
  }
  assert.equal(await decodeAll([]), []);
  assert.equal(await decodeAll([Buffer.alloc(0), bytes, Buffer.alloc(0)]), all);
});

manifests('of any names in byte order comes back whole', async () => {
  const someFiles = fc.uniqueArray(anyPath, { maxLength: 20, selector: (path) => path.toString('hex') });
  await fc.assert(
    fc.asyncProperty(someFiles, fc.integer({ min: 1, max: 500 }), async (paths, length) => {
      // Folders throughout, so that any path may lie under any other
      const all = paths.sort(Buffer.compare).map((path) => entryOf('folder', path));
      const bytes = Buffer.concat(all.map(encodeEntry));
      const pieces: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += length) pieces.push(bytes.subarray(at, at + length));
      assert.equal(await decodeAll(pieces), all);
    }),
  );
});

manifests('out of the byte order of its paths is damaged', async () => {
  for (const paths of [
    ['/b', '/a'],
    ['/a', '/a'],
    ['/a/b', '/a'],
    ['/a/b', '/a-b'],
    ['/a', '/b', '/a'],
    ['/é', '/z'],
  ]) {
    const bytes = Buffer.concat(paths.map((path) => encodeEntry(entryOf('folder', path))));
    await assertRejects(() => decodeAll([bytes]), DamagedError, /line [23]: its path does not follow/);
  }
});

manifests('has nothing under an entry that is no folder', async () => {
  for (const type of ['symlink', 'fifo', 'file'] as const) {
    const leaf = (path: string) => (type === 'file' ? fileAt(path) : entryOf(type, path));
    for (const others of [
      ['/a', '/a/b'],
      ['/a', '/a/b/c'],
      ['/a', '/a!', '/a-b', '/a/c'],
      ['/a', '/a-', '/a--', '/a/c'],
    ]) {
      const [first, ...rest] = others;
      const bytes = Buffer.concat([
        encodeEntry(leaf(first!)),
        ...rest.map((path) => encodeEntry(leaf(path))),
      ]);
      await assertRejects(() => decodeAll([bytes]), DamagedError, /lies under what is no folder/);
    }
    const fine = ['/a', '/a-', '/a-b', '/ab', '/b'].map(leaf);
    assert.equal(await decodeAll([Buffer.concat(fine.map(encodeEntry))]), fine);
  }
  const root = [entryOf('symlink', '/'), fileAt('/a')];
  await assertRejects(() => decodeAll([Buffer.concat(root.map(encodeEntry))]), DamagedError);
});

manifests('that ends inside a line, or has an empty one, is damaged', async () => {
  const bytes = Buffer.concat([fileAt('/a'), fileAt('/b')].map(encodeEntry));
  for (const cut of [bytes.length - 1, bytes.length - 20, 1]) {
    await assertRejects(() => decodeAll([bytes.subarray(0, cut)]), DamagedError);
  }
  await assertRejects(() => decodeAll([bytes, Buffer.from('\n')]), DamagedError, /line 3/);
});

manifests('with a line without end is given up', async () => {
  const blanks = Buffer.alloc(16 * 1024 * 1024, ' ');
  let pieces = 0;
  function* endless() {
    for (;;) {
      pieces += 1;
      yield blanks;
    }
  }
  await assertRejects(() => decodeAll(endless()), DamagedError, /too long/);
  assert.is(pieces, 17);
});

manifests('may be longer than a line may be', async () => {
  const blanks = Buffer.alloc(16 * 1024 * 1024, ' ');
  const paths = Array.from({ length: 17 }, (_, index) => `/${String.fromCharCode(97 + index)}`);
  const pieces = paths.flatMap((path) => [blanks, encodeEntry(fileAt(path))]);
  assert.is((await decodeAll(pieces)).length, 17);
});

manifests('out of any bytes is damaged and nothing worse', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { minLength: 1 }), (pieces) =>
      assertRejects(() => decodeAll(pieces), DamagedError),
    ),
  );
});

manifests.run();
