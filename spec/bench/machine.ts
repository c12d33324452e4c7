import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { resolve } from 'node:path';
import { formatInstant } from '../../lib/units.ts';
import type { Tool } from './tools/tool.ts';

/** What a figure depends on beside the programs, in Markdown: a list. */
export function describeRun(tools: readonly Tool[], rounds: number, now: Date): string {
  const processors = cpus();
  const model = processors[0]?.model.trim() ?? 'unknown';
  const memory = `${(totalmem() / 2 ** 30).toFixed(0)} GiB of memory`;
  const peers = tools.map((tool) => `${tool.title} ${tool.missing() ?? tool.version()}`);
  return [
    `- ${formatInstant(now).slice(0, 10)}, ${rounds} ${rounds === 1 ? 'round' : 'rounds'}, commit ${commit()}`,
    `- ${processors.length} × ${model}, ${memory}, ${system()}, Node ${process.versions.node}`,
    `- ${peers.join(', ')}`,
  ].join('\n');
}

function system(): string {
  const file = '/etc/os-release';
  const said = existsSync(file)
    ? /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync(file, 'utf8'))?.[1]
    : undefined;
  return said ?? process.platform;
}

/** @returns the commit that was measured, and whether what was measured is more than that */
function commit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: resolve(import.meta.dirname, '../..'),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const changed =
      git('status', '--porcelain', '--untracked-files=no', '--', 'bin', 'lib', 'migrations') !== '';
    return `${git('rev-parse', '--short=10', 'HEAD')}${changed ? ' with changes' : ''}`;
  } catch {
    return 'unknown';
  }
}
