import { execFileSync } from 'node:child_process';
import fs, {
  appendFileSync,
  chmodSync,
  lstatSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type ReadDeps, type ReadItem, readFiles } from '../../lib/backup/read.ts';
import { entryOf } from '../../lib/backup/scan.ts';
import { createChunker } from '../../lib/format/chunker.ts';
import type { JournalEntry } from '../../lib/journal/entries.ts';
import { seededBytes, testKeys } from '../format/fixtures.ts';
import { withoutPrivileges } from '../helpers/privileges.ts';
import { withTree } from '../helpers/tree.ts';

const SIZES = { min: 256, avg: 1024, max: 4096 };
/** The reader's buffer holds two of the largest chunks. */
const BUFFER = 2 * SIZES.max;
const chunker = createChunker(testKeys().gear, SIZES);

/** So long after the files were made that their times can be trusted. */
const later = () => new Date(Date.now() + 10_000);

/** The file as a scan that ended a moment ago found it. */
function rowOf(path: string, id = 1n): JournalEntry {
  const bytes = Buffer.from(path);
  return { ...entryOf(bytes, lstatSync(bytes, { bigint: true }), null), id, state: 'pending' };
}

/** An item with its bytes copied, as they are only lent. */
type Kept = ReadItem & { readonly copy?: Buffer };

function readAll(
  rows: readonly JournalEntry[],
  { onItem, ...deps }: Partial<ReadDeps> & { onItem?: (item: ReadItem) => void } = {},
): Kept[] {
  const items: Kept[] = [];
  const durablePrefix = () => ({ chunks: 0, bytes: 0 });
  for (const item of readFiles(rows, { chunker, durablePrefix, now: later, ...deps })) {
    items.push(item.type === 'chunk' ? { ...item, copy: Buffer.from(item.bytes) } : item);
    onItem?.(item);
  }
  return items;
}

function chunksOf(items: readonly Kept[], attempt = 1): Buffer[] {
  return items
    .filter(({ type, file }) => type === 'chunk' && file.attempt === attempt)
    .map(({ copy }) => copy!);
}

function contentOf(items: readonly Kept[], attempt = 1): Buffer {
  return Buffer.concat(chunksOf(items, attempt));
}

/** The items without the chunks: what became of the file. */
function newsOf(items: readonly Kept[]): string[] {
  return items
    .filter(({ type }) => type !== 'chunk')
    .map((item) => {
      if (item.type === 'end') return `end of ${item.file.attempt}${item.torn ? ', torn' : ''}`;
      return item.type === 'failed' ? `failed: ${item.reason}` : `${item.type} for ${item.file.attempt}`;
    });
}

/** The chunks as they are cut where the whole content is there at once. */
function cut(content: Buffer): Buffer[] {
  const chunks: Buffer[] = [];
  for (let start = 0; start < content.length; start += chunks.at(-1)!.length) {
    const length = chunker.nextCut(content, start, content.length, true);
    chunks.push(content.subarray(start, start + length));
  }
  return chunks;
}

function withFile(content: string | Uint8Array, use: (path: string) => void): Promise<void> {
  return withTree({ file: content }, (root) => use(join(root, 'file')));
}

const reading = suite('a file that is read');

const EDGES = [0, 1, SIZES.min, SIZES.max, BUFFER, 3 * BUFFER]
  .flatMap((n) => [n - 1, n, n + 1])
  .filter((n) => n >= 0);

for (const [kind, make] of [
  ['bytes in which boundaries are found', (size: number) => seededBytes(size, 'read')],
  ['bytes without any boundary', (size: number) => Buffer.alloc(size)],
] as const) {
  for (const size of new Set(EDGES)) {
    reading(`${size} ${kind}: comes whole, cut as if it were there at once`, () =>
      withFile(make(size), (path) => {
        const items = readAll([rowOf(path)]);
        const content = make(size);
        assert.equal(chunksOf(items), cut(content));
        const positions = items.flatMap((item) => (item.type === 'chunk' ? [item.position] : []));
        assert.equal(positions, [...positions.keys()]);
        const { type, file: _, ...end } = items.at(-1) as Extract<ReadItem, { type: 'end' }>;
        assert.is(type, 'end');
        assert.equal(end, { chunks: positions.length, bytes: size, torn: false });
        assert.equal(newsOf(items), ['end of 1']);
      }),
    );
  }
}

reading('goes on behind any prefix that is durable, with the same chunks', () => {
  const content = seededBytes(4 * BUFFER, 'resumed');
  return withFile(content, (path) => {
    const chunks = cut(content);
    let bytes = 0;
    for (let prefix = 0; prefix <= chunks.length; prefix += 1) {
      const items = readAll([rowOf(path)], { durablePrefix: () => ({ chunks: prefix, bytes }) });
      assert.equal(chunksOf(items), chunks.slice(prefix));
      assert.equal(newsOf(items), ['end of 1']);
      const [first] = items;
      if (first?.type === 'chunk') assert.is(first.position, prefix);
      const { chunks: count, bytes: size } = items.at(-1) as Extract<ReadItem, { type: 'end' }>;
      assert.equal([count, size], [chunks.length, content.length]);
      bytes += chunks[prefix]?.length ?? 0;
    }
  });
});

reading('is asked for its own prefix', () =>
  withTree({ a: 'text', b: 'other text' }, (root) => {
    const asked: bigint[] = [];
    readAll([rowOf(join(root, 'a'), 5n), rowOf(join(root, 'b'), 9n)], {
      durablePrefix({ id }) {
        asked.push(id);
        return { chunks: 0, bytes: 0 };
      },
    });
    assert.equal(asked, [5n, 9n]);
  }),
);

reading('may be one of many: each is told by its own number, path and size', () =>
  withTree({ a: 'text', b: seededBytes(BUFFER + 1, 'b'), c: '!' }, (root) => {
    const rows = ['a', 'b', 'c'].map((name, index) => rowOf(join(root, name), BigInt(index)));
    const items = readAll(rows);
    for (const row of rows) {
      const own = items.filter(({ file }) => file.entry === row.id);
      assert.is(contentOf(own).length, Number(row.size));
      for (const { file } of own) assert.equal([file.path, file.sizeBytes], [row.path, Number(row.size)]);
    }
    assert.equal(newsOf(items), ['end of 1', 'end of 1', 'end of 1']);
  }),
);

reading('is closed when nobody asks for more', () =>
  withFile(seededBytes(4 * BUFFER, 'closed'), (path) => {
    const open = () => fs.readdirSync('/proc/self/fd').length;
    const before = open();
    const items = readFiles([rowOf(path)], {
      chunker,
      durablePrefix: () => ({ chunks: 0, bytes: 0 }),
      now: later,
    });
    items.next();
    assert.is(open(), before + 1);
    items.return(undefined as never);
    assert.is(open(), before);
  }),
);

reading.run();

/** Lets the system's reads be something else for a while. */
function withReadSync(
  replacement: (...args: Parameters<typeof fs.readSync>) => number,
  use: () => void,
): void {
  const { readSync } = fs;
  Object.assign(fs, { readSync: replacement });
  syncBuiltinESMExports();
  try {
    use();
  } finally {
    Object.assign(fs, { readSync });
    syncBuiltinESMExports();
  }
}

const disk = suite('a disk');

disk('that gives less than was asked for does not end the file', () => {
  const content = seededBytes(3 * BUFFER, 'short');
  return withFile(content, (path) => {
    const { readSync } = fs;
    const short = (descriptor: number, buffer: NodeJS.ArrayBufferView, ...rest: unknown[]) => {
      const [offset, length, position] = rest as [number, number, number];
      return readSync(descriptor, buffer, offset, Math.min(length, 1000), position);
    };
    withReadSync(short as never, () => {
      const items = readAll([rowOf(path)]);
      assert.equal(newsOf(items), ['end of 1']);
      assert.equal(contentOf(items), content);
    });
  });
});

disk('that ends a file before the size it tells is no way to read it whole, and that is said', () =>
  withFile(seededBytes(3 * BUFFER, 'lies'), (path) => {
    const { readSync } = fs;
    const ending = (descriptor: number, buffer: NodeJS.ArrayBufferView, ...rest: unknown[]) => {
      const [offset, length, position] = rest as [number, number, number];
      return readSync(descriptor, buffer, offset, Math.max(0, Math.min(length, 5000 - position)), position);
    };
    withReadSync(ending as never, () => {
      const items = readAll([rowOf(path)]);
      assert.equal(newsOf(items), ['changed for 2', 'changed for 3', 'end of 3, torn']);
      assert.is(contentOf(items, 3).length, 5000);
    });
  }),
);

disk('that fails in the middle of a file fails that file, and the next one is read', () =>
  withTree({ a: seededBytes(3 * BUFFER, 'bad'), b: 'good' }, (root) => {
    const { readSync } = fs;
    let reads = 0;
    const failing = (...args: Parameters<typeof readSync>) => {
      reads += 1;
      if (reads === 2) throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
      return readSync(...args);
    };
    withReadSync(failing as never, () => {
      const items = readAll([rowOf(join(root, 'a'), 1n), rowOf(join(root, 'b'), 2n)]);
      assert.equal(newsOf(items), ['failed: input/output error: the disk may be failing', 'end of 1']);
      assert.is(contentOf(items.filter(({ file }) => file.entry === 2n)).toString(), 'good');
    });
  }),
);

disk.run();

const changing = suite('a file that changes');

changing('after it was scanned is told of before any of its chunks, and read whole', () =>
  withFile('old', (path) => {
    const row = rowOf(path);
    writeFileSync(path, 'new text');
    const items = readAll([row], { durablePrefix: () => ({ chunks: 1, bytes: 2 }) });
    assert.equal(newsOf(items), ['changed for 1', 'end of 1']);
    const [first] = items;
    assert.is(first?.type, 'changed');
    if (first?.type === 'changed') {
      const { id: _, state: __, ...now } = rowOf(path);
      assert.equal(first.entry, now);
    }
    assert.is(contentOf(items).toString(), 'new text');
    assert.is(items.at(-1)?.file.sizeBytes, 8);
  }),
);

for (const [how, change] of Object.entries({
  'has other content of the same length': (path: string) => {
    const descriptor = fs.openSync(path, 'r+');
    fs.writeSync(descriptor, seededBytes(100, 'changed'), 0, 100, 0);
    fs.closeSync(descriptor);
  },
  grows: (path: string) => appendFileSync(path, 'more'),
  shrinks: (path: string) => truncateSync(path, BUFFER),
  'is emptied': (path: string) => truncateSync(path, 0),
  'has its time set back afterwards': (path: string) => {
    const { atime, mtime } = lstatSync(path);
    appendFileSync(path, 'more');
    utimesSync(path, atime, mtime);
  },
})) {
  changing(`while it is read (it ${how}) is read again from its start`, () =>
    withFile(seededBytes(3 * BUFFER, 'changing'), (path) => {
      let changed = false;
      const items = readAll([rowOf(path)], {
        onItem(item) {
          if (changed || item.type !== 'chunk') return;
          change(path);
          changed = true;
        },
      });
      assert.equal(newsOf(items), ['changed for 2', 'end of 2']);
      assert.equal(contentOf(items, 2), fs.readFileSync(path));
      const positions = items.flatMap((item) =>
        item.type === 'chunk' && item.file.attempt === 2 ? [item.position] : [],
      );
      assert.equal(positions, [...positions.keys()]);
    }),
  );
}

changing('each time it is read is kept as it was read last, and that is said', () =>
  withFile(seededBytes(2 * BUFFER, 'restless'), (path) => {
    const items = readAll([rowOf(path)], {
      onItem(item) {
        if (item.type === 'chunk' && item.position === 0) appendFileSync(path, 'more');
      },
    });
    assert.equal(newsOf(items), ['changed for 2', 'changed for 3', 'end of 3, torn']);
    const end = items.at(-1);
    if (end?.type !== 'end') throw new Error('it has no end');
    assert.equal([end.chunks, end.bytes], [chunksOf(items, 3).length, contentOf(items, 3).length]);
    assert.equal(contentOf(items, 3), fs.readFileSync(path).subarray(0, end.bytes));
  }),
);

changing('while it is read and then vanishes fails', () =>
  withFile(seededBytes(2 * BUFFER, 'gone'), (path) => {
    const items = readAll([rowOf(path)], {
      onItem(item) {
        if (item.type !== 'chunk' || item.position > 0) return;
        appendFileSync(path, 'more');
        rmSync(path);
      },
    });
    assert.equal(newsOf(items), ['failed: vanished while it was being backed up']);
  }),
);

changing('in that its name goes while it is read fails as one that vanished', () =>
  withFile(seededBytes(2 * BUFFER, 'unlinked'), (path) => {
    const items = readAll([rowOf(path)], {
      onItem: (item) => item.type === 'chunk' && item.position === 0 && rmSync(path),
    });
    assert.equal(newsOf(items), ['failed: vanished while it was being backed up']);
  }),
);

changing.run();

const fresh = suite('a file that was changed a moment ago');

fresh('may change once more without its times telling: they are not kept', () =>
  withFile('text', (path) => {
    const row = rowOf(path);
    const [first, ...items] = readAll([row], { now: () => new Date(Number(row.ctimeNs / 1_000_000n) + 45) });
    const { id: _, state: __, ...entry } = row;
    assert.equal(first, { type: 'changed', file: first?.file, entry: { ...entry, ctimeNs: 0n } });
    assert.equal(newsOf(items), ['end of 1']);
    assert.is(contentOf(items).toString(), 'text');
  }),
);

fresh('is trusted once the clock of the file system has gone on', () =>
  withFile('text', (path) => {
    const row = rowOf(path);
    const items = readAll([row], { now: () => new Date(Number(row.ctimeNs / 1_000_000n) + 52) });
    assert.equal(newsOf(items), ['end of 1']);
  }),
);

fresh('by a clock that is ahead of ours is not trusted', () =>
  withFile('text', (path) => {
    const row = rowOf(path);
    const items = readAll([row], { now: () => new Date(Number(row.ctimeNs / 1_000_000n) - 3_600_000) });
    assert.equal(newsOf(items), ['changed for 1', 'end of 1']);
  }),
);

fresh.run();

const unreadable = suite('a file that cannot be read');

function assertFails(path: string, row: JournalEntry, reason: string): void {
  assert.equal(newsOf(readAll([row])), [`failed: ${reason}`]);
  const good = `${path}-good`;
  writeFileSync(good, 'good');
  const items = readAll([row, rowOf(good, 2n)]);
  assert.equal(newsOf(items), [`failed: ${reason}`, 'end of 1'], 'the next one is read');
}

unreadable('because it vanished', () =>
  withFile('text', (path) => {
    const row = rowOf(path);
    rmSync(path);
    assertFails(path, row, 'vanished while it was being backed up');
  }),
);

unreadable('because its folder became a file', () =>
  withTree({ 'folder/file': 'text' }, (root) => {
    const row = rowOf(join(root, 'folder', 'file'));
    rmSync(join(root, 'folder'), { recursive: true });
    writeFileSync(join(root, 'folder'), '');
    assertFails(join(root, 'x'), row, 'vanished while it was being backed up');
  }),
);

unreadable('because it may not be', () =>
  withTree({ file: 'text' }, (root) => {
    const path = join(root, 'file');
    chmodSync(root, 0o755);
    chmodSync(path, 0);
    const row = rowOf(path);
    withoutPrivileges(() => assert.equal(newsOf(readAll([row])), ['failed: permission denied']));
  }),
);

unreadable('because a symlink took its place: it is not followed', () =>
  withFile('text', (path) => {
    const row = rowOf(path);
    rmSync(path);
    symlinkSync('/etc/passwd', path);
    assertFails(path, row, 'became a symlink while it was being backed up');
  }),
);

unreadable('because a pipe took its place: it is not waited for', () =>
  withFile('text', (path) => {
    const row = rowOf(path);
    rmSync(path);
    execFileSync('mkfifo', [path]);
    assertFails(path, row, 'became a fifo while it was being backed up');
  }),
);

unreadable('because a folder took its place', () =>
  withFile('text', (path) => {
    const row = rowOf(path);
    rmSync(path);
    mkdirSync(path);
    assertFails(path, row, 'became a folder while it was being backed up');
  }),
);

unreadable.run();

const bugs = suite('a bug below');

bugs('does not pass for a file that cannot be read', () =>
  withFile('text', (path) => {
    const bug = new TypeError('undefined is not a function');
    const durablePrefix = () => {
      throw bug;
    };
    assert.throws(
      () => readAll([rowOf(path)], { durablePrefix }),
      (error: unknown) => error === bug,
    );
  }),
);

bugs.run();
