/** How long the program takes to start, beside the Node it runs on. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { formatFactor, formatMs } from '../format.ts';
import type { Goal } from '../goals.ts';
import type { Group } from '../group.ts';
import { type Command, measure } from '../measure.ts';
import { emptyFolder } from '../places.ts';
import type { Results } from '../results.ts';
import { environment } from '../tools/tool.ts';

const RUNS = 20;
const NODE = 'node -e 0';
const VERSION = 'skylock --version';
const STATUS = 'skylock resume-status';
const CASE = 'start';

export const startUp: Group = {
  id: 'start',
  cases: [{ id: CASE, title: `start-up, ${RUNS} runs in turn` }],
  goals: [goal(VERSION, 3), goal(STATUS, 5)],
  async run(bench) {
    const home = join(bench.folder, 'home/start');
    await mkdir(home, { recursive: true });
    await emptyFolder(home);
    const env = environment(home, { XDG_CACHE_HOME: join(home, 'cache') });
    const ownNode = resolve(import.meta.dirname, '../../../node_modules/node/bin/node');
    const commands: Readonly<Record<string, Command>> = {
      [NODE]: { file: existsSync(ownNode) ? ownNode : process.execPath, args: ['-e', '0'], env },
      [VERSION]: { file: bench.program, args: ['--version'], env },
      [STATUS]: { file: bench.program, args: ['resume-status'], env },
    };
    for (const command of Object.values(commands)) await measure(command, bench.signal); // fills the caches
    for (let run = 0; run < RUNS; run += 1) {
      for (const [name, command] of Object.entries(commands)) {
        const { stdout: _, ...usage } = await measure(command, bench.signal);
        bench.results.add(CASE, name, { ...usage, bytesIn: null, bytesSent: null, bytesStored: null });
      }
    }
    const wall = (name: string) => formatMs(bench.results.summary(CASE, name)!.wallMs);
    bench.say(`start · ${[NODE, VERSION, STATUS].map((name) => `${name}: ${wall(name)}`).join(', ')}`);
  },
};

function goal(name: string, atMost: number): Goal {
  return {
    title: `\`${name}\``,
    goal: `≤ ${atMost} × \`${NODE}\``,
    judge(results: Results) {
      const [ours, node] = [results.summary(CASE, name), results.summary(CASE, NODE)];
      if (ours === null || node === null) return null;
      const measured = `${formatFactor(ours.wallMs / node.wallMs)} (${formatMs(ours.wallMs)} to ${formatMs(node.wallMs)})`;
      return { measured, met: ours.wallMs <= atMost * node.wallMs };
    },
  };
}
