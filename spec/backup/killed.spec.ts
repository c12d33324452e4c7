/**
 * Kills at any step, enumerated: at each moment that matters, what a kill would have left on the disk and on the remote is
 * copied, and another process goes on with the copy. `process.spec.ts` does it to a real one.
 */
import { cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProgressEvent } from '../../lib/progress.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { seededBytes } from '../format/fixtures.ts';
import { failingRemote } from '../helpers/failing-remote.ts';
import {
  assertHolds,
  assertHonest,
  HERE,
  type Machine,
  machineIn,
  repositoryAt,
} from '../helpers/scenario.ts';
import { withFolder } from '../helpers/temporary.ts';
import { type Tree, writeTree } from '../helpers/tree.ts';

const TREE: Tree = [
  ['big', seededBytes(120_000, 'big')],
  ['docs/text', 'the same line again\n'.repeat(400)],
  ...Array.from(
    { length: 12 },
    (_, index) => [`docs/${index}`, seededBytes(700 * index, `${index}`)] as const,
  ),
  ['docs/none/', ''],
  ['link', { linkTo: 'docs/text' }],
];
/** Two runs cut the same chunks into packs in another way: some headers, and an index, more. */
const SLACK_BYTES = 2000;
/** No process has the number: Linux' largest is 2^22. */
const DEAD = { ...HERE, pid: 2 ** 22 + 1 };

/** What a kill at some moment leaves behind. */
interface Remains {
  readonly moment: string;
  /** A copy of the machine's data folder. */
  readonly data: string;
  readonly objects: Map<string, Buffer>;
  /** Of puts that had begun by then, and of those among them that had not ended. */
  readonly putBytes: number;
  readonly inFlightBytes: number;
}

/** Progress that is told between two steps of the journal, the state file or the remote. */
const MOMENTS: readonly ProgressEvent['type'][] = [
  'backup_started',
  'source_scanned',
  'planned',
  'uploaded',
  'publishing',
];

/** Backs up once, and keeps what every kill on the way would have left. */
async function backUpKeepingRemains(machine: Machine): Promise<Remains[]> {
  const remains: Remains[] = [];
  let putBytes = 0;
  let inFlightBytes = 0;
  const keep = (moment: string) => {
    const data = join(machine.folder, `remains ${remains.length}`);
    // Between two transactions nobody writes to the journal, so the file and its log can be copied as they are.
    if (existsSync(join(machine.folder, 'data')))
      cpSync(join(machine.folder, 'data'), data, { recursive: true });
    remains.push({ moment, data, objects: new Map(machine.objects), putBytes, inFlightBytes });
  };
  const memory = memoryRemote(machine.objects);
  const around = async <T>(what: string, call: () => Promise<T>): Promise<T> => {
    keep(`before ${what}`);
    const result = await call();
    keep(`after ${what}`);
    return result;
  };
  const folderOf = (name: string) => name.split('/')[0];
  const remote: Remote = {
    ...memory,
    put(name, bytes, options) {
      putBytes += bytes.length;
      inFlightBytes += bytes.length;
      return around(`put into ${folderOf(name)}`, async () => {
        await memory.put(name, bytes, options);
        inFlightBytes -= bytes.length;
      });
    },
    remove: (name) => around(`remove from ${folderOf(name)}`, () => memory.remove(name)),
  };
  await machine.backUp({
    remote,
    request: { owner: DEAD },
    onEvent: ({ type }) => MOMENTS.includes(type) && keep(`when it told '${type}'`),
  });
  keep('at its end');
  return remains;
}

const killed = suite('a backup that is killed');

killed(
  'at any step is found by the same command and finished, and only what was in flight is sent again',
  () =>
    withFolder(async (folder) => {
      const machine = machineIn(folder, new Map());
      writeTree(machine.source, TREE);
      const remains = await backUpKeepingRemains(machine);
      assert.ok(remains.length > 25, `there were ${remains.length} moments`);
      const wholeBytes = remains.at(-1)!.putBytes;
      const backupId = [...machine.objects.keys()].find((name) => name.startsWith('backups/'))!.slice(8);
      const claimedAt = remains.findIndex(({ moment }) => moment.includes('backup_started'));

      for (const [index, { moment, data, objects, ...sent }] of remains.entries()) {
        const other = machineIn(join(folder, `other ${index}`), objects);
        if (existsSync(data)) cpSync(data, join(other.folder, 'data'), { recursive: true });
        const remote = failingRemote(memoryRemote(objects), []);
        const summary = await other.backUp({ sources: [machine.source], remote });

        // Before it is claimed there is no run; once it is complete the next one is another.
        const isComplete = moment.endsWith('remove from resume') || moment === 'at its end';
        assert.is(summary.resumed, index >= claimedAt && !isComplete, moment);
        if (summary.resumed) assert.is(summary.backupId, backupId, moment);
        await assertHolds(repositoryAt(remote), summary.backupId, [machine.source]);
        assert.is(await assertHonest(other), null, moment);
        const sum = sent.putBytes + remote.putBytes();
        const bound = wholeBytes + sent.inFlightBytes + SLACK_BYTES;
        assert.ok(sum <= bound, `${moment}: ${sum} bytes in place of ${wholeBytes}`);
      }
    }),
);

killed.run();
