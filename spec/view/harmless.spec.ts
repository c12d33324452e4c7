import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { harmless, harmlessJson, harmlessLines } from '../../lib/view/harmless.ts';

const text = suite('a hostile file name');

text('cannot move the cursor, ring, begin a line or turn the direction', () => {
  for (const [name, shown] of [
    ['\x1b[2Jgone', '\\e[2Jgone'],
    ['a\nb\r\tc', 'a\\nb\\r\\tc'],
    ['\x07\x08\x7f\0', '\\x07\\x08\\x7f\\x00'],
    ['\x9b31m', '\\x9b31m'],
    ['\u202egnp.exe', '\\u202egnp.exe'],
    ['\u2066\u2069\u200e\u061c', '\\u2066\\u2069\\u200e\\u061c'],
    ['\u2028\u2029', '\\u2028\\u2029'],
    ['\ud800x', '\\ud800x'],
  ] as const) {
    assert.is(harmless(name), shown);
  }
});

text('is left as it is when it is only foreign', () => {
  for (const name of [
    '',
    'a b.txt',
    'Übermut',
    '日本語',
    'हिन्दी',
    '👨‍👩‍👧.jpg',
    '🏴󠁧󠁢󠁥󠁮󠁧󠁿',
    '\\e[2J',
    'a\u00a0b',
  ]) {
    assert.is(harmless(name), name);
  }
});

text('leaves no control character, whatever it holds', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (name) => !/[\p{Cc}\p{Cs}]/u.test(harmless(name))));
});

text('may have lines where the text is ours', () => {
  assert.is(harmlessLines('a\n\x1b[A\nb'), 'a\n\\e[A\nb');
});

text('comes out of JSON as it was, and is harmless on the way', () => {
  const name = 'a\x1b[2J\n\x9b\x7f\u202e\u2028é';
  const json = harmlessJson({ name });
  assert.not.match(json, /[\p{Cc}\u202e\u2028]/u);
  assert.equal(JSON.parse(json), { name });
});

text.run();
