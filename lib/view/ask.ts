import { StringDecoder } from 'node:string_decoder';
import { InterruptedError } from '../errors.ts';

/** What a terminal's input is; anything else (a file, a pipe) is never asked. */
export interface Keyboard extends NodeJS.ReadableStream {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
}

interface Typing {
  readonly text: string;
  /** `null` while the line is not ended. */
  readonly end: 'enter' | 'end of input' | 'interrupt' | null;
  /** What came after the end: the beginning of the next answer when it was pasted. */
  readonly rest: string;
}

/**
 * One line typed at a terminal. The terminal is in raw mode meanwhile: what is typed shows only as `echo` lets it.
 * @param ask shows the question, when the terminal shows no typing any more: an answer may be there at once
 * @returns the line, or `null` at the end of input (Ctrl-D)
 * @throws InterruptedError at Ctrl-C, which raw mode makes a key like others, and when `signal` is aborted
 */
export async function readTypedLine(
  keyboard: Keyboard,
  ask: () => void,
  echo: (typed: string) => void,
  signal?: AbortSignal,
): Promise<string | null> {
  const decoder = new StringDecoder('utf8');
  let typing: Typing = { text: '', end: null, rest: '' };
  keyboard.setRawMode?.(true);
  try {
    ask();
    await new Promise<void>((resolve, reject) => {
      const finish = (settle: () => void) => () => {
        keyboard.off('data', onData);
        keyboard.off('end', onEnd);
        keyboard.off('error', onError);
        signal?.removeEventListener('abort', onAbort);
        settle();
      };
      const onData = (bytes: Buffer | string) => {
        typing = typeKeys(typing.text, typeof bytes === 'string' ? bytes : decoder.write(bytes));
        echo(typing.text);
        if (typing.end !== null) onEnd();
      };
      const onEnd = finish(resolve);
      const onError = (error: unknown) => finish(() => reject(error))();
      const onAbort = finish(() => reject(new InterruptedError('read answer: interrupted')));
      keyboard.on('data', onData).on('end', onEnd).on('error', onError);
      // A stream that was paused once does not begin again by being listened to.
      keyboard.resume();
      signal?.addEventListener('abort', onAbort);
      if (signal?.aborted) onAbort();
    });
  } finally {
    keyboard.pause();
    keyboard.setRawMode?.(false);
  }
  if (typing.rest !== '') keyboard.unshift(typing.rest, 'utf8');
  if (typing.end === 'interrupt') throw new InterruptedError('read answer: interrupted');
  return typing.end === 'enter' ? typing.text : null;
}

/** Escape sequences of keys (arrows, Home, bracketed paste): nothing to type. */
const KEY_SEQUENCES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[^[O])?/gu;

function typeKeys(before: string, input: string): Typing {
  let text = before;
  const keys = [...input.replace(KEY_SEQUENCES, '').replaceAll('\r\n', '\n')];
  for (const [index, key] of keys.entries()) {
    const ended = (end: Typing['end']): Typing => ({ text, end, rest: keys.slice(index + 1).join('') });
    if (key === '\n' || key === '\r') return ended('enter');
    if (key === '\x03' || key === '\x1c') return ended('interrupt');
    if (key === '\x04' && text === '') return ended('end of input');
    if (key === '\x7f' || key === '\b') text = [...text].slice(0, -1).join('');
    else if (key === '\x15') text = '';
    else if (key === '\x17') text = text.replace(/\S*\s*$/u, '');
    else if (!/\p{Cc}/u.test(key)) text += key;
  }
  return { text, end: null, rest: '' };
}
