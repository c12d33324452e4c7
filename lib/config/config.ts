import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parse as parseToml, TomlError } from 'smol-toml';
import { SkylockError, systemErrorCode, UsageError } from '../errors.ts';
import { nearest } from './nearest.ts';
import { CONFIG_OPTIONS, type ConfigOption, type ConfigValues, flagOf } from './options.ts';
import type { Place } from './parse.ts';
import type { SecretSource } from './password.ts';
import { configFile, type Environment } from './paths.ts';

type PasswordValues = 'passwordFile' | 'passwordCommand' | 'remotePasswordFile' | 'remotePasswordCommand';

/** What holds for this run: flags over environment over file over defaults. */
export interface Config extends Omit<ConfigValues, PasswordValues> {
  /** The repository's; `null` when it is to be asked for. */
  readonly password: SecretSource | null;
  /** Of the account at the remote. */
  readonly remotePassword: SecretSource | null;
  /** Of ssh-agent. */
  readonly agentSocket: string | null;
  /** The file that was read, or would have been. */
  readonly file: string;
}

export interface ConfigInputs {
  /** By their names without `--`; `undefined` where not given. Others than those of the options are ignored. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Environment;
  readonly home: string;
  /** What relative paths of flags and environment are relative to; those in the file are relative to its folder. */
  readonly cwd?: string;
}

/** One of the places options are written in. */
interface Layer {
  readonly get: (option: ConfigOption<unknown>) => unknown;
  readonly place: (option: ConfigOption<unknown>) => Place;
  /** A secret that is written there itself. */
  readonly secret: (variable: string) => string | undefined;
}

/**
 * @throws UsageError for a value, a key or a file that makes no sense, naming it
 * @throws SkylockError when the file is there and cannot be read
 */
export function loadConfig({ flags, env, home, cwd = home }: ConfigInputs): Config {
  const file = configFile(env, home);
  const layers = [flagLayer(flags, home, cwd), environmentLayer(env, home, cwd), fileLayer(file, home)];
  const values = Object.fromEntries(
    Object.entries(CONFIG_OPTIONS).map(([name, option]) => [name, choose(layers, option)]),
  ) as unknown as ConfigValues;
  const { passwordFile, passwordCommand, remotePasswordFile, remotePasswordCommand, ...others } = values;
  return Object.freeze({
    ...others,
    identityFiles: Object.freeze(others.identityFiles),
    password: chooseSecret(layers, 'SKYLOCK_PASSWORD', 'passwordFile', 'passwordCommand'),
    remotePassword: chooseSecret(
      layers,
      'SKYLOCK_REMOTE_PASSWORD',
      'remotePasswordFile',
      'remotePasswordCommand',
    ),
    agentSocket: env.SSH_AUTH_SOCK || null,
    file,
  });
}

/** The first layer that has the option; the others are read too, so that a mistake in them does not lie in wait. */
function choose<T>(layers: readonly Layer[], option: ConfigOption<T>): T {
  const found = layers
    .map((layer) => ({ value: layer.get(option), place: layer.place(option) }))
    .filter(({ value }) => value !== undefined)
    .map(({ value, place }) => option.parse(value, place));
  return found[0] ?? option.default;
}

/** The first layer that has a secret in any of its forms: a flag's file wins over a variable's secret. */
function chooseSecret(
  layers: readonly Layer[],
  variable: string,
  fileName: 'passwordFile' | 'remotePasswordFile',
  commandName: 'passwordCommand' | 'remotePasswordCommand',
): SecretSource | null {
  const [fileOption, commandOption] = [CONFIG_OPTIONS[fileName], CONFIG_OPTIONS[commandName]];
  for (const layer of layers) {
    const secret = layer.secret(variable);
    if (secret !== undefined) return { kind: 'value', from: variable, reveal: () => secret };
    const path = layer.get(fileOption);
    if (path !== undefined) {
      const place = layer.place(fileOption);
      return { kind: 'file', from: place.what, path: fileOption.parse(path, place) ?? '' };
    }
    const command = layer.get(commandOption);
    if (command !== undefined) {
      const place = layer.place(commandOption);
      return { kind: 'command', from: place.what, command: commandOption.parse(command, place) ?? '' };
    }
  }
  return null;
}

function flagLayer(flags: ConfigInputs['flags'], home: string, folder: string): Layer {
  return {
    get: (option) => flags[flagOf(option)],
    place: (option) => ({ what: `--${flagOf(option)}`, folder, home }),
    // A password on the command line is there for everybody to see.
    secret: () => undefined,
  };
}

function environmentLayer(env: Environment, home: string, folder: string): Layer {
  return {
    // A variable that is empty is one that is not set.
    get: ({ env: name }) => (name !== undefined && env[name] ? env[name] : undefined),
    place: (option) => ({ what: option.env ?? option.key, folder, home }),
    secret: (variable) => env[variable] || undefined,
  };
}

function fileLayer(file: string, home: string): Layer {
  const values = readConfigFile(file);
  return {
    get: ({ key }) => values[key],
    place: ({ key }) => ({ what: `${key} in ${file}`, folder: dirname(file), home }),
    secret: () => undefined,
  };
}

/** @returns what is in the file, nothing when there is none; every key is one of the options'. */
function readConfigFile(file: string): Readonly<Record<string, unknown>> {
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
    return parseToml(source);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // The lines below the first show the source.
    const reason = (error.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '');
    throw new UsageError(`read ${file}: line ${error.line}: ${reason}`, { cause: error });
  }
}

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw new SkylockError(`read ${file}: ${systemErrorCode(error) ?? String(error)}`, { cause: error });
  }
}

function unknownKey(file: string, key: string, known: readonly string[]): UsageError {
  const meant = nearest(key, known);
  const hints = /^(remote_)?password$/.test(key)
    ? [`A password has no place in this file: use ${key}_file or ${key}_command.`]
    : [...(meant === null ? [] : [`Did you mean '${meant}'?`]), `The keys are ${known.join(', ')}.`];
  return new UsageError(`read ${file}: unknown key '${key}'`, { hints });
}
