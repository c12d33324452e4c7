import { resolve } from 'node:path';
import { UsageError } from '../errors.ts';
import { parseBytes, parseDuration } from '../units.ts';
import { expandHome } from './paths.ts';

/** Where a value was written. */
export interface Place {
  /** For messages: `--retry-for`, `SKYLOCK_REMOTE`, `retry_for in /home/…/config.toml`. */
  readonly what: string;
  /** The folder that relative paths are relative to. */
  readonly folder: string;
  readonly home: string;
}

/** Reads a value as flags (text), the environment (text) and TOML (text, numbers, booleans) give it. @throws UsageError */
export type Parse<T> = (value: unknown, place: Place) => T;

export const text: Parse<string> = (value, place) => {
  if (typeof value !== 'string' || value === '') throw notA('text', value, place);
  return value;
};

/** @returns an absolute path. */
export const path: Parse<string> = (value, place) =>
  resolve(place.folder, expandHome(text(value, place), place.home));

/** A URL, or the path of a folder; what it means is for the remote to say. */
export const remote: Parse<string> = (value, place) => expandHome(text(value, place), place.home);

export function wholeNumber(least: number, most: number): Parse<number> {
  return (value, place) => {
    const number = typeof value === 'string' && /^\s*\d+\s*$/.test(value) ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isInteger(number) || number < least || number > most) {
      throw notA(`a whole number from ${least} to ${most}`, value, place);
    }
    return number;
  };
}

/** @returns bytes. */
export const size: Parse<number> = (value, place) => {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  if (typeof value !== 'string') throw notA('a size such as "10MB"', value, place);
  return parseBytes(value, place.what);
};

/** @returns milliseconds. */
export const duration: Parse<number> = (value, place) => {
  if (typeof value !== 'string') throw notA('a duration such as "10m"', value, place);
  return parseDuration(value, place.what);
};

export const yesOrNo: Parse<boolean> = (value, place) => {
  if (typeof value !== 'boolean') throw notA('true or false', value, place);
  return value;
};

/** A SHA-256 as OpenSSL and browsers print it. @returns 64 lower-case hexadecimal digits. */
export const fingerprint: Parse<string> = (value, place) => {
  const digits = text(value, place)
    .replace(/^(sha-?256(\s+fingerprint)?\s*[:=]\s*)/i, '')
    .replace(/[:\s]/g, '')
    .toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(digits)) throw notA('a SHA-256 of 64 hexadecimal digits', value, place);
  return digits;
};

function notA(expected: string, value: unknown, { what }: Place): UsageError {
  return new UsageError(`read ${what}: expected ${expected}, found ${describe(value)}`);
}

function describe(value: unknown): string {
  if (typeof value === 'string') return value === '' ? 'nothing' : `'${value}'`;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return 'several values';
  return value instanceof Date ? 'a date' : 'a table';
}
