/** What a soak came to, in words. */
import { formatBytes } from '../../lib/units.ts';
import type { Kill, LifeReport } from './life.ts';

const BAR = 40;
const MIB = 1024 * 1024;
/** Upper ends of the classes, the last of which has none. */
const CLASSES = [0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32].map((mebibytes) => mebibytes * MIB);

export function describeTotals(lives: readonly LifeReport[]): string {
  const total = (count: (life: LifeReport) => number) => lives.reduce((sum, life) => sum + count(life), 0);
  const kills = lives.flatMap((life) => life.kills);
  const quiet = kills.filter(({ faults }) => faults === 0);
  const shares = quiet
    .filter(({ lostBytes, inFlightBytes }) => lostBytes > 0 && inFlightBytes > 0)
    .map(({ lostBytes, inFlightBytes }) => lostBytes / inFlightBytes);
  return [
    `${kills.length} kills survived in ${total(({ runs }) => runs)} runs, ${total(({ faults }) => faults)} faults of the line`,
    `${total(({ backups }) => backups)} backups restored, compared and verified: nothing lost`,
    `${formatBytes(total(({ sentBytes }) => sentBytes))} sent`,
    '',
    `to be sent again after a kill (${quiet.length} without faults of the line):`,
    ...describeLost(quiet),
    `at most ${Math.round(100 * Math.max(0, ...shares))} % of what all lanes can have in flight`,
    '',
    `to be sent again after a kill on a line with faults (${kills.length - quiet.length}):`,
    ...describeLost(kills.filter(({ faults }) => faults > 0)),
  ].join('\n');
}

function describeLost(kills: readonly Kill[]): string[] {
  if (kills.length === 0) return ['  none'];
  const lost = kills.map(({ lostBytes }) => lostBytes).sort((a, b) => a - b);
  const at = (share: number) =>
    formatBytes(lost[Math.min(lost.length - 1, Math.floor(share * lost.length))]!);
  const counts = [...CLASSES, Number.POSITIVE_INFINITY].map((end, index, ends) => {
    const begin = ends[index - 1] ?? 0;
    return { end, count: lost.filter((bytes) => bytes >= begin && bytes < end).length };
  });
  const most = Math.max(...counts.map(({ count }) => count));
  const rows = counts
    .filter(({ count }) => count > 0)
    .map(({ end, count }) => {
      const label = end === Number.POSITIVE_INFINITY ? 'more' : `< ${end / MIB} MiB`;
      return `  ${label.padStart(10)} ${'█'.repeat(Math.ceil((count / most) * BAR))} ${count}`;
    });
  return [`  median ${at(0.5)}, 90 % below ${at(0.9)}, most ${at(1)}`, ...rows];
}
