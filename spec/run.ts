/**
 * Runs every spec, or those whose path holds one of the arguments: `node spec/run.ts journal sftp`.
 * uvu's own runner ends with status 0 when a suite was never run or nothing was registered; this one does not.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { skippedTests } from './helpers/skip.ts';

/** What uvu's `suite.run()` puts into its queue: resolves to [errors or true, passed, skipped, total]. */
type RunSuite = () => Promise<[string | true, number, number, number]>;
const uvu = globalThis as unknown as { UVU_DEFER: number; UVU_QUEUE: RunSuite[][] };
uvu.UVU_DEFER = 1; // uvu starts nothing by itself

const root = import.meta.dirname;
const wanted = process.argv.slice(2);
const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.spec.ts'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();

let passed = 0;
let failed = 0;
for (const file of files) {
  process.stdout.write(`${file}\n`);
  const startedAt = performance.now();
  try {
    for (const runSuite of await suitesOf(file)) {
      const [errors, passedHere, skippedHere, totalHere] = await runSuite();
      passed += passedHere;
      failed += totalHere - passedHere + skippedHere;
      if (errors !== true) process.stdout.write(`\n${errors}\n`);
    }
  } catch (error) {
    failed += 1;
    process.stdout.write(`  ${error instanceof Error ? error.stack : String(error)}\n`);
  }
  process.stdout.write(`  ${((performance.now() - startedAt) / 1000).toFixed(1)} s\n`);
}

const skipped = skippedTests();
for (const { title, reason } of skipped) process.stdout.write(`skipped: ${title}: ${reason}\n`);
if (process.env.CI === 'true') failed += skipped.length;
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped.length} skipped\n`);
// A handle a spec forgot would keep the process, and CI, waiting.
process.exit(failed === 0 && passed > 0 ? 0 : 1);

/** Imports a spec and takes the suites it registered; one that was declared but not run, or `.only`, is an error. */
async function suitesOf(file: string): Promise<RunSuite[]> {
  const source = readFileSync(join(root, file), 'utf8');
  const declared = source.match(/= suite\(/g)?.length ?? 0;
  uvu.UVU_QUEUE = [[]];
  await import(pathToFileURL(join(root, file)).href);
  const suites = uvu.UVU_QUEUE[0] ?? [];
  if (suites.length === 0) throw new Error('registered no suite: is `.run()` missing?');
  if (suites.length < declared) throw new Error(`${declared} suites declared, ${suites.length} run`);
  if (/\.only\(/.test(source)) throw new Error('`.only` was left in');
  return suites;
}
