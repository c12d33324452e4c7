/** A bar chart of times beside Skylock's, as SVG. */
import { formatFactor, formatMs } from './format.ts';
import { type Element, element, svg, text } from './svg.ts';

export interface ChartCase {
  readonly title: string;
  /** In milliseconds; Skylock's first. */
  readonly bars: readonly { readonly who: string; readonly wallMs: number }[];
}

const [WIDTH, LEFT, RIGHT] = [860, 130, 130];
const [ROW, TITLE, GAP, TOP] = [18, 24, 12, 44];
const OURS = '#0b7285';
const OTHERS = '#adb5bd';

/** Times in multiples of Skylock's, on a logarithmic scale: one bar each, the case's name above them. */
export function barChart(title: string, cases: readonly ChartCase[]): string {
  const ratios = cases.flatMap(({ bars }) => bars.map(({ wallMs }) => wallMs / bars[0]!.wallMs));
  const [least, most] = [0.8 * Math.min(0.5, ...ratios), Math.max(2, ...ratios)];
  const scale = logScale(least, most);
  const x = (ratio: number) => LEFT + scale(ratio) * (WIDTH - LEFT - RIGHT);
  const drawn: Element[] = [];
  let y = TOP;
  for (const { title: name, bars } of cases) {
    drawn.push(text(LEFT, y + 16, name, { weight: 600 }));
    y += TITLE;
    for (const [index, { who, wallMs }] of bars.entries()) {
      const ratio = wallMs / bars[0]!.wallMs;
      const fill = index === 0 ? OURS : OTHERS;
      drawn.push(text(LEFT - 8, y + 13, who, { anchor: 'end' }));
      drawn.push(element('rect', { x: LEFT, y: y + 2, width: x(ratio) - LEFT, height: ROW - 4, fill }));
      const label = index === 0 ? formatMs(wallMs) : `${formatMs(wallMs)} · ${formatFactor(ratio)}`;
      drawn.push(text(x(ratio) + 6, y + 13, label, { halo: true }));
      y += ROW;
    }
    y += GAP;
  }
  const lines = gridOf(least, most).flatMap((ratio) => [
    element('line', {
      x1: x(ratio),
      x2: x(ratio),
      y1: TOP,
      y2: y,
      stroke: ratio === 1 ? '#868e96' : '#e9ecef',
    }),
    text(x(ratio), y + 14, `${ratio} ×`, { anchor: 'middle', size: 11, fill: '#868e96' }),
  ]);
  return svg(WIDTH, y + 28, title, [text(LEFT, 24, title, { weight: 600, size: 15 }), ...lines, ...drawn]);
}

/** @returns from a ratio to a place between 0 and 1 */
export function logScale(least: number, most: number): (ratio: number) => number {
  const [from, to] = [Math.log(least), Math.log(most)];
  return (ratio) => (Math.log(ratio) - from) / (to - from);
}

/** @returns 0.5, 1, 2, 5, 10, 20, 50, … as far as they lie between */
export function gridOf(least: number, most: number): number[] {
  const grid: number[] = [];
  for (let power = 0.001; power <= most; power *= 10) {
    for (const step of [1, 2, 5]) grid.push(Number((power * step).toPrecision(1)));
  }
  return grid.filter((ratio) => ratio >= least && ratio <= most);
}
