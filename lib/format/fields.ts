import { isUtf8 } from 'node:buffer';
import { DamagedError } from '../errors.ts';

/** In lower case. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const DECIMAL = /^(0|-?[1-9]\d{0,29})$/;
/** More than anything of the format holds, even a backup of all the sources a command line has room for. Each takes up a hundred bytes. */
const MAX_VALUES = 1_000_000;
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

/** The fields of one JSON object that came from outside. Every method throws DamagedError that names the field. */
export class Fields {
  readonly #values: Record<string, unknown>;
  readonly #task: string;

  /** @param task begins the messages: `open key file` */
  constructor(value: unknown, task: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new DamagedError(`${task}: it is not a JSON object`);
    }
    this.#values = value as Record<string, unknown>;
    this.#task = task;
  }

  /** @throws DamagedError unless the bytes are UTF-8 and hold one JSON object */
  static parse(bytes: Uint8Array, task: string): Fields {
    if (!isUtf8(bytes)) throw new DamagedError(`${task}: it is not UTF-8`);
    if (countValues(bytes) > MAX_VALUES) throw new DamagedError(`${task}: it holds too many values`);
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new DamagedError(`${task}: it is not JSON`); // the cause would quote from the contents
    }
    return new Fields(value, task);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#values, name);
  }

  isNull(name: string): boolean {
    return this.#get(name) === null;
  }

  text(name: string, pattern?: RegExp): string {
    const value = this.#get(name);
    if (typeof value !== 'string' || !value.isWellFormed()) throw this.fail(`${name} is not a text`);
    if (pattern !== undefined && !pattern.test(value)) throw this.fail(`${name} is malformed`);
    return value;
  }

  oneOf<const T extends string>(name: string, values: readonly T[]): T {
    const value = this.#get(name);
    const known = values.find((one) => one === value);
    if (known === undefined) throw this.fail(`${name} is none of ${values.join(', ')}`);
    return known;
  }

  /** A whole number from `min` to `max`, both included. */
  integer(name: string, min: number, max: number): number {
    const value = this.#get(name);
    if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
      throw this.fail(`${name} is not a whole number from ${min} to ${max}`);
    }
    return value as number;
  }

  /** Decimal digits in a string, for numbers that JSON readers would round; at most 30 of them. */
  decimal(name: string): bigint {
    return BigInt(this.text(name, DECIMAL));
  }

  base64(name: string): Buffer {
    const bytes = decodeBase64(this.text(name));
    if (bytes === null) throw this.fail(`${name} is not base64`);
    return bytes;
  }

  /** RFC 3339 in UTC with whole seconds. */
  instant(name: string): Date {
    const text = this.text(name, INSTANT);
    const date = new Date(text);
    // JavaScript takes the thirtieth of February for a day in March
    if (Number.isNaN(date.getTime()) || date.toISOString().slice(0, 19) !== text.slice(0, 19)) {
      throw this.fail(`${name} is not an instant`);
    }
    return date;
  }

  /** Bytes that are text as `name` wherever they are valid UTF-8, and as base64 in `name_base64` where not. */
  bytes(name: string): Buffer {
    if (this.has(name)) {
      if (this.has(`${name}_base64`)) throw this.fail(`${name} is there twice`);
      return Buffer.from(this.text(name), 'utf8');
    }
    const bytes = this.base64(`${name}_base64`);
    if (isUtf8(bytes)) throw this.fail(`${name}_base64 is UTF-8`);
    return bytes;
  }

  object(name: string): Fields {
    return new Fields(this.#get(name), `${this.#task}: ${name}`);
  }

  list(name: string): readonly unknown[] {
    const value = this.#get(name);
    if (!Array.isArray(value)) throw this.fail(`${name} is not a list`);
    return value;
  }

  /** What is authenticated beside is a fixed list of fields, so a further one would not be. */
  refuseOthers(known: readonly string[]): void {
    if (Object.keys(this.#values).some((name) => !known.includes(name))) {
      throw this.fail('it has a field format 1 does not know');
    }
  }

  fail(reason: string): DamagedError {
    return new DamagedError(`${this.#task}: ${reason}`);
  }

  #get(name: string): unknown {
    return this.has(name) ? this.#values[name] : undefined;
  }
}

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
/** `[`, `{` and `,`: before each value but the first. */
const BEFORE_VALUES = [0x5b, 0x7b, 0x2c];

/** @returns how many values JSON.parse would have to hold, or 0 where they are few enough by the length alone */
function countValues(bytes: Uint8Array): number {
  if (bytes.length <= MAX_VALUES) return 0;
  let count = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    if (bytes[at] === QUOTE) at = endOfText(bytes, at + 1);
    else if (BEFORE_VALUES.includes(bytes[at]!)) count += 1;
  }
  return count;
}

/** @returns where the quote is that ends a text begun before `from`, or the end */
function endOfText(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(QUOTE, from); at !== -1; at = bytes.indexOf(QUOTE, at + 1)) {
    let escapes = 0;
    while (bytes[at - 1 - escapes] === BACKSLASH) escapes += 1;
    if (escapes % 2 === 0) return at;
  }
  return bytes.length;
}

/** The mirror of {@link Fields.bytes}: `"path":"a"` or `"path_base64":"/w=="`. */
export function bytesField(name: string, bytes: Buffer): string {
  return isUtf8(bytes)
    ? `"${name}":${JSON.stringify(bytes.toString('utf8'))}`
    : `"${name}_base64":"${bytes.toString('base64')}"`;
}

/** @returns `null` unless `text` is the one canonical base64 (RFC 4648 section 4, padded) of some bytes */
function decodeBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64'); // passes over what is not base64, so compare
  return bytes.toString('base64') === text ? bytes : null;
}
