import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Transferable, Worker } from 'node:worker_threads';

export interface Thread<Message> {
  tell(message: Message, transfer?: readonly Transferable[]): void;
  /** Asks it to end, and ends it where it does not do so itself. */
  stop(): Promise<void>;
}

export interface ThreadOptions<Answer> {
  readonly workerData: object;
  readonly transfer?: readonly Transferable[];
  /** What is new in its memory is collected each time that there is so much of it. */
  readonly youngGenerationMb: number;
  readonly onAnswer: (answer: Answer) => void;
  /** It has failed, or has ended: asked to, or by itself. */
  readonly onEnd: (error: Error) => void;
}

/** A thread that waits for a disk that does not answer is not waited for. */
const PATIENCE_MS = 5000;

/**
 * Begins a thread, which understands `{ type: 'stop' }` beside its messages.
 * @param url of its file without the extension, beside the file of the caller: in the sources as in what is built from them
 */
export function startThread<Message, Answer>(
  url: URL,
  { workerData, transfer = [], youngGenerationMb, onAnswer, onEnd }: ThreadOptions<Answer>,
): Thread<Message> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const worker = new Worker(`${fileURLToPath(url)}.${extension}`, {
    workerData,
    transferList: [...transfer],
    stdout: false,
    stderr: false,
    resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb },
  });
  worker.on('message', onAnswer);
  worker.on('error', onEnd);
  const exited = new Promise<void>((resolve) => {
    worker.on('exit', () => {
      onEnd(new Error(`${url.pathname.split('/').at(-1)} has ended`));
      resolve();
    });
  });
  return {
    tell: (message, moved = []) => worker.postMessage(message, moved),
    async stop() {
      // Asked first: a thread that is terminated while it sets up zstd takes the whole process with it.
      worker.postMessage({ type: 'stop' });
      await Promise.race([exited, sleep(PATIENCE_MS, undefined, { ref: false })]);
      await worker.terminate();
    },
  };
}
