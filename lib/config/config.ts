import { dirname } from 'node:path';
import { CONFIG_OPTIONS, type ConfigOption, type ConfigValues, flagOf } from './options.ts';
import type { Place } from './parse.ts';
import type { PasswordOption } from './password.ts';
import { dataPaths, type Environment } from './paths.ts';
import { readConfig } from './read-config.ts';
import type { SecretSource } from './secret-source.ts';

type PasswordValues = 'passwordFile' | 'passwordCommand' | 'remotePasswordFile' | 'remotePasswordCommand';

/** What holds for this run: flags over environment over file over defaults. */
export interface Config extends Omit<ConfigValues, PasswordValues> {
  readonly password: PasswordOption;
  readonly remotePassword: PasswordOption;
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
  const { configFile } = dataPaths(env, home);
  const layers = [flagLayer(flags, home, cwd), environmentLayer(env, home, cwd), fileLayer(configFile, home)];
  const values = Object.fromEntries(
    Object.entries(CONFIG_OPTIONS).map(([name, option]) => [name, choose(layers, option)]),
  ) as unknown as ConfigValues;
  const { passwordFile, passwordCommand, remotePasswordFile, remotePasswordCommand, ...others } = values;
  return Object.freeze({
    ...others,
    password: { of: 'repository', source: chooseSecret(layers, 'SKYLOCK_PASSWORD', 'password') },
    remotePassword: {
      of: 'remote',
      source: chooseSecret(layers, 'SKYLOCK_REMOTE_PASSWORD', 'remotePassword'),
    },
  } as const);
}

/** The first layer that has the option; the others are read too, so that a mistake in them does not lie in wait. */
function choose(layers: readonly Layer[], option: ConfigOption<unknown>): unknown {
  const found = layers
    .map((layer) => ({ value: layer.get(option), place: layer.place(option) }))
    .filter(({ value }) => value !== undefined)
    .map(({ value, place }) => option.parse(value, place));
  return found.length > 0 ? found[0] : option.default;
}

/** The first layer that has a secret in any of its forms: a flag's file wins over a variable's secret. */
function chooseSecret(
  layers: readonly Layer[],
  variable: string,
  name: 'password' | 'remotePassword',
): SecretSource | null {
  const fileOption = CONFIG_OPTIONS[`${name}File`];
  const commandOption = CONFIG_OPTIONS[`${name}Command`];
  for (const layer of layers) {
    const secret = layer.secret(variable);
    if (secret !== undefined) return { kind: 'value', from: variable, reveal: () => secret };
    const path = layer.get(fileOption);
    if (path !== undefined) {
      const place = layer.place(fileOption);
      return { kind: 'file', from: place.what, path: fileOption.parse(path, place) };
    }
    const command = layer.get(commandOption);
    if (command !== undefined) {
      const place = layer.place(commandOption);
      return { kind: 'command', from: place.what, command: commandOption.parse(command, place) };
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
  const values = readConfig(file);
  return {
    get: ({ key }) => values[key],
    place: ({ key }) => ({ what: `${key} in ${file}`, folder: dirname(file), home }),
    secret: () => undefined,
  };
}
