/** The process edge: everything of the process comes in here, and the exit status goes out. */
import { homedir, hostname } from 'node:os';
import { main } from '../lib/main.ts';

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
// Files are private unless a mode says otherwise.
process.umask(0o077);

process.exitCode = await main({
  argv: process.argv.slice(2),
  env: process.env,
  cwd: process.cwd(),
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
