import { SkylockError } from '../errors.ts';
import { type Keyboard, readTypedLine } from './ask.ts';
import { harmless, harmlessJson, harmlessLines } from './harmless.ts';
import { createOutput } from './output.ts';
import { createPaint, type Environment, type Paint, type Style } from './paint.ts';
import { toSnakeCase } from './snake-case.ts';
import { type Column, formatTable } from './table.ts';
import { displayWidth, wrapWords } from './width.ts';

export interface TerminalOptions {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly stdin: Keyboard;
  readonly env: Environment;
  /** Results, warnings and errors only. */
  readonly quiet: boolean;
  /** Results are JSON. */
  readonly json: boolean;
}

/** What is drawn at the bottom of the window and has to make room for lines that stay. */
export interface Drawing {
  hide(): void;
  show(): void;
}

/** Where a drawing goes: standard error, when it is a terminal that can move its cursor. */
export interface Canvas {
  readonly stream: NodeJS.WriteStream;
  readonly paint: Paint;
  /** Makes every line and question from now on go above the drawing; the function returned ends that. */
  attach(drawing: Drawing): () => void;
}

/** Results go to standard output, all else to standard error. Nothing printed through it can move the cursor. */
export interface Terminal {
  readonly quiet: boolean;
  readonly json: boolean;
  /** `null` where only lines can be printed. */
  readonly canvas: Canvas | null;
  /** Columns of standard error's window; 80 where there is none. */
  width(): number;

  /** @returns `false` when nobody reads any more; @throws SkylockError when it could not be written. */
  result(text: string): Promise<boolean>;
  /** One JSON value on a line of its own, names in snake_case; as {@link Terminal.result}. */
  resultJson(value: unknown): Promise<boolean>;
  /** Text for {@link Terminal.result}, fitted to the window where there is one. */
  table(columns: readonly Column[], rows: readonly (readonly string[])[]): string;

  message(text: string): void;
  /** What the person may do next. */
  hint(text: string): void;
  /** Said also when quiet, as the two below. */
  warning(text: string): void;
  /** Something that was to be done and was not. */
  failure(text: string): void;
  error(error: unknown): void;

  /** @returns what was typed, unseen; `null` when there is nobody to ask. @throws InterruptedError at Ctrl-C */
  askSecret(prompt: string, signal?: AbortSignal): Promise<string | null>;
  /** @returns whether the answer was yes; `false` when there is nobody to ask. @throws InterruptedError at Ctrl-C */
  confirm(question: string, signal?: AbortSignal): Promise<boolean>;
}

export function createTerminal(options: TerminalOptions): Terminal {
  const { stdout, stderr, stdin, env, quiet, json } = options;
  const output = createOutput(stdout);
  // Standard error has gone: there is nobody left to be told.
  stderr.on('error', () => {});
  const paint = createPaint(stderr, env);
  const drawings = new Set<Drawing>();

  /** What is written to the window while the drawings are out of the way. */
  const above = (write: () => void) => {
    for (const drawing of drawings) drawing.hide();
    write();
    for (const drawing of drawings) drawing.show();
  };
  const line = (text: string) => above(() => stderr.write(`${text}\n`));
  const width = () => stderr.columns || 80;
  /** In a window a line is broken between words; in a log it stays one line. */
  const fold = (text: string) => (stderr.isTTY ? wrapWords(text, width() - 1).join('\n') : text);
  const labelled = (style: Style, label: string, text: string) =>
    line(paint(style, label) + fold(`${label} ${harmless(text)}`).slice(label.length));

  const ask = async (
    prompt: string,
    shown: (typed: string) => string,
    signal: AbortSignal | undefined,
  ): Promise<string | null> => {
    if (stdin.isTTY !== true) return null;
    for (const drawing of drawings) drawing.hide();
    try {
      let last = '';
      return await readTypedLine(
        stdin,
        () => stderr.write(`${harmless(prompt)} `),
        (typed) => {
          const next = shown(typed);
          // Typed at the end: add it; anything else: take the old answer back, one column at a time.
          const back = next.startsWith(last) ? '' : '\b \b'.repeat(displayWidth(last));
          stderr.write(back + (back === '' ? next.slice(last.length) : next));
          last = next;
        },
        signal,
      );
    } finally {
      stderr.write('\n');
      for (const drawing of drawings) drawing.show();
    }
  };

  return {
    quiet,
    json,
    canvas:
      stderr.isTTY === true && env.TERM !== 'dumb'
        ? {
            stream: stderr,
            paint,
            attach(drawing) {
              drawings.add(drawing);
              return () => void drawings.delete(drawing);
            },
          }
        : null,
    width,

    result: (text) => output.write(`${harmlessLines(text)}\n`),
    resultJson: (value) => output.write(`${harmlessJson(toSnakeCase(value))}\n`),
    table: (columns, rows) => formatTable(columns, rows, (stdout.isTTY && stdout.columns) || Infinity),

    message: (text) => {
      if (!quiet) line(fold(harmless(text)));
    },
    hint: (text) => {
      if (!quiet) line(paint('dim', fold(`  ${harmless(text)}`)));
    },
    warning: (text) => labelled('yellow', 'warning:', text),
    failure: (text) => labelled('red', '✖', text),
    error(error) {
      const [first = '', ...others] = describeError(error);
      labelled('red', 'skylock:', first);
      for (const other of others) line(fold(`  ${harmless(other)}`));
    },

    askSecret: (prompt, signal) => ask(prompt, () => '', signal),
    confirm: async (question, signal) => {
      const answer = await ask(`${question} [y/N]`, (typed) => typed, signal);
      return /^\s*y(es)?\s*$/i.test(answer ?? '');
    },
  };
}

/** @returns what is said of it, and the lines below. */
function describeError(error: unknown): string[] {
  if (error instanceof SkylockError) return [error.message, ...error.hints];
  return ['this is a bug in skylock; please report it with the lines below', ...stackOf(error)];
}

/** Names, messages and places only: what else hangs on a library's error may be a request with its password. */
function stackOf(error: unknown): string[] {
  if (!(error instanceof Error)) return [`thrown: ${String(error)}`];
  const lines = (error.stack ?? String(error)).split('\n');
  return error.cause === undefined ? lines : [...lines, 'caused by:', ...stackOf(error.cause)];
}
