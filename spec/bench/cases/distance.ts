/** Backups to a server that is far away: the others take minutes there, and are measured once. */
import type { DataSetName } from '../data.ts';
import { formatMs } from '../format.ts';
import { type Goal, limitGoal, ours, throughputGoal } from '../goals.ts';
import type { Group } from '../group.ts';
import { caseId, journeyGroup } from '../journey.ts';
import { PEERS } from '../tools/tool.ts';
import { small } from './backup.ts';

const ROUND_TRIPS = 20;

function bigAt(delayMs: number, data: DataSetName, title: string, more: readonly Goal[] = []): Group {
  const id = `big-${delayMs}ms`;
  return journeyGroup({
    id,
    title: `${title} at ${delayMs} ms, SFTP`,
    data,
    place: 'sftp',
    delayMs,
    tools: ['skylock', ...PEERS],
    otherRounds: 1,
    steps: ['first'],
    goals: [
      throughputGoal({
        title: `${title} at ${delayMs} ms`,
        goal: '≥ 2 × the throughput of the fastest peer',
        of: caseId(id, 'first'),
        to: PEERS,
        atLeast: 2,
      }),
      ...more,
    ],
  });
}

/** Not with rclone, which would need half an hour for a round trip a file. */
function smallAt(delayMs: number): Group {
  const id = `small-${delayMs}ms`;
  return journeyGroup({
    id,
    title: `\`small\` at ${delayMs} ms, SFTP`,
    data: 'small',
    place: 'sftp',
    delayMs,
    tools: ['skylock', 'restic', 'borg'],
    otherRounds: 1,
    steps: ['first'],
    goals: [
      limitGoal(
        `\`small\` at ${delayMs} ms`,
        `≤ its loopback time + ${ROUND_TRIPS} round trips`,
        formatMs,
        (results) => {
          const value = ours(results, caseId(id, 'first'), 'wallMs');
          const loopbackMs = ours(results, caseId(small.id, 'first'), 'wallMs');
          if (value === null || loopbackMs === null) return null;
          return { value, limit: loopbackMs + ROUND_TRIPS * delayMs };
        },
      ),
    ],
  });
}

const fiveTimesRestic = throughputGoal({
  title: '`big` at 100 ms',
  goal: "≥ 5 × restic's throughput",
  of: caseId('big-100ms', 'first'),
  to: ['restic'],
  atLeast: 5,
});

export const distances: readonly Group[] = [
  bigAt(20, 'big', '`big`'),
  bigAt(100, 'big', '`big`', [fiveTimesRestic]),
  smallAt(20),
  smallAt(100),
];

export const quickDistance: Group = bigAt(20, 'big-256m', '256 MiB');
