/** The process edge: everything of the process comes in here, and the exit status goes out. */
import { enableCompileCache } from 'node:module';
import { homedir, hostname } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';

const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (interrupt.signal.aborted) {
      // The second one is not asked about: what is durable is in the journal.
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    }
    interrupt.abort();
  });
}
// A pack's bytes lie outside V8's heap. Counted for themselves they make V8 collect every 64 MiB, 120 times a gigabyte;
// counted with the heap, 30 times. A third less processor time.
setFlag('--external-memory-accounted-in-global-limit');
// Left to itself V8 lets a small heap grow to four times what is live in it before it looks through all of it, in each thread:
// with very many small files 100 MB more, and 300 MB are enough. That it looks so often costs a twentieth of the processor time.
setFlag('--heap-growing-percent=30');
// Files are private unless a mode says otherwise.
process.umask(0o077);

// What V8 made of the code is kept for the next start, in a folder of ours alone. Where that cannot be, starts take longer.
const { XDG_CACHE_HOME: named = '' } = process.env;
const cacheFolder = isAbsolute(named) ? named : join(homedir(), '.cache');
enableCompileCache(
  import.meta.filename.endsWith('.ts')
    ? join(import.meta.dirname, '../node_modules/.cache/skylock') // one for all homes the specs make
    : join(cacheFolder, 'skylock-hybrid', 'compiled'),
);
// Not at the top of the file: what is loaded there is compiled before the line above.
const { main } = await import('../lib/main.ts');

process.exitCode = await main({
  argv: process.argv.slice(2),
  env: process.env,
  cwd: currentFolder(),
  home: homedir(),
  host: hostname(),
  pid: process.pid,
  userId: process.geteuid?.() ?? -1,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: interrupt.signal,
  now: () => new Date(),
});

/** A folder that was removed under the shell has no path any more: what is relative to it is looked for in vain. */
function currentFolder(): string {
  try {
    return process.cwd();
  } catch {
    return '/nonexistent';
  }
}

/** A V8 of another version may not know the flag, and would say so on standard error at each start. */
function setFlag(flag: string): void {
  if (process.version.startsWith('v24.')) setFlagsFromString(flag);
}
