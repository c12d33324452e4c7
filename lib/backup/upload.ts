import { InterruptedError } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { Remote } from '../remote/remote.ts';
import { packName } from '../repository/repository.ts';
import type { Batch } from './pack.ts';

export interface UploadDeps {
  readonly remote: Remote;
  /** Packs that are sent at once. */
  readonly lanes: number;
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
  const beginGrace = () => {
    stop.abort();
    const timer = setTimeout(() => abandon.abort(), GRACE_MS);
    timer.unref();
  };
  if (signal.aborted) beginGrace();
  signal.addEventListener('abort', beginGrace, { once: true });

  const work = async (lane: number) => {
    try {
      while (!stop.signal.aborted) {
        const next = await batches.next();
        if (next.done || stop.signal.aborted) return;
        deps.expect(next.value);
        await put(next.value, lane, abandon.signal, deps);
        deps.settle(next.value);
      }
    } catch (error) {
      beginGrace(); // what the other lanes have in flight may still end
      throw error;
    }
  };

  const outcomes = await Promise.allSettled(Array.from({ length: lanes }, (_, lane) => work(lane)));
  signal.removeEventListener('abort', beginGrace);
  await batches.return?.();
  if (signal.aborted) throw new InterruptedError('back up: interrupted');
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

async function put(
  batch: Batch,
  lane: number,
  signal: AbortSignal,
  { remote, progress, onPut }: UploadDeps,
): Promise<void> {
  if (batch.pack === null) return;
  const { name, bytes } = batch.pack;
  const file = batch.path?.toString() ?? '';
  const report = (sentBytes: number) =>
    progress({ type: 'lane', lane, pack: { file, sentBytes, sizeBytes: bytes.length } });
  report(0);
  const begunAt = performance.now();
  try {
    await remote.put(packName(name), bytes, { signal, onSent: report });
    onPut?.(bytes.length, performance.now() - begunAt);
  } finally {
    progress({ type: 'lane', lane, pack: null });
  }
}
