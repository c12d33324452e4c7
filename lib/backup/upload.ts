import { InterruptedError, type RemoteError } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { Remote } from '../remote/remote.ts';
import { packName } from '../repository/repository.ts';
import { abortable } from '../waiting.ts';
import type { Lanes } from './lanes.ts';
import type { Batch } from './pack.ts';

export interface UploadDeps {
  readonly remote: Remote;
  /** How many packs are sent at once. */
  readonly lanes: Lanes;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Called with each batch before it is put, in the order of their numbers. */
  readonly expect: (batch: Batch) => void;
  /** Told how long each pack took its lane. */
  readonly onPut?: (bytes: number, ms: number) => void;
  /** Called with each batch once its pack is durable. */
  readonly settle: (batch: Batch) => void;
}

/** How long packs in flight may take to end once the person has asked to stop, or another lane has failed. */
const GRACE_MS = 3000;

/**
 * Puts the packs of batches, several at a time, and has each settled once it is durable. The first failure stops every
 * lane, as does the signal; batches that were settled until then stay settled.
 * @throws InterruptedError when the signal was given
 */
export async function upload(batches: AsyncIterator<Batch>, deps: UploadDeps): Promise<void> {
  const { lanes, signal } = deps;
  const stop = new AbortController();
  const abandon = new AbortController();
  const failures: unknown[] = [];
  const beginGrace = () => {
    stop.abort();
    const timer = setTimeout(() => abandon.abort(), GRACE_MS);
    timer.unref();
  };
  if (signal.aborted) beginGrace();
  signal.addEventListener('abort', beginGrace, { once: true });

  const next = async (): Promise<Batch | null> => {
    if (stop.signal.aborted) return null;
    const goesOn = lanes.waits();
    // A batch that is still being read, from a slow disk say, is not waited for once we are to stop.
    const batch = await abortable(() => batches.next(), stop.signal)
      .catch((error: unknown) => {
        if (error === stop.signal.reason) return null;
        throw error;
      })
      .finally(goesOn);
    return batch === null || batch.done || stop.signal.aborted ? null : batch.value;
  };
  const working = new Map<number, Promise<void>>();
  const work = async (lane: number) => {
    try {
      for (let batch = await next(); batch !== null; batch = await next()) {
        deps.expect(batch);
        fill(); // those that were added meanwhile
        await put(batch, lane, abandon.signal, deps);
        deps.settle(batch);
        if (lane >= lanes.count()) break;
      }
    } catch (error) {
      failures.push(error);
      beginGrace(); // what the other lanes have in flight may still end
    } finally {
      working.delete(lane);
    }
  };
  const fill = () => {
    for (let lane = 0; lane < lanes.count(); lane += 1) {
      if (!working.has(lane)) working.set(lane, work(lane));
    }
  };

  fill();
  while (working.size > 0) await Promise.all(working.values());
  signal.removeEventListener('abort', beginGrace);
  batches.return?.()?.catch(() => {}); // not awaited: it takes its turn behind the batch that is being read
  if (signal.aborted) throw new InterruptedError('back up: interrupted');
  if (failures.length > 0) throw failures[0]; // the others may follow from it
}

async function put(
  batch: Batch,
  lane: number,
  signal: AbortSignal,
  { remote, lanes, progress, onPut }: UploadDeps,
): Promise<void> {
  if (batch.pack === null) return;
  const { name, bytes } = batch.pack;
  const file = batch.path?.toString() ?? '';
  let toldBytes = 0;
  const report = (sentBytes: number) => {
    if (sentBytes > toldBytes) lanes.sent(sentBytes - toldBytes);
    toldBytes = sentBytes;
    progress({ type: 'lane', lane, pack: { file, sentBytes, sizeBytes: bytes.length } });
  };
  report(0);
  const begunAt = performance.now();
  try {
    const onRetry = ({ pushesBack }: RemoteError) => pushesBack && lanes.pushedBack();
    await remote.put(packName(name), bytes, { signal, onSent: report, onRetry, onLimit: lanes.limited });
    onPut?.(bytes.length, performance.now() - begunAt);
  } finally {
    progress({ type: 'lane', lane, pack: null });
  }
}
