import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { DamagedError, SkylockError, systemErrorCode } from '../errors.ts';
import { fileError } from './file-error.ts';
import { readSecret, type SecretSource } from './secret-source.ts';
import { writePrivateFile } from './write-file.ts';

/** A password the configuration knows of. */
export interface PasswordOption {
  /** The repository's, or that of the account at the remote. */
  readonly of: 'repository' | 'remote';
  /** `null` when it is to be asked for. */
  readonly source: SecretSource | null;
}

/** Who is asked and told; the terminal is one. */
export interface Person {
  /** @returns what was typed, or `null` when there is nobody to ask. */
  askSecret(prompt: string): Promise<string | null>;
  warning(text: string): void;
}

const WORDS = {
  repository: { name: 'the repository', variable: 'SKYLOCK_PASSWORD', key: 'password' },
  remote: {
    name: 'the account at the remote',
    variable: 'SKYLOCK_REMOTE_PASSWORD',
    key: 'remote_password',
  },
} as const;

/**
 * @returns the password, or `null` when none is configured and there is nobody to ask
 * @throws SkylockError when it is empty, or its file or command fails
 */
export async function findPassword({ of, source }: PasswordOption, person: Person): Promise<string | null> {
  const password =
    source === null
      ? await person.askSecret(`Password of ${WORDS[of].name}:`)
      : await readSecret(source, (text) => person.warning(text));
  if (password === '') throw emptyPassword(source?.from ?? 'what was typed');
  return password;
}

/** As {@link findPassword}; @throws SkylockError also when there is none, with what can be done about it */
export async function readPassword(option: PasswordOption, person: Person): Promise<string> {
  const password = await findPassword(option, person);
  if (password === null) throw noPassword(option);
  return password;
}

/** For a repository that is being made: what is typed is typed twice, as nothing can be read without it. */
export async function readNewPassword(option: PasswordOption, person: Person): Promise<string> {
  if (option.source !== null) return readPassword(option, person);
  for (const begin of ['', 'They differ. ', 'They differ again. ']) {
    const password = await person.askSecret(`${begin}New password of ${WORDS[option.of].name}:`);
    if (password === null) throw noPassword(option);
    if (password === '') throw emptyPassword('what was typed');
    if ((await person.askSecret('The same again:')) === password) return password;
  }
  throw new SkylockError(`choose password of ${WORDS[option.of].name}: the two differ`);
}

/** 32 random bytes in base64url. */
const KEY = /^[A-Za-z0-9_-]{43}$/;

/**
 * @returns the generated key that takes the place of a password where no remote is named, or `null` when there is none
 * @throws DamagedError when the file holds something else
 */
export function readKey(path: string): string | null {
  try {
    const text = readFileSync(path, 'utf8').replace(/\n$/, '');
    if (KEY.test(text)) return text;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw fileError(`read key file ${path}`, error);
  }
  throw new DamagedError(`read key file ${path}: it holds no key`, {
    hints: ['Without its key a repository cannot be read: look for a copy of the file before anything else.'],
  });
}

/** @returns the key, a new one when there was none: under its name it is whole and durable, or not there. */
export function readOrMakeKey(path: string): string {
  const there = readKey(path);
  if (there !== null) return there;
  const key = randomBytes(32).toString('base64url');
  // Where another process was faster, its key is the one.
  return writePrivateFile(path, `${key}\n`, 'keep') ? key : (readKey(path) ?? key);
}

function emptyPassword(from: string): SkylockError {
  return new SkylockError(`read password: ${from} is empty`, {
    hints: ['What an empty password opens is open to everybody.'],
  });
}

function noPassword({ of }: PasswordOption): SkylockError {
  const { name, variable, key } = WORDS[of];
  return new SkylockError(`read password of ${name}: there is none, and nobody to ask`, {
    hints: [
      `Set ${variable}_FILE, ${variable}_COMMAND or ${variable},`,
      `or ${key}_file or ${key}_command in the config file, or run skylock in a terminal.`,
    ],
  });
}
