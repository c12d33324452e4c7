import { drawEnd, drawLanes, drawTrouble, drawWhole, type Look } from './bars.ts';
import type { Clock } from './clock.ts';
import type { ProgressView } from './progress.ts';
import { sampleRates, type Tally } from './tally.ts';
import type { Canvas, Terminal } from './terminal.ts';
import { announce, announceSource } from './words.ts';

const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const SPINNER_MS = 100;

/** Lines that stay, and below them the bars, drawn by listr2. */
export function startWindow(
  terminal: Terminal,
  canvas: Canvas,
  tally: Tally,
  { now, every }: Clock,
): ProgressView {
  // The last column stays empty: some terminals begin a new line as soon as it is filled.
  const width = () => Math.max(1, terminal.width() - 1);
  const look = (): Look => ({
    width: width(),
    height: canvas.stream.rows || 24,
    paint: canvas.paint,
    spinner: SPINNER[Math.floor(now() / SPINNER_MS) % SPINNER.length] ?? '',
    nowMs: now(),
  });
  const titles = (ended: boolean) => {
    sampleRates(tally, now());
    if (ended) return { whole: drawEnd(tally, look()), lanes: [] };
    return {
      whole: drawWhole(tally, look()),
      lanes: [...drawLanes(tally, look()), ...drawTrouble(tally, look())],
    };
  };
  // listr2 takes 10 ms to load: only what draws pays for it, and not before there is something to draw.
  const stages = import('./stages.ts').then(({ startStages }) => startStages({ canvas, titles, every }));
  let announcedSource: string | null = null;
  return {
    report(event) {
      if (event.type === 'source_scanning' || event.type === 'source_scanned') {
        if (announcedSource !== event.path) {
          announcedSource = event.path;
          terminal.message('');
          terminal.message(announceSource(event.path));
        }
      }
      for (const line of announce(event, tally.resumed)) terminal.message(line);
    },
    async close() {
      await (await stages).close();
    },
  };
}
