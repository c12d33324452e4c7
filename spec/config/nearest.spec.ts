import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { editDistance, nearest } from '../../lib/config/nearest.ts';

const words = suite('the nearest word');

words('is as many letters away as have to be mended', () => {
  for (const [from, to, distance] of [
    ['', '', 0],
    ['', 'abc', 3],
    ['abc', '', 3],
    ['same', 'same', 0],
    ['kitten', 'sitting', 3],
    ['ab', 'ba', 1],
    ['remtoe', 'remote', 1],
    ['ca', 'abc', 3],
  ] as const) {
    assert.is(editDistance(from, to), distance, `${from} → ${to}`);
    assert.is(editDistance(to, from), distance, `${to} → ${from}`);
  }
});

words('is none where no word is near', () => {
  const known = ['remote', 'connections'];
  assert.is(nearest('remot', known), 'remote');
  assert.is(nearest('REMOTE', known), 'remote');
  assert.is(nearest('colour', known), null);
  assert.is(nearest('x', []), null);
});

words.run();
