/**
 * Backups to a server that is far away: the others take minutes there, and are measured once. restic would take a quarter of an
 * hour for `big`, as it waits for an answer to every 32 KiB of a file, so that it has a case with a quarter of that.
 */
import type { DataSetName } from '../data.ts';
import { formatMs } from '../format.ts';
import { limitGoal, ours, throughputGoal } from '../goals.ts';
import type { Group } from '../group.ts';
import { caseId, journeyGroup } from '../journey.ts';
import type { ToolName } from '../tools/tool.ts';
import { small } from './backup.ts';

const ROUND_TRIPS = 20;

interface Distance {
  readonly id: string;
  readonly title: string;
  readonly data: DataSetName;
  readonly delayMs: number;
  readonly others: readonly ToolName[];
  readonly goal: string;
  /** So many times the throughput of the fastest of the others. */
  readonly atLeast: number;
}

function bigAt({ id, title, data, delayMs, others, goal, atLeast }: Distance): Group {
  return journeyGroup({
    id,
    title: `${title} at ${delayMs} ms, SFTP`,
    data,
    place: 'sftp',
    delayMs,
    tools: ['skylock', ...others],
    otherRounds: 1,
    steps: ['first'],
    goals: [
      throughputGoal({
        title: `${title} at ${delayMs} ms`,
        goal,
        of: caseId(id, 'first'),
        to: others,
        atLeast,
      }),
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

const TWICE = { goal: '≥ 2 × the throughput of the fastest peer', atLeast: 2 };
const FASTER: readonly ToolName[] = ['borg', 'rclone'];

export const distances: readonly Group[] = [
  bigAt({ id: 'big-20ms', title: '`big`', data: 'big', delayMs: 20, others: FASTER, ...TWICE }),
  bigAt({ id: 'big-100ms', title: '`big`', data: 'big', delayMs: 100, others: FASTER, ...TWICE }),
  bigAt({
    id: 'quarter-100ms',
    title: 'a quarter of `big`',
    data: 'big-256m',
    delayMs: 100,
    others: ['restic'],
    goal: "≥ 5 × restic's throughput",
    atLeast: 5,
  }),
  smallAt(20),
  smallAt(100),
];

export const quickDistance: Group = bigAt({
  id: 'big-20ms',
  title: '256 MiB',
  data: 'big-256m',
  delayMs: 20,
  others: FASTER,
  ...TWICE,
});
