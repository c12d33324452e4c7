import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createFrame } from '../../lib/view/frame.ts';
import { screenOf } from './fakes.ts';

const frame = suite('lines drawn again and again');

frame('take the place of the last ones, below what was there', () => {
  const each = createFrame();
  const text = ['before\n', each.draw(['one', 'two', 'three'], 20), each.draw(['1', 'second'], 20)].join('');
  assert.equal(screenOf(text, 20, 10), ['before', '1', 'second', '']);
});

frame('cost nothing when they are as they were', () => {
  const each = createFrame();
  each.draw(['one'], 20);
  assert.is(each.draw(['one'], 20), '');
  assert.is.not(each.draw(['one'], 19), '');
  assert.is.not(each.draw(['one', 'two'], 19), '');
});

frame('make room for a line that stays', () => {
  const each = createFrame();
  const text = [
    each.draw(['bar', 'lane'], 20),
    each.erase(20),
    'stays\n',
    each.draw(['bar', 'lane'], 20),
  ].join('');
  assert.equal(screenOf(text, 20, 10), ['stays', 'bar', 'lane', '']);
  assert.is(createFrame().erase(20), '');
});

frame('never wrap, and leave wrapping on and the cursor to be seen', () => {
  const text = createFrame().draw(['x'.repeat(30)], 20);
  assert.equal(screenOf(`${text}after`, 20, 10), ['x'.repeat(20), 'after']);
  assert.match(text, /\x1b\[\?7h(?!.*\x1b\[\?7l)/s);
  assert.not.match(text, '\x1b[?25l');
  assert.equal(screenOf(`${text}${'y'.repeat(25)}`, 20, 10).slice(1), ['y'.repeat(20), 'yyyyy']);
});

frame('are found again in a window made narrower, which has broken them', () => {
  const each = createFrame();
  each.draw(['x'.repeat(39), 'short'], 40);
  // 39 columns are two rows of 20 now, and the short one is still one.
  assert.match(each.draw(['new'], 20), '\r\x1b[3A\x1b[J');
});

frame('show what was drawn last, whatever came before', () => {
  const lines = fc.array(fc.stringMatching(/^[a-z]{1,10}$/), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(fc.array(lines, { minLength: 1 }), (pictures) => {
      const each = createFrame();
      const text = pictures.map((picture) => each.draw(picture, 20)).join('');
      assert.equal(screenOf(text, 20, 10), [...(pictures.at(-1) ?? []), '']);
    }),
  );
});

frame.run();
