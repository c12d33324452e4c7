import { stripVTControlCharacters } from 'node:util';
import { displayWidth } from './width.ts';

/** Escape sequences, by the names of ECMA-48 and xterm's control sequences document. */
const BEGIN_SYNCHRONIZED = '\x1b[?2026h';
const END_SYNCHRONIZED = '\x1b[?2026l';
const NO_WRAP = '\x1b[?7l';
const WRAP = '\x1b[?7h';
const ERASE_LINE_END = '\x1b[K';
const ERASE_BELOW = '\x1b[J';

export interface Frame {
  /** @returns what to write so that the window shows these lines in place of the last ones; empty when it does already. */
  draw(lines: readonly string[], columns: number): string;
  /** @returns what to write so that the lines are gone and the cursor stands where they began. */
  erase(columns: number): string;
}

/**
 * A few lines that are drawn again and again at the bottom of a window, the cursor on the line below them. Wrapping is
 * off while they are written, so that a character which is wider than we measured cannot push them apart; it is on
 * again, and the cursor never hidden, before the next thing happens: a program that is killed leaves the window sound.
 */
export function createFrame(): Frame {
  let drawn: readonly string[] = [];
  let drawnColumns = 0;
  const toBeginning = (columns: number) => {
    const rows = drawn.reduce((sum, line) => sum + rowsOf(line, columns), 0);
    return rows > 0 ? `\r\x1b[${rows}A` : '\r';
  };
  return {
    draw(lines, columns) {
      const unchanged = columns === drawnColumns && lines.length === drawn.length;
      if (unchanged && lines.every((line, index) => line === drawn[index])) return '';
      const text = [
        BEGIN_SYNCHRONIZED,
        NO_WRAP,
        toBeginning(columns),
        // A terminal that broke lines remembers which rows belong together until they are erased.
        columns === drawnColumns ? '' : ERASE_BELOW,
        // Each line is overwritten and its end erased, rather than all erased first: nothing flickers.
        ...lines.map((line) => `${line}${ERASE_LINE_END}\n`),
        ERASE_BELOW,
        WRAP,
        END_SYNCHRONIZED,
      ].join('');
      drawn = [...lines];
      drawnColumns = columns;
      return text;
    },
    erase(columns) {
      if (drawn.length === 0) return '';
      const text = toBeginning(columns) + ERASE_BELOW;
      drawn = [];
      return text;
    },
  };
}

/** A window made narrower breaks the lines that are in it. */
function rowsOf(line: string, columns: number): number {
  return Math.max(1, Math.ceil(displayWidth(stripVTControlCharacters(line)) / columns));
}
