import type { CommandModule } from 'yargs';
import { nearest } from '../config/nearest.ts';
import { FLAGS } from '../config/options.ts';
import { UsageError } from '../errors.ts';

/**
 * What yargs has to say of a command line that makes no sense, said as every other error is. The value of an option that
 * is not known is not repeated: it may be a password.
 * @param message yargs' own; @see https://github.com/yargs/yargs/blob/main/locales/en.json
 */
export function misuse(
  message: string,
  argv: readonly string[],
  commands: readonly CommandModule[],
): UsageError {
  const command = commands.find((one) => namesOf(one).some((name) => argv.includes(name)));
  const help = `See 'skylock ${command === undefined ? '' : `${namesOf(command)[0]} `}--help'.`;
  const error = (text: string, ...hints: string[]) => new UsageError(text, { hints: [...hints, help] });
  const [first = ''] = message.split('\n');

  if (first === NO_COMMAND) {
    const names = commands.map((one) => namesOf(one)[0]);
    return error(`read command line: ${NO_COMMAND}`, `The commands are ${names.join(', ')}.`);
  }
  const [, unknown] = /^Unknown arguments?: (.*)$/.exec(first) ?? [];
  if (unknown !== undefined) {
    const [text, ...hints] = describeUnknown(unknown.split(', '), argv, command, commands);
    return error(`read command line: ${text}`, ...hints);
  }
  const [, valueless] = /^Not enough arguments following: (.*)$/.exec(first) ?? [];
  if (valueless !== undefined) return error(`read --${valueless}: its value is missing`);
  const [, missing] = /^Missing required arguments?: (.*)$/.exec(first) ?? [];
  if (missing !== undefined) return error(`read command line: --${missing} is missing`);
  if (first.startsWith('Not enough non-option arguments') && command !== undefined) {
    return error(
      'read command line: an argument is missing',
      `The command is 'skylock ${[command.command].flat()[0]}'.`,
    );
  }
  const [, name, given, choices] = /Argument: (.*), Given: (.*), Choices: (.*)$/.exec(message) ?? [];
  if (name !== undefined) {
    return error(`read --${name}: expected ${choices?.replaceAll('"', '')}, found ${given}`);
  }
  return error(`read command line: ${first.charAt(0).toLowerCase()}${first.slice(1)}`);
}

/** For `demandCommand`. */
export const NO_COMMAND = 'no command was named';

/** @returns what is wrong, and what may have been meant */
function describeUnknown(
  names: readonly string[],
  argv: readonly string[],
  command: CommandModule | undefined,
  commands: readonly CommandModule[],
): string[] {
  const didYouMean = (word: string, known: readonly string[], prefix = '') => {
    const meant = nearest(word, known);
    return meant === null ? [] : [`Did you mean '${prefix}${meant}'?`];
  };
  for (const word of argv) {
    const [, dashes, option = ''] = /^(--?)([^=]+)/.exec(word) ?? [];
    const isUnknown = names.includes(option.replace(/^no-/, '').split('.')[0] ?? '');
    const isCluster = dashes === '-' && [...option].some((letter) => names.includes(letter));
    if (dashes !== undefined && (isUnknown || isCluster)) {
      return [`unknown option '${dashes}${option}'`, ...didYouMean(option, Object.keys(FLAGS), '--')];
    }
  }
  const [word = ''] = names;
  if (command !== undefined) return [`'${word}' is one argument too many`];
  return [`unknown command '${word}'`, ...didYouMean(word, commands.flatMap(namesOf))];
}

/** @returns the command's name, and those it may be called by as well */
function namesOf({ command = [], aliases = [] }: CommandModule): string[] {
  return [...[command].flat(), ...[aliases].flat()].map((name) => name.split(' ')[0] ?? '');
}
