import type { ProgressEvent } from '../progress.ts';
import type { Clock } from './clock.ts';
import type { ProgressView } from './progress.ts';
import type { Terminal } from './terminal.ts';

const PERIOD_MS = 100;
const FREQUENT: ReadonlySet<string> = new Set(['uploaded', 'restored', 'checked']);

/** Each event one JSON object a line; of those that come by the thousand ten a second of a kind, and always the last. */
export function startJsonLines(terminal: Terminal, { every }: Clock): ProgressView {
  const waiting = new Map<string, ProgressEvent>();
  let printed: Promise<unknown> = Promise.resolve();
  let failure: unknown;
  const print = (event: ProgressEvent) => {
    printed = terminal.resultJson(event).catch((error: unknown) => {
      failure ??= error;
    });
  };
  const flush = () => {
    for (const event of waiting.values()) print(event);
    waiting.clear();
  };
  const stop = every(PERIOD_MS, flush);
  return {
    report(event) {
      const kind = frequentKind(event);
      if (kind !== null) {
        waiting.set(kind, event);
        return;
      }
      flush();
      print(event);
    },
    async close() {
      stop();
      flush();
      await printed;
      // A stream that has lost lines must not look like a whole one.
      if (failure !== undefined) throw failure;
    },
  };
}

/** @returns what the event replaces when it is told again, or `null` when each of its kind matters. */
function frequentKind(event: ProgressEvent): string | null {
  // The beginning of each pack is told: whoever reads this knows what was in flight, whatever ends the program.
  if (event.type === 'lane') return event.pack?.sentBytes === 0 ? null : `lane ${event.lane}`;
  if (event.type === 'source_scanning' && event.files !== undefined) return `source ${event.path}`;
  return FREQUENT.has(event.type) ? event.type : null;
}
