import { PassThrough, Writable } from 'node:stream';
import { displayWidth, takeStart } from '../../lib/view/width.ts';

/** A clock that is turned by hand: what is due happens while it turns. */
export function handClock() {
  let nowMs = 0;
  const alarms = new Set<{ periodMs: number; dueMs: number; callback: () => void }>();
  return {
    now: () => nowMs,
    every(periodMs: number, callback: () => void) {
      const alarm = { periodMs, dueMs: nowMs + periodMs, callback };
      alarms.add(alarm);
      return () => void alarms.delete(alarm);
    },
    turn(ms: number) {
      const endMs = nowMs + ms;
      for (;;) {
        const next = [...alarms].sort((a, b) => a.dueMs - b.dueMs)[0];
        if (next === undefined || next.dueMs > endMs) break;
        nowMs = next.dueMs;
        next.dueMs += next.periodMs;
        next.callback();
      }
      nowMs = endMs;
    },
    alarms: () => alarms.size,
  };
}

export interface FakeStream extends NodeJS.WriteStream {
  text(): string;
}

/** Keeps what is written; a terminal when it has columns. */
export function fakeStream(size?: { columns: number; rows: number }): FakeStream {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk;
      done();
    },
  });
  return Object.assign(stream, { isTTY: size !== undefined, ...size, text: () => text }) as never;
}

/** A keyboard to type at; it notes whether keys come unseen and one by one. */
export function fakeKeyboard(isTTY = true) {
  const modes: boolean[] = [];
  const stream = new PassThrough();
  const keyboard = Object.assign(stream, { isTTY, setRawMode: (raw: boolean) => void modes.push(raw) });
  return { keyboard, modes, type: (keys: string) => void stream.write(keys) };
}

/**
 * A small terminal: what a person would see after `text` was written. Knows what the view writes and no more; an escape
 * sequence it does not know is an error. Lines that are too long wrap, unless wrapping is off.
 */
export function screenOf(text: string, columns: number, rows: number): string[] {
  const lines: string[] = [''];
  let [row, column, wrap] = [0, 0, true];
  const put = (character: string) => {
    const width = displayWidth(character);
    if (column + width > columns) {
      if (!wrap) return;
      [row, column] = [row + 1, 0];
      lines[row] ??= '';
    }
    const line = lines[row] ?? '';
    const before = takeStart(line, column);
    const rest = line.slice(takeStart(line, column + width).length);
    lines[row] = before + ' '.repeat(column - displayWidth(before)) + character + rest;
    column += width;
  };
  for (const [token] of text.matchAll(/\x1b\[[0-?]*[ -/]*[@-~]|\P{M}\p{M}*/gsu)) {
    const [, parameter = '', final = ''] = /^\x1b\[([?\d;]*)(.)$/s.exec(token) ?? [];
    if (token === '\n') [row, column] = [row + 1, 0];
    else if (token === '\r') column = 0;
    else if (final === 'A') row = Math.max(lines.length - rows, 0, row - Number(parameter || 1));
    else if (final === 'K') lines[row] = takeStart(lines[row] ?? '', column);
    else if (final === 'J') lines.splice(row, Infinity, takeStart(lines[row] ?? '', column));
    else if (parameter === '?7') wrap = final === 'h';
    else if (token.startsWith('\x1b') && final !== 'm' && parameter !== '?2026')
      throw new Error(`unknown: ${JSON.stringify(token)}`);
    else if (!token.startsWith('\x1b')) put(token);
    while (lines.length <= row) lines.push('');
  }
  return lines.map((line) => line.trimEnd());
}
