/** Backups and restores over a line that costs nothing, against everybody. */
import { formatMs } from '../format.ts';
import { type Goal, limitGoal, ours, ratioGoal } from '../goals.ts';
import type { Group } from '../group.ts';
import { caseId, journeyGroup } from '../journey.ts';
import { PEERS, type ToolName } from '../tools/tool.ts';

const ALL: readonly ToolName[] = ['skylock', ...PEERS, 'tar'];
const CHANGED_MS = 200;

export const big: Group = journeyGroup({
  id: 'big',
  title: '`big`, SFTP',
  data: 'big',
  place: 'sftp',
  tools: ALL,
  steps: ['first', 'restore'],
  goals: [
    ...backupGoals('big', '`big`, SFTP', { toPeer: 0.7, toFloor: 1.3 }),
    restoreGoal('big', '`big`'),
    storedGoal('big', '`big`'),
  ],
});

export const small: Group = journeyGroup({
  id: 'small',
  title: '`small`, SFTP',
  data: 'small',
  place: 'sftp',
  tools: ALL,
  steps: ['first', 'again', 'restore', 'changed'],
  goals: [
    ...backupGoals('small', '`small`, SFTP', { toPeer: 0.6, toFloor: 2 }),
    againGoal('small', '`small`'),
    changedGoal('small', 'one of 10,000 files changed'),
    restoreGoal('small', '`small`'),
    storedGoal('small', '`small`'),
  ],
});

export const tree: Group = journeyGroup({
  id: 'tree',
  title: '`tree`, SFTP',
  data: 'tree',
  place: 'sftp',
  tools: ALL,
  steps: ['first', 'again', 'restore'],
  goals: [
    ...backupGoals('tree', '`tree`, SFTP', { toPeer: 0.6 }),
    againGoal('tree', '`tree`'),
    restoreGoal('tree', '`tree`'),
    storedGoal('tree', '`tree`'),
  ],
});

export const bigWebdav: Group = journeyGroup({
  id: 'big-webdav',
  title: '`big`, WebDAV',
  data: 'big',
  place: 'webdav',
  tools: ['skylock', 'rclone'],
  steps: ['first'],
  goals: [webdavGoal('big-webdav', '`big`, WebDAV', 0.7)],
});

/** A fifth of `small`: rclone needs a minute for it. */
export const smallWebdav: Group = journeyGroup({
  id: 'small-webdav',
  title: '2,000 files of `small`, WebDAV',
  data: 'small-2000',
  place: 'webdav',
  tools: ['skylock', 'rclone'],
  otherRounds: 1,
  steps: ['first'],
  goals: [webdavGoal('small-webdav', '`small`, WebDAV', 0.02)],
});

/** What `bench-quick` runs in place of all these. */
export const quickBackups: readonly Group[] = [
  journeyGroup({
    id: 'big',
    title: '256 MiB, SFTP',
    data: 'big-256m',
    place: 'sftp',
    tools: ALL,
    steps: ['first'],
    goals: backupGoals('big', '256 MiB, SFTP', { toPeer: 0.7, toFloor: 1.3 }),
  }),
  journeyGroup({
    id: 'small',
    title: '2,000 small files, SFTP',
    data: 'small-2000',
    place: 'sftp',
    tools: ALL,
    steps: ['first', 'again', 'restore', 'changed'],
    goals: [
      ...backupGoals('small', '2,000 small files, SFTP', { toPeer: 0.6, toFloor: 2 }),
      againGoal('small', '2,000 small files'),
      changedGoal('small', 'one of 2,000 files changed'),
      restoreGoal('small', '2,000 small files'),
      storedGoal('small', '2,000 small files'),
    ],
  }),
  journeyGroup({
    id: 'big-webdav',
    title: '256 MiB, WebDAV',
    data: 'big-256m',
    place: 'webdav',
    tools: ['skylock', 'rclone'],
    steps: ['first'],
    goals: [webdavGoal('big-webdav', '256 MiB, WebDAV', 0.7)],
  }),
];

function backupGoals(
  id: string,
  title: string,
  { toPeer, toFloor }: { readonly toPeer: number; readonly toFloor?: number },
): Goal[] {
  const of = caseId(id, 'first');
  const goals = [
    ratioGoal({
      title,
      goal: `≤ ${toPeer.toFixed(2)} × the fastest encrypted peer`,
      of,
      to: PEERS,
      atMost: toPeer,
    }),
  ];
  if (toFloor === undefined) return goals;
  return [
    ...goals,
    ratioGoal({ title, goal: `≤ ${toFloor} × \`tar \\| ssh cat\``, of, to: ['tar'], atMost: toFloor }),
  ];
}

function againGoal(id: string, title: string): Goal {
  return ratioGoal({
    title: `${title}, again with nothing changed`,
    goal: '≤ 0.60 × the fastest peer',
    of: caseId(id, 'again'),
    to: PEERS,
    atMost: 0.6,
  });
}

function changedGoal(id: string, title: string): Goal {
  return limitGoal(title, 'as nothing changed, plus ≤ 0.2 s', formatMs, (results) => {
    const [value, again] = [
      ours(results, caseId(id, 'changed'), 'wallMs'),
      ours(results, caseId(id, 'again'), 'wallMs'),
    ];
    return value === null || again === null ? null : { value, limit: again + CHANGED_MS };
  });
}

function restoreGoal(id: string, title: string): Goal {
  return ratioGoal({
    title: `restore of ${title}`,
    goal: '≤ 0.70 × restic and borg',
    of: caseId(id, 'restore'),
    to: ['restic', 'borg'],
    atMost: 0.7,
  });
}

function storedGoal(id: string, title: string): Goal {
  return ratioGoal({
    title: `bytes stored of ${title}`,
    goal: "≤ 1.03 × restic's newest format",
    of: caseId(id, 'first'),
    to: ['restic'],
    atMost: 1.03,
    field: 'bytesStored',
  });
}

function webdavGoal(id: string, title: string, atMost: number): Goal {
  return ratioGoal({
    title,
    goal: `≤ ${atMost.toFixed(2)} × rclone crypt`,
    of: caseId(id, 'first'),
    to: ['rclone'],
    atMost,
  });
}
