import { setTimeout as sleep } from 'node:timers/promises';
import { InterruptedError } from '../errors.ts';
import { putCheckpoint } from '../repository/backups.ts';
import type { ManifestDeps } from './make-manifest.ts';
import { checkpointId } from './own.ts';
import { assemble, type BackupFacts } from './publish.ts';

/** A checkpoint takes up at most this share of the time. */
const SHARE = 0.05;

export interface Checkpoints {
  /** May there be one on the remote that was put here? */
  mayHavePut(): boolean;
  /** Ends them; one that is being put is waited for. */
  stop(): Promise<void>;
}

/**
 * Puts a checkpoint of the run on the remote now and then while its files go up: indexes and the manifest of what is
 * uploaded by then. With it another machine, or this one without its journal, goes on.
 * @param everyMs at least so often, unless a checkpoint takes more than a twentieth of that time
 * @param onFailure told of the first one that failed; a backup does not end for that
 */
export function startCheckpoints(
  everyMs: number,
  facts: BackupFacts,
  deps: ManifestDeps,
  onFailure: (error: Error) => void,
): Checkpoints {
  const { repository, run } = deps;
  const stopping = new AbortController();
  let failed = false;
  let mayHavePut = false;

  const keepPutting = async () => {
    for (let pauseMs = everyMs; ; ) {
      await sleep(pauseMs, undefined, { signal: stopping.signal, ref: false }).catch(() => {}); // woken by stop
      if (stopping.signal.aborted) return;
      const begunAt = performance.now();
      try {
        const checkpoint = await assemble('unfinished', facts, deps);
        const backupId = await checkpointId(repository, { ...facts, run });
        mayHavePut = true;
        await putCheckpoint(repository, { ...checkpoint, backupId });
      } catch (error) {
        if (error instanceof InterruptedError) return;
        if (!failed) onFailure(error as Error);
        failed = true;
      }
      pauseMs = Math.max(everyMs, (performance.now() - begunAt) / SHARE);
    }
  };

  const ended = keepPutting();
  return {
    mayHavePut: () => mayHavePut,
    stop() {
      stopping.abort();
      return ended;
    },
  };
}
