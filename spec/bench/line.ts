import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Question } from './process/line.ts';

/** The line between the programs and a server, in another process. */
export interface Line {
  readonly port: number;
  /** Towards the server, over all connections there ever were. */
  sentBytes(): Promise<number>;
  /** Resolves, with what was sent, when that has become so many bytes. */
  reached(bytes: number): Promise<number>;
  /** Resolves, with what was sent, when no connection is open any more. */
  quiet(): Promise<number>;
}

export interface LineOptions {
  /** A round trip takes so much longer. */
  readonly delayMs?: number;
  /** Towards the server, over all connections. */
  readonly bytesPerSecond?: number;
}

/** Lends a line to the server on `serverPort` of 127.0.0.1. */
export async function withLine<T>(
  serverPort: number,
  { delayMs = 0, bytesPerSecond = 0 }: LineOptions,
  use: (line: Line) => Promise<T>,
): Promise<T> {
  const child = fork(
    join(import.meta.dirname, 'process/line.ts'),
    [serverPort, delayMs, bytesPerSecond].map(String),
    { execArgv: ['--disable-warning=ExperimentalWarning'] },
  );
  const waiting = new Map<number, PromiseWithResolvers<number>>();
  child.on('message', ({ id, value }: { id: number; value: number }) => {
    waiting.get(id)?.resolve(value);
    waiting.delete(id);
  });
  child.on('exit', () => {
    for (const one of waiting.values()) one.reject(new Error('the line to the server has ended'));
  });
  let asked = 0;
  const ask = (question: Omit<Question, 'id'> & { readonly bytes?: number }): Promise<number> => {
    const answered = Promise.withResolvers<number>();
    answered.promise.catch(() => {}); // nobody waits for it any more where the line ends first
    asked += 1;
    waiting.set(asked, answered);
    child.send({ ...question, id: asked });
    return answered.promise;
  };
  try {
    const port = await ask({ ask: 'port' });
    return await use({
      port,
      sentBytes: () => ask({ ask: 'sent' }),
      reached: (bytes) => ask({ ask: 'reached', bytes }),
      quiet: () => ask({ ask: 'quiet' }),
    });
  } finally {
    const gone = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null;
    if (child.connected) child.disconnect();
    await gone;
  }
}
