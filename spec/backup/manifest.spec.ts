import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cutManifest, manifestEntry } from '../../lib/backup/manifest.ts';
import { createChunker } from '../../lib/format/chunker.ts';
import { decodeManifest, type Entry } from '../../lib/format/manifest.ts';
import type { JournalEntry } from '../../lib/journal/entries.ts';
import { entryAt } from '../journal/fixture.ts';
import { idOf, KEYS } from './fixtures.ts';

const SIZES = { min: 256, avg: 1024, max: 4096 };

function rowAt(
  path: string,
  fields: Partial<JournalEntry> = {},
): JournalEntry & { readonly chunks: readonly Buffer[] } {
  return { ...entryAt(path, fields), id: 1n, state: 'uploaded', chunks: [] };
}

const COMMON = {
  mode: 0o644,
  uid: 1000,
  gid: 1000,
  mtimeNs: 1_762_525_230_123_456_789n,
  ctimeNs: 1_762_525_230_123_456_790n,
  inode: 7n,
};

const entry = suite('an entry on its way into the manifest');

entry('of a file has its content’s chunks in order', () => {
  const row = { ...rowAt('/a'), chunks: [idOf('a'), idOf('b')] };
  assert.equal(manifestEntry(row), {
    ...COMMON,
    path: Buffer.from('/a'),
    type: 'file',
    size: 3000,
    link: null,
    chunks: Buffer.concat([idOf('a'), idOf('b')]),
  });
});

entry('of a file with several names says which are the same', () => {
  const { link } = manifestEntry(rowAt('/a', { links: 2n })) as Extract<Entry, { type: 'file' }>;
  assert.is(link, '64:7');
});

entry('of a symlink has its target, of a device what it stands for, and of the rest nothing more', () => {
  assert.equal(manifestEntry(rowAt('/a', { type: 'symlink', size: 0n, target: Buffer.from('b') })), {
    ...COMMON,
    path: Buffer.from('/a'),
    type: 'symlink',
    target: Buffer.from('b'),
  });
  for (const type of ['character_device', 'block_device'] as const) {
    const found = manifestEntry(rowAt('/a', { type, size: 0n, specialDevice: 259n }));
    assert.equal(found, { ...COMMON, path: Buffer.from('/a'), type, device: 259n });
  }
  for (const type of ['folder', 'fifo', 'socket'] as const) {
    assert.equal(manifestEntry(rowAt('/a', { type, size: 0n })), {
      ...COMMON,
      path: Buffer.from('/a'),
      type,
    });
  }
});

entry.run();

function entries(count: number, changed = -1): Entry[] {
  return Array.from({ length: count }, (_, index) =>
    manifestEntry({
      ...rowAt(`/docs/${String(index).padStart(6, '0')}`, { inode: BigInt(index === changed ? 1e9 : index) }),
      chunks: [idOf(`${index % 50}`)],
    }),
  );
}

function cut(list: Iterable<Entry>) {
  const counts = { files: 0, folders: 0, bytes: 0 };
  const chunker = createChunker(KEYS.gear, SIZES);
  const pieces = [...cutManifest(list, chunker, counts)].map((piece) => Buffer.from(piece));
  return { counts, pieces };
}

const manifest = suite('a manifest that is cut');

for (const count of [0, 1, 2, 10, 400]) {
  manifest(`of ${count} entries can be put together again`, async () => {
    const { pieces, counts } = cut(entries(count));
    assert.equal(await Array.fromAsync(decodeManifest(pieces)), entries(count));
    assert.equal(counts, { files: count, folders: 0, bytes: 3000 * count });
    assert.ok(pieces.every(({ length }) => length > 0 && length <= SIZES.max));
  });
}

manifest('counts files, folders and bytes', () => {
  const folder = manifestEntry(rowAt('/docs', { type: 'folder', size: 0n }));
  const link = manifestEntry(rowAt('/docs-link', { type: 'symlink', size: 0n, target: Buffer.from('docs') }));
  const { counts } = cut([
    folder,
    link,
    manifestEntry(rowAt('/docs/a')),
    manifestEntry(rowAt('/docs/b', { size: 5n })),
  ]);
  assert.equal(counts, { files: 2, folders: 1, bytes: 3005 });
});

manifest('is cut by its content: where one entry changes, most pieces stay as they are', () => {
  const before = new Set(cut(entries(2000)).pieces.map((piece) => piece.toString()));
  const after = cut(entries(2000, 1000)).pieces.map((piece) => piece.toString());
  const fresh = after.filter((piece) => !before.has(piece));
  assert.ok(after.length > 100, `${after.length} pieces`);
  assert.ok(fresh.length >= 1 && fresh.length <= 3, `${fresh.length} of ${after.length} are new`);
});

manifest('takes entries as they are needed, some at a time', () => {
  let taken = 0;
  const list = function* () {
    for (const one of entries(2000)) {
      taken += 1;
      yield one;
    }
  };
  const pieces = cutManifest(list(), createChunker(KEYS.gear, SIZES), { files: 0, folders: 0, bytes: 0 });
  pieces.next();
  assert.ok(taken < 200, `${taken} were taken for the first piece`);
});

manifest.run();
