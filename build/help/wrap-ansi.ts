import { displayWidth, takeStart } from '../../lib/view/width.ts';

/** Stands for the package of this name where yargs takes it: breaks plain text between words, and words that are too long. */
export default function wrap(text: string, width: number): string {
  return text
    .split('\n')
    .flatMap((line) => wrapLine(line, width))
    .join('\n');
}

function wrapLine(line: string, width: number): string[] {
  const rows: string[] = [];
  let row = '';
  for (const word of line.split(' ')) {
    const start = row === '' ? '' : `${row} `;
    const used = displayWidth(start);
    const needed = displayWidth(word);
    if (used + needed <= width || word === '') {
      row = start + word;
    } else if (needed <= width || rowsOf(needed, width) < rowsOf(used + needed, width)) {
      if (row !== '') rows.push(row);
      row = breakInto(rows, word, width);
    } else {
      row = breakInto(rows, start + word, width);
    }
  }
  return [...rows, row].map((each) => each.trimEnd());
}

function rowsOf(columns: number, width: number): number {
  return Math.ceil(columns / width);
}

/** Adds full rows to `rows`; @returns the rest */
function breakInto(rows: string[], text: string, width: number): string {
  let rest = text;
  while (displayWidth(rest) > width) {
    const row = takeStart(rest, width) || rest.slice(0, 1);
    rows.push(row);
    rest = rest.slice(row.length);
  }
  return rest;
}
