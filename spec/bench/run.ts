/** What a benchmark run begins and ends with: servers, programs, a folder; all gone afterwards, after Ctrl-C too. */
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { withFolder } from '../helpers/temporary.ts';
import { provideData } from './data.ts';
import type { Bench } from './group.ts';
import { withServers } from './places.ts';
import { createResults } from './results.ts';
import { borg } from './tools/borg.ts';
import { rclone } from './tools/rclone.ts';
import { restic } from './tools/restic.ts';
import { buildSkylock, createSkylock } from './tools/skylock.ts';
import { tar } from './tools/tar.ts';

export interface RunOptions {
  /** Of groups; all when it is empty. */
  readonly only: readonly string[];
  readonly rounds: number;
}

/** @param words `only=big small`, `rounds=3`; empty values mean nothing. @throws for any other word */
export function readOptions(words: readonly string[], defaultRounds: number): RunOptions {
  const options = { only: [] as string[], rounds: defaultRounds };
  for (const word of words) {
    const [, name, value = ''] = /^(only|rounds)=(.*)$/.exec(word) ?? [];
    const rounds = Number(value);
    if (name === undefined) throw new Error(`read ${word}: only=… and rounds=… are known`);
    if (name === 'only') options.only = value.split(/[\s,]+/).filter((id) => id !== '');
    else if (value !== '') {
      if (!Number.isInteger(rounds) || rounds < 1)
        throw new Error(`read ${word}: that is no number of rounds`);
      options.rounds = rounds;
    }
  }
  return options;
}

/** @returns the exit status */
export async function withBench(rounds: number, use: (bench: Bench) => Promise<void>): Promise<number> {
  const interrupt = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (interrupt.signal.aborted) process.exit(130);
      interrupt.abort(new Error('interrupted'));
    });
  }
  const dataFolder = resolve(process.env.BENCH_DATA || join(tmpdir(), 'skylock-bench'));
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  try {
    await withFolder(async (folder) => {
      process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
      const program = buildSkylock(join(folder, 'skylock'));
      const tools = [createSkylock(program, join(folder, 'cache')), restic, borg, rclone, tar];
      await withServers((servers) =>
        use({
          rounds,
          folder,
          dataFolder,
          tools,
          program,
          servers,
          results: createResults(),
          signal: interrupt.signal,
          data: (name) => provideData(name, dataFolder, say),
          say,
        }),
      );
    });
    return 0;
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    say('interrupted');
    return 130;
  }
}
