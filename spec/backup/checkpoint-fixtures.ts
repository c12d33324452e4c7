import * as assert from 'uvu/assert';
import type { ProgressEvent } from '../../lib/progress.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { type Machine, type MachineOptions, readBack, repositoryAt } from '../helpers/scenario.ts';
import { writeTree } from '../helpers/tree.ts';

export const FILES = 60;
export const FILE_BYTES = 20_000;

/** Content that does not shrink, the same for the same name. */
function content(name: string): Buffer {
  let state = ([...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) | 0, 7) << 1) | 1;
  return Buffer.from(
    Uint8Array.from({ length: FILE_BYTES }, () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return state & 0xff;
    }),
  );
}

/** @param kind the content differs with it */
export function fill(folder: string, kind = ''): void {
  writeTree(
    folder,
    Array.from({ length: FILES }, (_, index) => {
      const name = `file-${String(index).padStart(2, '0')}`;
      return [name, content(`${kind}${name}`)] as const;
    }),
  );
}

/** Lets `mostPacks` packs through, waits until a checkpoint that lists some files is there, and then fails for good. */
export function breakingAfterCheckpoint(machine: Machine, mostPacks = 12): Remote {
  const remote = memoryRemote(machine.objects);
  let checkpoints = 0;
  let packs = 0;
  let broken = false;
  const checkpointThere = Promise.withResolvers<void>();
  return {
    ...remote,
    async put(name, bytes, options) {
      if (broken) throw new Error('the line was cut by a spec');
      if (name.startsWith('packs/') && bytes.length > 20_000) {
        packs += 1;
        if (packs > mostPacks) {
          await checkpointThere.promise;
          broken = true;
          throw new Error('the line was cut by a spec');
        }
      }
      await remote.put(name, bytes, options);
      if (!name.startsWith('resume/')) return;
      // The one that was begun before may list nothing yet.
      if (packs > mostPacks) checkpoints += 1;
      if (checkpoints >= 2) checkpointThere.resolve();
    },
  };
}

export const OFTEN: MachineOptions = { request: { checkpointEveryMs: 5 } };

export async function interrupt(
  machine: Machine,
  options: MachineOptions = {},
  mostPacks?: number,
): Promise<void> {
  await assertBreaks(() =>
    machine.backUp({
      ...options,
      remote: breakingAfterCheckpoint(machine, mostPacks),
      request: { ...OFTEN.request, ...options.request },
    }),
  );
}

/** A backup to the remote of {@link breakingAfterCheckpoint} ends as that one wants it to. */
export async function assertBreaks(backUp: () => Promise<unknown>): Promise<void> {
  try {
    await backUp();
  } catch (error) {
    if (/cut by a spec/.test((error as Error).message)) return;
    throw error;
  }
  assert.unreachable('the backup was to be interrupted');
}

export function eventOf<Type extends ProgressEvent['type']>(events: readonly ProgressEvent[], type: Type) {
  return events.find((event) => event.type === type) as Extract<ProgressEvent, { type: Type }>;
}

export function packBytes(machine: Machine): number {
  return [...machine.objects].reduce(
    (sum, [name, { length }]) => sum + (name.startsWith('packs/') ? length : 0),
    0,
  );
}

export async function assertWhole(machine: Machine, backupId: string, kind = ''): Promise<void> {
  const { contents } = await readBack(repositoryAt(memoryRemote(machine.objects)), backupId);
  assert.is(contents.size, FILES);
  for (const [path, bytes] of contents) {
    assert.equal(bytes, content(`${kind}${path.slice(path.lastIndexOf('/') + 1)}`));
  }
}
