import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { displayWidth, padEnd, padStart, shortenMiddle, takeStart, wrapWords } from '../../lib/view/width.ts';

const width = suite('the width of text');

width('counts columns, not characters', () => {
  for (const [text, columns] of [
    ['', 0],
    ['plain', 5],
    ['naïve', 5],
    ['nai\u0308ve', 5],
    ['日本語', 6],
    ['한국어', 6],
    ['\u1112\u1161\u11ab', 2],
    ['ｶﾞ', 2],
    ['📦', 2],
    ['🗜️', 2],
    ['👨‍👩‍👧', 2],
    ['👍🏽', 2],
    ['🇩🇪', 2],
    ['1️⃣', 2],
    ['█░', 2],
    ['\u200b', 0],
    ['הָ', 1],
  ] as const) {
    assert.is(displayWidth(text), columns, JSON.stringify(text));
  }
});

width('of padded text is the width asked for', () => {
  assert.is(padEnd('日本', 6), '日本  ');
  assert.is(padStart('12', 5), '   12');
  assert.is(padEnd('longer', 3), 'longer');
});

width.run();

const short = suite('a name shortened to fit');

short('keeps its beginning and, longer, its end', () => {
  assert.is(
    shortenMiddle('/home/user/Documents/2024/holiday/IMG_0001.jpg', 30),
    '/home/use…holiday/IMG_0001.jpg',
  );
  assert.is(shortenMiddle('/home/user/Documents/IMG_0001.jpg', 13), '…IMG_0001.jpg');
  assert.is(shortenMiddle('fits', 4), 'fits');
  assert.is(shortenMiddle('does not', 1), '…');
  assert.is(shortenMiddle('does not', 0), '');
});

short('never cuts a character in two, nor takes more columns than it may', () => {
  const names = fc.string({ unit: 'grapheme', maxLength: 60 });
  fc.assert(
    fc.property(names, fc.integer({ min: 0, max: 50 }), (name, columns) => {
      const shown = shortenMiddle(name, columns);
      return (
        displayWidth(shown) <= columns && (shown === name) === (displayWidth(name) <= columns || name === '')
      );
    }),
  );
  assert.is(shortenMiddle('👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧', 5), '…👨‍👩‍👧👨‍👩‍👧');
  assert.is(takeStart('日本語', 3), '日');
});

short.run();

const wrapped = suite('text broken into lines');

wrapped('is broken between words and indented', () => {
  assert.equal(wrapWords('   📍 Remote: sftp://user@host/folder', 20), [
    '   📍 Remote:',
    '     sftp://user@host/folder',
  ]);
  assert.equal(wrapWords('one two three', 7), ['one two', '  three']);
  assert.equal(wrapWords('fits  with its   spaces', 80), ['fits  with its   spaces']);
  assert.equal(wrapWords('', 80), ['']);
  assert.equal(wrapWords("type 'a b c' (or 'd e'), it's the user's", 7), [
    'type',
    "  'a b c'",
    '  (or',
    "  'd e'),",
    "  it's",
    '  the',
    "  user's",
  ]);
});

wrapped.run();
