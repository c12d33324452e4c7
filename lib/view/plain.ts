import { figuresOf, labelOf, sizes } from './bars.ts';
import type { Clock } from './clock.ts';
import type { ProgressView } from './progress.ts';
import { sampleRates, type Tally } from './tally.ts';
import type { Terminal } from './terminal.ts';
import { announce, announceSource } from './words.ts';

/** How often a log says how far the flow is. */
const PERIOD_MS = 10_000;
const SAMPLE_MS = 1_000;

/** Lines for a log: what begins, what was found, now and then how far it is, and what failed. */
export function startPlainLines(terminal: Terminal, tally: Tally, { now, every }: Clock): ProgressView {
  let said = '';
  let retrySaidMs = Number.NEGATIVE_INFINITY;
  const sayHowFar = () => {
    if (tally.stage !== 'moving' && tally.stage !== 'publishing') return;
    const label = labelOf(tally);
    const line = `📦 ${label}, ${sizes(tally)}`;
    // The rate and the time left change by themselves; a flow that stands still has nothing new to say.
    if (line === said) return;
    said = line;
    const figures = tally.doneBytes < tally.totalBytes ? figuresOf(tally, now()) : [];
    terminal.message([line, ...figures].join(', '));
  };
  const stops = [every(SAMPLE_MS, () => sampleRates(tally, now())), every(PERIOD_MS, sayHowFar)];
  return {
    report(event) {
      if (event.type === 'retrying') {
        // A line that is down fails on every lane, again and again.
        if (now() - retrySaidMs < PERIOD_MS) return;
        retrySaidMs = now();
        terminal.message(`⏳ Trying again: ${event.reason}`);
        return;
      }
      if (event.type === 'publishing') {
        sayHowFar();
        terminal.message('📋 Publishing the backup');
      }
      if (event.type === 'source_scanning' && event.files === undefined) {
        terminal.message(announceSource(event.path));
      }
      for (const line of announce(event, tally.resumed)) {
        if (line !== '') terminal.message(line);
      }
    },
    async close() {
      for (const stop of stops) stop();
      sayHowFar();
    },
  };
}
