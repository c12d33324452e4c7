import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A server that stays in the foreground and ends with the process that was started. */
export interface ServerProcess {
  readonly pid: number;
  /** Resolves when the process is gone. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/**
 * Starts a program and waits until it accepts connections on `port` of 127.0.0.1.
 * @throws when it ends before, with what it wrote
 */
export async function startServer(
  command: string,
  args: readonly string[],
  port: number,
): Promise<ServerProcess> {
  const child = spawn(...withParent(command, args), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin' },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  child.on('error', (error) => {
    output += error.message;
  });
  for (let tries = 0; !(await accepts(port)); tries += 1) {
    if (hasEnded(child) || tries === 1000) {
      await stop(child, port, 'SIGKILL');
      throw new Error(`start ${command}: ${output.trim() || 'it does not accept connections'}`);
    }
    await sleep(10);
  }
  return { pid: child.pid ?? 0, stop: (signal = 'SIGTERM') => stop(child, port, signal) };
}

/** A spec that dies takes its servers along, where Linux can be asked to see to it. */
function withParent(command: string, args: readonly string[]): [command: string, args: readonly string[]] {
  const setpriv = '/usr/bin/setpriv';
  return existsSync(setpriv) ? [setpriv, ['--pdeathsig', 'TERM', command, ...args]] : [command, args];
}

async function stop(child: ChildProcess, port: number, signal: NodeJS.Signals): Promise<void> {
  if (child.pid === undefined || hasEnded(child)) return;
  const workers = await childrenOf(child.pid);
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
  // A parent that is killed leaves its workers behind, and those would go on answering.
  for (const worker of workers) kill(worker);
  while (await accepts(port)) await sleep(5);
}

/** @see proc_pid_children(5) */
async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text.split(' ').filter(Boolean).map(Number);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended together with its parent.
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
