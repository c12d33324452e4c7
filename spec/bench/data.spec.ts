import { hash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { withFolder } from '../helpers/temporary.ts';
import { records, seeded, text } from './content.ts';
import { provideData } from './data.ts';
import { lookAt, newBytes } from './folder-look.ts';

const content = suite('made content');

content('is the same each time, and another for another seed', () => {
  const of = (seed: string) => hash('sha256', text(seeded(seed), 10_000));
  assert.is(of('a'), of('a'));
  assert.is.not(of('a'), of('b'));
  assert.is(hash('sha256', text(seeded('frozen'), 10_000)).slice(0, 16), '50d0fd1dcd05f649');
});

content('shrinks as it says', () => {
  const share = (bytes: Buffer) => zstdCompressSync(bytes).length / bytes.length;
  const random = seeded('shares');
  assert.ok(share(random.bytes(100_000)) > 0.99);
  assert.ok(share(text(random, 100_000)) > 0.25 && share(text(random, 100_000)) < 0.45);
  assert.ok(share(records(random, 100_000)) > 0.35 && share(records(random, 100_000)) < 0.6);
});

content('has exactly the length that was asked for', () => {
  const random = seeded('lengths');
  for (const length of [0, 1, 63, 64, 65, 1000]) {
    for (const make of [text, records]) assert.is(make(random, length).length, length);
  }
  const drawn = Array.from({ length: 20_000 }, () => random.below(10));
  assert.equal([...new Set(drawn)].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});
content.run();

const sets = suite('a data set');

sets('is made once, and made anew where it is not whole', async () => {
  await withFolder(async (folder) => {
    const told: string[] = [];
    const provide = () => provideData('small-2000', folder, (line) => told.push(line));
    const made = provide();
    assert.equal([made.files, readdirSync(join(made.path, '0000')).length], [2000, 100]);
    assert.is(lookAt(made.path).bytes, made.bytes);
    assert.equal(provide(), made);
    assert.is(told.length, 1);
    writeFileSync(join(folder, 'small-2000.json'), '{}');
    writeFileSync(join(made.path, 'stray'), 'of a set that was not finished');
    assert.equal(provide(), made);
    assert.is(lookAt(made.path).files, 2000);
    rmSync(made.path, { recursive: true });
    assert.equal(provide(), made);
    assert.is(lookAt(made.path).files, 2000, 'removed for its room');
  });
});
sets.run();

const looks = suite('what is new in a folder');

looks('are the files that were added or written again', async () => {
  await withFolder(async (folder) => {
    for (const name of ['same', 'changed']) writeFileSync(join(folder, name), 'some text');
    const before = lookAt(folder);
    writeFileSync(join(folder, 'changed'), 'another text');
    writeFileSync(join(folder, 'added'), readFileSync(join(folder, 'same')));
    assert.is(newBytes(before, lookAt(folder)), 'another text'.length + 'some text'.length);
    assert.is(newBytes(lookAt(folder), lookAt(folder)), 0);
  });
});
looks.run();
