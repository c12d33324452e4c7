import { harmless } from './harmless.ts';
import { displayWidth, padEnd, padStart, shortenMiddle } from './width.ts';

export interface Column {
  readonly title: string;
  /** Figures end in one line; the titles above them as well. */
  readonly align?: 'left' | 'right';
  /** May be shortened in the middle, down to ten columns, where the window is narrow: a path, a name. */
  readonly shrinks?: boolean;
}

const GAP = 2;
const SHRUNK = 10;

/**
 * @param width columns of the window; `Infinity` where nobody looks
 * @returns lines without a newline at the end; where the window is too narrow, a paragraph for each row
 */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
): string {
  const cells = rows.map((row) => columns.map((_, index) => harmless(row[index] ?? '')));
  const widths = fit(columns, cells, width);
  if (widths === null) return formatParagraphs(columns, cells, width);
  const line = (texts: readonly string[]) =>
    columns
      .map(({ align }, index) => {
        const text = shortenMiddle(texts[index] ?? '', widths[index] ?? 0);
        return (align === 'right' ? padStart : padEnd)(text, widths[index] ?? 0);
      })
      .join(' '.repeat(GAP))
      .trimEnd();
  return [line(columns.map((column) => column.title)), ...cells.map(line)].join('\n');
}

/** @returns the width of each column, or `null` when they do not fit however much is shortened. */
function fit(
  columns: readonly Column[],
  cells: readonly (readonly string[])[],
  width: number,
): number[] | null {
  const widths = columns.map((column, index) =>
    cells.reduce((most, row) => Math.max(most, displayWidth(row[index] ?? '')), displayWidth(column.title)),
  );
  let excess = widths.reduce((sum, each) => sum + each + GAP, -GAP) - width;
  while (excess > 0) {
    // The widest gives way first: short ones stay whole as long as that is possible.
    const most = columns.reduce((best, { shrinks }, index) => {
      const shrinkable = shrinks === true && (widths[index] ?? 0) > SHRUNK;
      return shrinkable && (best < 0 || (widths[index] ?? 0) > (widths[best] ?? 0)) ? index : best;
    }, -1);
    if (most < 0) return null;
    widths[most] = (widths[most] ?? 0) - 1;
    excess -= 1;
  }
  return widths;
}

function formatParagraphs(
  columns: readonly Column[],
  cells: readonly (readonly string[])[],
  width: number,
): string {
  const names = Math.max(...columns.map((column) => displayWidth(column.title)));
  const room = Math.max(SHRUNK, width - names - GAP);
  return cells
    .map((row) =>
      columns
        .map((column, index) => {
          const text = row[index] ?? '';
          const shown = column.shrinks === true ? shortenMiddle(text, room) : text;
          return `${padEnd(column.title, names + GAP)}${shown}`.trimEnd();
        })
        .join('\n'),
    )
    .join('\n\n');
}
