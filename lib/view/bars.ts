import {
  formatBytes,
  formatCount,
  formatDuration,
  formatPartOfBytes,
  formatPercent,
  formatRate,
} from '../units.ts';
import { harmless } from './harmless.ts';
import type { Paint } from './paint.ts';
import { timeLeftMs } from './rate.ts';
import type { Lane, Tally } from './tally.ts';
import { displayWidth, padEnd, padStart, shortenMiddle, takeStart } from './width.ts';

/** What the bars are drawn for. */
export interface Look {
  /** Lines are at most so wide. */
  readonly width: number;
  /** Of the window. */
  readonly height: number;
  readonly paint: Paint;
  /** Turns with every picture: the sign of life where nothing can be counted. */
  readonly spinner: string;
  readonly nowMs: number;
}

const BAR_WIDTH = 32;
const NARROWEST_BAR = 8;
const NARROWEST_NAME = 8;
/** Between two packs a lane is idle for a moment: nothing to tell anybody. */
const IDLE_MS = 1_000;
const RESUMED = ' [RESUMED]';
/** Below that, a line says less. */
const NARROW = 60;

/** @returns the lines of the whole: what is being done, how far it is. */
export function drawWhole(tally: Tally, look: Look): string[] {
  const { paint, width, spinner, nowMs } = look;
  const busy = (text: string) => [`   ${paint('cyan', spinner)} ${shortenMiddle(text, width - 5)}`];
  if (tally.stage === 'starting') return [];
  if (tally.stage === 'scanning' || tally.stage === 'planning') {
    const since = formatDuration(nowMs - tally.stageSinceMs);
    if (tally.stage === 'planning') return busy(`Comparing with what is there · ${since}`);
    if (tally.found === null) return busy(`Looking at files · ${since}`);
    const { files, bytes } = tally.found;
    return busy(`Found ${formatCount(files, 'file')} so far (${formatBytes(bytes)})`);
  }
  const lines = ['', paint('bold', '📦 Overall Progress'), ...drawBar(tally, look)];
  if (tally.stage === 'publishing')
    return [...lines, shortenMiddle(sizes(tally), width), ...busy('Publishing the backup')];
  return [...lines, ...drawFigures(tally, look)];
}

/** @returns a line for each lane, in the order of their numbers, as many as the window has room for. */
export function drawLanes(tally: Tally, look: Look): string[] {
  if (tally.stage !== 'moving') return [];
  const room = Math.max(1, look.height - drawWhole(tally, look).length - 3);
  const lanes = [...tally.lanes.entries()]
    .filter(([number, { pack }]) => number < tally.laneCount || pack !== null)
    .sort(([a], [b]) => a - b);
  return lanes.slice(0, room).map(([, lane]) => drawLane(lane, tally.restoring ? '↓' : '↑', look));
}

/** @returns what the lanes wait for, when they do. */
export function drawTrouble({ retry }: Tally, { width, paint, nowMs }: Look): string[] {
  // A short wait stays to be read for two seconds.
  if (retry === null || nowMs >= Math.max(retry.untilMs, retry.atMs + 2_000)) return [];
  const when = nowMs < retry.untilMs ? `in ${formatDuration(retry.untilMs - nowMs)}` : 'now';
  const text = `Trying again ${when}: ${harmless(retry.reason)}`;
  return [paint('yellow', displayWidth(text) <= width ? text : `${takeStart(text, width - 1)}…`)];
}

/** @returns what stays on the screen when the flow has ended, well or not. */
export function drawEnd(tally: Tally, look: Look): string[] {
  if (tally.totalFiles === null) return [];
  const heading = look.paint('bold', '📦 Overall Progress');
  const took = formatDuration(look.nowMs - tally.startedMs);
  return [
    '',
    heading,
    ...drawBar(tally, look),
    look.paint('dim', shortenMiddle(`${sizes(tally)} · ${took}`, look.width)),
  ];
}

/** @returns `25/150 files (16%) [RESUMED]` */
export function labelOf({ doneFiles, totalFiles, unit, resumed }: Tally): string {
  if (totalFiles === null) return formatCount(doneFiles, unit);
  const share = `${doneFiles}/${totalFiles} ${unit}s (${formatPercent(doneFiles, totalFiles)})`;
  return resumed ? share + RESUMED : share;
}

/** @returns `12.4 MB/s` and `2m 37s left`, or what can be said of them. */
export function figuresOf(tally: Tally, nowMs: number): string[] {
  const perSecond = tally.rate.perSecond(nowMs);
  const leftMs = timeLeftMs(tally.totalBytes - tally.doneBytes, perSecond);
  return [
    ...(perSecond === null ? [] : [formatRate(perSecond)]),
    leftMs === null ? 'time left unknown' : `${formatDuration(leftMs)} left`,
  ];
}

/** @returns `392 MB of 2.34 GB` */
export function sizes({ doneBytes, totalBytes }: Tally): string {
  return `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
}

/** How much of the bar is full: by bytes, which is what takes the time, however few files are whole yet. */
export function shareOf({ doneFiles, totalFiles, doneBytes, totalBytes }: Tally): number {
  if (totalFiles === null || totalFiles === 0) return totalFiles === 0 ? 1 : 0;
  return Math.min(1, totalBytes > 0 ? doneBytes / totalBytes : doneFiles / totalFiles);
}

function drawBar(tally: Tally, { width, paint }: Look): string[] {
  const label = labelOf(tally);
  // As wide as it will ever be: the bar must not change its length on the way.
  const widest = displayWidth(labelOf({ ...tally, doneFiles: tally.totalFiles ?? tally.doneFiles }));
  const beside = width - widest - 1;
  const cells = Math.max(1, Math.min(BAR_WIDTH, beside >= NARROWEST_BAR ? beside : width));
  const full = Math.floor(shareOf(tally) * cells);
  const bar = paint('green', '█'.repeat(full)) + paint('dim', '░'.repeat(cells - full));
  return beside >= NARROWEST_BAR ? [`${bar} ${label}`] : [bar, shortenMiddle(label, width)];
}

function drawFigures(tally: Tally, { width, nowMs }: Look): string[] {
  const figures = figuresOf(tally, nowMs).join(' · ');
  if (width >= NARROW) return [`${sizes(tally)} · ${figures}`];
  return [shortenMiddle(sizes(tally), width), shortenMiddle(figures, width)];
}

function drawLane({ pack: current, last, rate }: Lane, arrow: string, { width, paint, nowMs }: Look): string {
  const [indent, gap] = width >= NARROW ? ['   ', '  '] : ['', ' '];
  const justDone = last !== null && nowMs < last.untilMs + IDLE_MS ? last.pack : null;
  const pack = current ?? justDone;
  if (pack === null) return `${indent}${paint('dim', '· waiting')}`;
  const perSecond = rate.perSecond(nowMs);
  const figures = [
    padStart(formatPartOfBytes(pack.sentBytes, pack.sizeBytes), '99.9/99.9 MB'.length),
    padStart(perSecond === null ? '' : formatRate(perSecond), '99.9 MB/s'.length),
  ];
  const roomBeside = (columns: readonly string[]) =>
    width - indent.length - 2 - columns.reduce((sum, column) => sum + gap.length + column.length, 0);
  // A name of fewer columns says nothing: rather none of the figures, the last one first.
  while (figures.length > 0 && roomBeside(figures) < NARROWEST_NAME) figures.pop();
  const room = Math.max(1, roomBeside(figures));
  const name = padEnd(shortenMiddle(harmless(pack.file), room), room);
  const columns = figures.map((figure) => gap + paint('dim', figure));
  return `${indent}${paint('cyan', arrow)} ${name}${columns.join('')}`.trimEnd();
}
