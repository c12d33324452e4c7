import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatTable } from '../../lib/view/table.ts';
import { displayWidth } from '../../lib/view/width.ts';

const table = suite('a table');

const COLUMNS = [
  { title: 'id' },
  { title: 'files', align: 'right' },
  { title: 'sources', shrinks: true },
] as const;
const ROWS = [
  ['20251107_142030', '150', '/home/user/Documents, /home/user/Pictures'],
  ['20251108_142030', '12', '/日本語'],
];

table('has its figures in one line and no blanks at the ends', () => {
  assert.equal(formatTable(COLUMNS, ROWS, Infinity).split('\n'), [
    'id               files  sources',
    '20251107_142030    150  /home/user/Documents, /home/user/Pictures',
    '20251108_142030     12  /日本語',
  ]);
});

table('shortens what may be shortened to fit the window', () => {
  assert.equal(formatTable(COLUMNS, ROWS, 44).split('\n'), [
    'id               files  sources',
    '20251107_142030    150  /home/…user/Pictures',
    '20251108_142030     12  /日本語',
  ]);
});

table('becomes a paragraph a row where the window is too narrow', () => {
  assert.equal(formatTable(COLUMNS, ROWS, 30).split('\n'), [
    'id       20251107_142030',
    'files    150',
    'sources  /home/…/user/Pictures',
    '',
    'id       20251108_142030',
    'files    12',
    'sources  /日本語',
  ]);
});

table('of nothing has its titles', () => {
  assert.is(formatTable(COLUMNS, [], 80), 'id  files  sources');
});

table('cannot be broken by a hostile name', () => {
  const shown = formatTable([{ title: 'path' }], [['a\nb\x1b[2J']], 80);
  assert.is(shown, 'path\na\\nb\\e[2J');
});

table('is never wider than the window while a column can give way', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'grapheme' })),
      fc.integer({ min: 34, max: 100 }),
      (paths, width) => {
        const rows = paths.map((path) => ['20251107_142030', '1', path]);
        return formatTable(COLUMNS, rows, width)
          .split('\n')
          .every((line) => displayWidth(line) <= width);
      },
    ),
  );
});

table.run();
