import { eastAsianWidth } from 'get-east-asian-width';

const ASCII = /^[\x20-\x7e]*$/;
const INVISIBLE = /[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}\p{Mn}\p{Me}\p{Cs}]/gu;
/** A spacing mark or a halfwidth voiced sound mark has a column of its own beside the letter it belongs to. */
const SPACING_MARK = /[\p{Mc}\uff9e\uff9f]/gu;

let segmenter: Intl.Segmenter | undefined;

/** What a reader takes for one character. @see https://www.unicode.org/reports/tr29/ */
function* graphemes(text: string): Generator<string> {
  // Costs 8 ms to make, and most programs print ASCII only.
  segmenter ??= new Intl.Segmenter(undefined, { granularity: 'grapheme' });
  for (const { segment } of segmenter.segment(text)) yield segment;
}

function graphemeWidth(grapheme: string): number {
  const visible = grapheme.replace(INVISIBLE, '');
  if (visible === '') return 0;
  // Emoji presentation asked for, or two regional indicators: a flag.
  if (grapheme.includes('\ufe0f') || /^\p{RI}{2}/u.test(visible)) return 2;
  const [first = '', ...others] = visible;
  return eastAsianWidth(first.codePointAt(0) ?? 0) + (others.join('').match(SPACING_MARK)?.length ?? 0);
}

/** @param text without escape sequences; @returns the columns it takes in a terminal. */
export function displayWidth(text: string): number {
  if (ASCII.test(text)) return text.length;
  let width = 0;
  for (const grapheme of graphemes(text)) width += graphemeWidth(grapheme);
  return width;
}

/** @returns the longest beginning of `text` that fits into `width` columns. */
export function takeStart(text: string, width: number): string {
  if (ASCII.test(text)) return text.slice(0, Math.max(0, width));
  return take(graphemes(text), width).join('');
}

function takeEnd(text: string, width: number): string {
  if (ASCII.test(text)) return width <= 0 ? '' : text.slice(-width);
  return take([...graphemes(text)].reverse(), width)
    .reverse()
    .join('');
}

function take(from: Iterable<string>, width: number): string[] {
  const taken: string[] = [];
  let left = width;
  for (const grapheme of from) {
    left -= graphemeWidth(grapheme);
    if (left < 0) break;
    taken.push(grapheme);
  }
  return taken;
}

/**
 * @returns `text`, or its beginning and its longer end around `…` in at most `width` columns: a path's end says most, and
 * where there is room for little it is all that is left
 */
export function shortenMiddle(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  if (width < 1) return '';
  const start = width < 20 ? '' : takeStart(text, Math.floor((width - 1) / 3));
  return `${start}…${takeEnd(text, width - 1 - displayWidth(start))}`;
}

export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)));
}

export function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - displayWidth(text))) + text;
}

/** What stands between quotes is a command to be copied: its spaces are no place to break. */
const QUOTED = /(?<![^\s(])'[^']+'/g;
const NO_BREAK_SPACE = '\u00a0';

/**
 * @returns lines of at most `width` columns, broken at spaces, the later ones indented by two columns more than the first;
 * a word longer than that, mostly a path, keeps a line to itself
 */
export function wrapWords(text: string, width: number): string[] {
  const indent = `${/^ */.exec(text)?.[0] ?? ''}  `;
  const lines: string[] = [];
  let line = '';
  for (const word of text
    .replace(QUOTED, (quoted) => quoted.replaceAll(' ', NO_BREAK_SPACE))
    .split(/(?<=\S) /)) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line === '' || displayWidth(longer) <= width) {
      line = longer;
    } else {
      lines.push(line);
      line = indent + word;
    }
  }
  return [...lines, line].map((each) => each.replaceAll(NO_BREAK_SPACE, ' '));
}
