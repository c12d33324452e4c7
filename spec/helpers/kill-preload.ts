/**
 * Loaded into the program before itself (`NODE_OPTIONS=--import`), which knows nothing of it: writes down each step that
 * outlives the process, as it begins and as it has ended, and kills the process at one of these moments.
 *
 * `KILL_LOG` names the file the moments go to, one a line: `before name pack 2`, `after name pack 2`, or `without …` where
 * the step has failed. `KILL_AT` is one of these lines.
 *
 * So that a short run has all kinds of steps, the minute until the first checkpoint and the second until the state file is
 * saved have passed when the first pack is recorded.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers/promises';
import { isMainThread } from 'node:worker_threads';
import type { Begin } from './kill-watch.ts';

// The packer's thread only reads.
if (isMainThread) {
  const { watchFiles, watchJournal, watchSftp, watchWebdav } = await import('./kill-watch.ts');
  const { writeSync } = fs;
  const log = fs.openSync(process.env.KILL_LOG!, 'a');
  const tell = (moment: string) => {
    writeSync(log, `${moment}\n`);
    if (moment === process.env.KILL_AT) process.kill(process.pid, 'SIGKILL');
  };
  const begin = beginner(tell);
  const firstPack = Promise.withResolvers<void>();
  watchFiles(begin);
  watchJournal(begin, (tables) => tables.includes('pack') && firstPack.resolve());
  if (process.env.SKYLOCK_REMOTE?.startsWith('sftp:')) watchSftp(begin);
  watchWebdav(begin);
  hurry(firstPack.promise);
  syncBuiltinESMExports();
}

/** Steps of a kind are numbered as they begin; the number of one that fails is its next attempt's. */
function beginner(tell: (moment: string) => void): Begin {
  const numbers = new Map<string, Set<number>>();
  return (what) => {
    const taken = numbers.get(what) ?? new Set();
    numbers.set(what, taken);
    let number = 1;
    while (taken.has(number)) number += 1;
    taken.add(number);
    tell(`before ${what} ${number}`);
    return (failed) => {
      if (failed) taken.delete(number);
      tell(`${failed ? 'without' : 'after'} ${what} ${number}`);
    };
  };
}

/** Once a pack is recorded, a checkpoint is due and the state file is saved. */
function hurry(firstPack: Promise<void>): void {
  const { setTimeout: sleep } = timers;
  let isDue = true;
  Object.assign(timers, {
    setTimeout(ms: number, value?: unknown, options?: object) {
      if (ms !== 60_000 || !isDue) return sleep(ms, value, options);
      isDue = false;
      return Promise.race([sleep(ms, value, options), firstPack]);
    },
  });
  const interval = globalThis.setInterval as (...given: unknown[]) => NodeJS.Timeout;
  const watched = (action: () => void, ms: number, ...given: unknown[]) => {
    if (ms === 1000) void firstPack.then(() => setImmediate(action));
    return interval(action, ms, ...given);
  };
  Object.assign(globalThis, { setInterval: Object.assign(watched, interval) });
}
