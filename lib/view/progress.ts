import type { Progress, ProgressEvent } from '../progress.ts';
import { type Clock, everyUnref } from './clock.ts';
import { startJsonLines } from './json-lines.ts';
import { startPlainLines } from './plain.ts';
import { addToTally, createTally } from './tally.ts';
import type { Terminal } from './terminal.ts';
import { startWindow } from './window.ts';

export type ProgressFormat = 'terminal' | 'plain' | 'json' | 'silent';

export interface ProgressOptions extends Pick<Clock, 'now'>, Partial<Pick<Clock, 'every'>> {
  readonly format: ProgressFormat;
}

export interface ProgressView {
  readonly report: Progress;
  /** Prints what is still to be printed and leaves the window to others. Call it however the flow ended. */
  close(): Promise<void>;
}

/** @returns how a flow is shown unless somebody asks for something else. */
export function chooseProgressFormat(terminal: Terminal): ProgressFormat {
  if (terminal.quiet) return 'silent';
  if (terminal.json) return 'json';
  return terminal.canvas === null ? 'plain' : 'terminal';
}

/** What a person, a log or a program sees of a flow: a value of the port in `lib/progress.ts`. */
export function createProgress(
  terminal: Terminal,
  { format, now, every = everyUnref }: ProgressOptions,
): ProgressView {
  const clock = { now, every };
  if (format === 'json') return startJsonLines(terminal, clock);
  if (format === 'silent') return startSilence(terminal);
  const tally = createTally(now());
  const view =
    format === 'plain' || terminal.canvas === null
      ? startPlainLines(terminal, tally, clock)
      : startWindow(terminal, terminal.canvas, tally, clock);
  return {
    report(event) {
      addToTally(tally, event, now());
      sayFailure(terminal, event);
      if (event.type === 'notice') {
        terminal.message(event.text);
        for (const hint of event.hints ?? []) terminal.hint(hint);
      }
      view.report(event);
    },
    close: view.close,
  };
}

function startSilence(terminal: Terminal): ProgressView {
  return { report: (event) => sayFailure(terminal, event), async close() {} };
}

function sayFailure(terminal: Terminal, event: ProgressEvent): void {
  if (event.type === 'entry_failed') terminal.failure(`${event.path}: ${event.reason}`);
}
