/**
 * Runs every spec, or those whose path holds one of the arguments: `node spec/run.ts journal sftp`. As many at once as the
 * machine has processors, each file in one of as many processes; what a file says is shown when it has ended.
 * uvu's own runner ends with status 0 when a suite was never run or nothing was registered; this one does not.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from './run-file.ts';

const root = import.meta.dirname;
/** Far more than any file takes. */
const PATIENCE_MS = 5 * 60_000;

const wanted = process.argv.slice(2);
const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.spec.ts'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();

const waiting = [...files];
const total = { passed: 0, failed: 0 };
const skipped: Outcome['skipped'][number][] = [];

await Promise.all(Array.from({ length: Math.min(files.length, availableParallelism()) }, runFiles));

for (const { title, reason } of skipped) process.stdout.write(`skipped: ${title}: ${reason}\n`);
if (process.env.CI === 'true') total.failed += skipped.length;
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${skipped.length} skipped\n`);
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);

/** Has one process after another run what is left; a file that breaks its process costs the others nothing. */
async function runFiles(): Promise<void> {
  let child: ChildProcess | null = null;
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
    child ??= fork(join(root, 'run-file.ts'), { execArgv: process.execArgv });
    const outcome = await runFile(child, file);
    process.stdout.write(`${file}\n${outcome.said}  ${outcome.seconds.toFixed(1)} s\n`);
    total.passed += outcome.passed;
    total.failed += outcome.failed;
    skipped.push(...outcome.skipped);
    if (outcome.broken) child = null;
  }
  child?.kill('SIGKILL'); // a handle a spec forgot would keep it, and CI, waiting
}

function runFile(child: ChildProcess, file: string): Promise<Outcome & { readonly broken: boolean }> {
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const end = (outcome: Outcome, broken: boolean) => {
      clearTimeout(timer);
      child.removeAllListeners();
      resolve({ ...outcome, broken });
    };
    const breakOff = (reason: string) => {
      child.kill('SIGKILL');
      const seconds = (performance.now() - startedAt) / 1000;
      end({ said: `  ${reason}\n`, passed: 0, failed: 1, skipped: [], seconds }, true);
    };
    const timer = setTimeout(breakOff, PATIENCE_MS, `has not ended after ${PATIENCE_MS / 1000} s`);
    child.once('message', (outcome: Outcome) => end(outcome, false));
    child.once('exit', (status, signal) =>
      breakOff(`its process has ended: ${signal ?? `status ${status}`}`),
    );
    child.send(file);
  });
}
