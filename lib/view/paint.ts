import { styleText } from 'node:util';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** Colours text, or leaves it as it is. Zero columns wide either way: measure before painting. */
export type Paint = (style: Style, text: string) => string;

export type Environment = Readonly<Record<string, string | undefined>>;

/** @see https://no-color.org (set and not empty) */
export function createPaint(stream: { readonly isTTY?: boolean }, env: Environment): Paint {
  const coloured = stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
  // `validateStream` would look at the process's own output and environment instead of these.
  return (style, text) =>
    coloured && text !== '' ? styleText(style, text, { validateStream: false }) : text;
}
