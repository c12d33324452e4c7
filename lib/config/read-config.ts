import { readFileSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import { systemErrorCode, UsageError } from '../errors.ts';
import { fileError } from './file-error.ts';
import { nearest } from './nearest.ts';
import { CONFIG_OPTIONS } from './options.ts';

/**
 * @returns what is in the config file, nothing when there is none; every key is one of the options'
 * @throws UsageError naming the line, or the key and the one it may have been meant to be
 */
export function readConfig(file: string): Readonly<Record<string, unknown>> {
  const values = parseConfig(file, readIfThere(file) ?? '');
  const known = Object.values(CONFIG_OPTIONS).map(({ key }) => key);
  for (const key of Object.keys(values)) {
    if (!known.includes(key)) throw unknownKey(file, key, known);
  }
  return values;
}

/** @throws UsageError naming the line */
export function parseConfig(file: string, source: string): Readonly<Record<string, unknown>> {
  try {
    return parse(source);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // The lines below the first show the source.
    const reason = (error.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: |\.$/g, '');
    throw new UsageError(`read ${file}: line ${error.line}: ${reason}`, { cause: error });
  }
}

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw fileError(`read ${file}`, error);
  }
}

function unknownKey(file: string, key: string, known: readonly string[]): UsageError {
  const meant = nearest(key, known);
  const hints = /^(remote_)?password$/.test(key)
    ? [`A password has no place in this file: use ${key}_file or ${key}_command.`]
    : [...(meant === null ? [] : [`Did you mean '${meant}'?`]), `The keys are ${known.join(', ')}.`];
  return new UsageError(`read ${file}: unknown key '${key}'`, { hints });
}
