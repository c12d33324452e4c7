import { Listr, type ListrRenderer, type ListrTaskObject, ProcessOutput } from 'listr2';
import type { Clock } from './clock.ts';
import { createFrame } from './frame.ts';
import type { Canvas, Drawing } from './terminal.ts';

/** What the tasks are called at this moment. */
export interface Titles {
  /** Lines of the task for the whole. */
  readonly whole: readonly string[];
  /** One for each lane that is to be seen, and one for what troubles them. */
  readonly lanes: readonly string[];
}

export interface Stages {
  /** Draws the last picture, which stays. */
  close(): Promise<void>;
}

export interface StagesOptions {
  readonly canvas: Canvas;
  /** @param ended is it the last picture? */
  readonly titles: (ended: boolean) => Titles;
  readonly every: Clock['every'];
}

/** Faster, nobody sees; and a million events cost no more than this. */
const REDRAW_MS = 100;
/** More lanes than that would not fit into a window. */
const MAX_LANES = 16;

interface RendererOptions extends StagesOptions {
  readonly output: ProcessOutput;
}

/**
 * Draws listr2's tasks at a steady pace. listr2's own renderer draws at each event, on standard output, and hides the
 * cursor through a package that listens for signals: the first Ctrl-C would end the program past every `finally`.
 */
class StagesRenderer implements ListrRenderer {
  /** listr2 asks whether standard *output* is a terminal; the window is on standard error. */
  static readonly nonTTY = true;
  static readonly rendererOptions = {};
  static readonly rendererTaskOptions = {};

  readonly #tasks: readonly ListrTaskObject<unknown, typeof StagesRenderer>[];
  readonly #options: RendererOptions;
  readonly #frame = createFrame();
  #hidden = 0;
  #end = () => {};

  constructor(tasks: ListrTaskObject<unknown, typeof StagesRenderer>[], options: object) {
    this.#tasks = tasks;
    this.#options = options as RendererOptions;
  }

  readonly render = () => {
    const { canvas, every } = this.#options;
    const drawing: Drawing = {
      hide: () => {
        if (this.#hidden === 0) this.#write(this.#frame.erase(canvas.stream.columns || 80));
        this.#hidden += 1;
      },
      show: () => {
        this.#hidden -= 1;
        this.#draw(false);
      },
    };
    const detach = canvas.attach(drawing);
    const stop = every(REDRAW_MS, () => this.#draw(false));
    const onResize = () => this.#draw(false);
    canvas.stream.on('resize', onResize);
    this.#end = () => {
      canvas.stream.off('resize', onResize);
      stop();
      detach();
    };
    this.#draw(false);
  };

  readonly end = () => {
    this.#end();
    this.#draw(true);
  };

  #draw(ended: boolean): void {
    const { canvas, titles } = this.#options;
    // A window that is stopped (Ctrl-S), or slower than we are, is not given more to catch up with.
    if (this.#hidden > 0 || (canvas.stream.writableNeedDrain && !ended)) return;
    const { whole, lanes } = titles(ended);
    const [wholeTask, ...laneTasks] = this.#tasks;
    if (wholeTask) wholeTask.title = whole.join('\n');
    for (const [index, task] of laneTasks.entries()) task.title = lanes[index] ?? '';
    const lines = this.#tasks.flatMap((task) => (task.title ? task.title.split('\n') : []));
    this.#write(this.#frame.draw(lines, canvas.stream.columns || 80));
  }

  #write(text: string): void {
    if (text !== '') this.#options.output.toStderr(text, false);
  }
}

/** Begins to draw: one task for the whole and one for each lane, all under way until the end. */
export function startStages(options: StagesOptions): Stages {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const { stream } = options.canvas;
  const tasks = Array.from({ length: 1 + MAX_LANES }, () => ({ title: '', task: () => ended }));
  const list = new Listr<unknown, typeof StagesRenderer>(tasks, {
    concurrent: true,
    renderer: StagesRenderer,
    rendererOptions: { ...options, output: new ProcessOutput(stream, stream) },
    // listr2 would end the process with status 127 at Ctrl-C.
    registerSignalListeners: false,
  });
  const done = list.run();
  return {
    async close() {
      end();
      await done;
    },
  };
}
