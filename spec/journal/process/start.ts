import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { endTree } from '../../helpers/processes.ts';

/** One of the scripts beside this file, as a process of its own. */
export interface Script {
  readonly pid: number;
  /** Lets it go on. */
  nudge(): void;
  /** @returns the line it prints as its `index`th, from 0; `undefined` when it ends before */
  line(index: number): Promise<string | undefined>;
  /** Kills it. @returns all the lines it printed */
  kill(): Promise<readonly string[]>;
}

export function startScript(script: string, ...args: string[]): Script {
  const child = spawn(process.execPath, [...process.execArgv, join(import.meta.dirname, script), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.on('error', () => {}); // it was killed while being nudged
  const reader = createInterface({ input: child.stdout });
  const lines: string[] = [];
  let isOver = false;
  reader.on('line', (line) => lines.push(line));
  const over = once(reader, 'close').then(() => {
    isOver = true;
  });
  return {
    pid: child.pid!,
    nudge: () => child.stdin.write('\n'),
    async line(index) {
      while (lines.length <= index && !isOver) await Promise.race([once(reader, 'line'), over]);
      return lines[index];
    },
    async kill() {
      await endTree(child);
      await over;
      return lines;
    },
  };
}

/** Starts the script so many times, lends the processes and ends them. */
export async function withScripts(
  count: number,
  script: string,
  args: readonly string[],
  use: (scripts: readonly Script[]) => Promise<void>,
): Promise<void> {
  const scripts = Array.from({ length: count }, () => startScript(script, ...args));
  try {
    await use(scripts);
  } finally {
    for (const script of scripts) await script.kill();
  }
}
