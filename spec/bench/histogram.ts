/** How often which part of a run was sent again, one row a program, as SVG. */
import { type Element, element, svg, text } from './svg.ts';

export interface Sent {
  readonly name: string;
  /** Of one whole run, one a kill: 0 to 1, or more. */
  readonly shares: readonly number[];
}

const [WIDTH, LEFT, RIGHT, TOP] = [860, 130, 30, 48];
const [PLOT, ROW] = [64, 96];
const BINS = 20;
/** Everything from here on is in the last bin. */
const MOST = 1;
const OURS = '#0b7285';
const OTHERS = '#868e96';

/** @param rows ours first */
export function histograms(title: string, rows: readonly Sent[]): string {
  const counts = rows.map(({ shares }) => binned(shares));
  const highest = Math.max(1, ...counts.flat());
  const binWidth = (WIDTH - LEFT - RIGHT) / BINS;
  const drawn: Element[] = [text(LEFT, 24, title, { weight: 600, size: 15 })];
  for (const [index, { name }] of rows.entries()) {
    const floor = TOP + index * ROW + PLOT;
    drawn.push(text(LEFT - 12, floor - PLOT / 2 + 4, name, { anchor: 'end', weight: 600 }));
    for (const [bin, count] of counts[index]!.entries()) {
      if (count === 0) continue;
      const height = (count / highest) * (PLOT - 14);
      const bar = { x: LEFT + bin * binWidth + 1, y: floor - height, width: binWidth - 2, height };
      drawn.push(element('rect', { ...bar, fill: index === 0 ? OURS : OTHERS }));
      const middle = bar.x + bar.width / 2;
      drawn.push(text(middle, bar.y - 3, String(count), { anchor: 'middle', size: 10, fill: '#495057' }));
    }
    drawn.push(element('line', { x1: LEFT, x2: WIDTH - RIGHT, y1: floor, y2: floor, stroke: '#ced4da' }));
    for (let tick = 0; tick <= BINS; tick += 4) {
      const label = `${(100 * MOST * tick) / BINS} %`;
      drawn.push(
        text(LEFT + tick * binWidth, floor + 14, label, { anchor: 'middle', size: 10, fill: '#868e96' }),
      );
    }
  }
  return svg(WIDTH, TOP + rows.length * ROW + 4, title, drawn);
}

/** @returns how many shares lie in each twentieth; what is 1 or more counts to the last one */
export function binned(shares: readonly number[]): number[] {
  const counts = Array.from({ length: BINS }, () => 0);
  for (const share of shares) {
    const bin = Math.min(BINS - 1, Math.max(0, Math.floor((share / MOST) * BINS)));
    counts[bin]! += 1;
  }
  return counts;
}
