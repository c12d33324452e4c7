import { displayWidth } from '../../lib/view/width.ts';

/** Stands for the package of this name where yargs takes it: breaks plain text between words, long words at `width`. */
export default function wrap(text: string, width: number): string {
  return text
    .split('\n')
    .flatMap((line) => wrapLine(line, width))
    .join('\n');
}

function wrapLine(line: string, width: number): string[] {
  const rows = [''];
  for (const word of line.split(' ')) {
    const row = rows.at(-1) ?? '';
    const longer = row === '' ? word : `${row} ${word}`;
    if (displayWidth(longer) <= width) rows[rows.length - 1] = longer;
    else if (row === '') rows[0] = word;
    else rows.push(word);
  }
  return rows;
}
