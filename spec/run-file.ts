/** A process that runs the files of specs it is sent, one at a time, and sends back what came of each. See `run.ts`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { skippedTests } from './helpers/skip.ts';

/** What came of one file. */
export interface Outcome {
  /** All that its suites printed. */
  readonly said: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly { readonly title: string; readonly reason: string }[];
  readonly seconds: number;
}

/** What uvu's `suite.run()` puts into its queue: resolves to [errors or true, passed, skipped, total]. */
type RunSuite = () => Promise<[string | true, number, number, number]>;
const uvu = globalThis as unknown as { UVU_DEFER: number; UVU_QUEUE: RunSuite[][] };
uvu.UVU_DEFER = 1; // uvu starts nothing by itself

process.on('message', async (file: string) => process.send?.(await runFile(file)));

async function runFile(file: string): Promise<Outcome> {
  const startedAt = performance.now();
  const skippedBefore = skippedTests().length;
  const write = process.stdout.write;
  let said = '';
  let passed = 0;
  let failed = 0;
  process.stdout.write = ((text: string) => {
    said += text;
    return true;
  }) as typeof write;
  try {
    for (const runSuite of await suitesOf(file)) {
      const [errors, passedHere, skippedHere, totalHere] = await runSuite();
      passed += passedHere;
      failed += totalHere - passedHere + skippedHere;
      if (errors !== true) said += `\n${errors}\n`;
    }
  } catch (error) {
    failed += 1;
    said += `  ${error instanceof Error ? error.stack : String(error)}\n`;
  } finally {
    process.stdout.write = write;
  }
  const skipped = skippedTests().slice(skippedBefore);
  return { said, passed, failed, skipped, seconds: (performance.now() - startedAt) / 1000 };
}

/** Imports a spec and takes the suites it registered; one that was declared but not run, or `.only`, is an error. */
async function suitesOf(file: string): Promise<RunSuite[]> {
  const source = readFileSync(join(import.meta.dirname, file), 'utf8');
  const declared = source.match(/= suite\(/g)?.length ?? 0;
  uvu.UVU_QUEUE = [[]];
  await import(pathToFileURL(join(import.meta.dirname, file)).href);
  const suites = uvu.UVU_QUEUE[0] ?? [];
  if (suites.length === 0) throw new Error('registered no suite: is `.run()` missing?');
  if (suites.length < declared) throw new Error(`${declared} suites declared, ${suites.length} run`);
  if (/\.only\(/.test(source)) throw new Error('`.only` was left in');
  return suites;
}
