import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { SkylockError, systemErrorCode } from '../errors.ts';
import type { Environment } from './paths.ts';

/** Where a password comes from, and never the password itself: a `reveal` prints as nothing. */
export type SecretSource =
  | { readonly kind: 'value'; readonly from: string; readonly reveal: () => string }
  | { readonly kind: 'file'; readonly from: string; readonly path: string }
  | { readonly kind: 'command'; readonly from: string; readonly command: string };

export interface Password {
  readonly text: string;
  /** What the person should know of where it came from. */
  readonly warnings: readonly string[];
}

export interface PasswordOptions {
  /** Whose password it is: the repository's, or that of the account at the remote. */
  readonly of: 'repository' | 'remote';
  /** For the question and for messages: the remote's URL without any secret. */
  readonly url: string;
  /** @returns what was typed, or `null` when there is nobody to ask. */
  readonly ask: (prompt: string) => Promise<string | null>;
  /** For a command; the caller's own where it is absent. */
  readonly env?: Environment;
  readonly signal?: AbortSignal;
}

const VARIABLES = { repository: 'SKYLOCK_PASSWORD', remote: 'SKYLOCK_REMOTE_PASSWORD' };

/** More than anybody would take for a password: a wrong path. */
const MAX_BYTES = 64 * 1024;

/**
 * @returns the password, or `null` when none is configured and there is nobody to ask
 * @throws SkylockError when it is empty, or its file or command fails
 */
export async function findPassword(
  source: SecretSource | null,
  options: PasswordOptions,
): Promise<Password | null> {
  if (source === null) {
    const text = await options.ask(`Password of ${describe(options)}:`);
    return text === null ? null : refuseEmpty({ text, warnings: [] }, 'what was typed');
  }
  if (source.kind === 'value') return refuseEmpty({ text: source.reveal(), warnings: [] }, source.from);
  const found = source.kind === 'file' ? await readPasswordFile(source) : await runCommand(source, options);
  return refuseEmpty(found, source.from);
}

/** As {@link findPassword}; @throws SkylockError also when there is none, with what can be done about it */
export async function readPassword(source: SecretSource | null, options: PasswordOptions): Promise<Password> {
  const password = await findPassword(source, options);
  if (password !== null) return password;
  const variable = VARIABLES[options.of];
  throw new SkylockError(`read password of ${describe(options)}: there is none, and nobody to ask`, {
    hints: [
      `Set ${variable}, ${variable}_FILE or ${variable}_COMMAND,`,
      `or ${options.of === 'remote' ? 'remote_password_file' : 'password_file'} in the config file,`,
      'or run skylock in a terminal.',
    ],
  });
}

/** For a repository that is being made: what is typed is typed twice, as nothing can be read without it. */
export async function readNewPassword(
  source: SecretSource | null,
  options: PasswordOptions,
): Promise<Password> {
  if (source !== null) return readPassword(source, options);
  const ask = (before: string) => options.ask(`${before}New password of ${describe(options)}:`);
  let text = await ask('');
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    if (text === null) return readPassword(null, { ...options, ask: async () => null });
    refuseEmpty({ text, warnings: [] }, 'what was typed');
    if ((await options.ask('The same again:')) === text) return { text, warnings: [] };
    if (attempt < 3) text = await ask('They differ. ');
  }
  throw new SkylockError(`read password of ${describe(options)}: the two differ`);
}

function describe({ of, url }: PasswordOptions): string {
  return of === 'repository' ? `the repository at ${url}` : url;
}

function refuseEmpty(password: Password, from: string): Password {
  if (password.text !== '') return password;
  throw new SkylockError(`read password: ${from} is empty`, {
    hints: ['A repository with an empty password would be open to everybody.'],
  });
}

async function readPasswordFile({ path, from }: { path: string; from: string }): Promise<Password> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw new SkylockError(`read password file ${path}: ${reasonOf(error)}`, {
      hints: [`It is named by ${from}.`],
      cause: error,
    });
  });
  try {
    const { mode } = await file.stat();
    const bytes = Buffer.concat(await atMost(file.createReadStream({ autoClose: false }), path));
    const others = (mode & 0o170_000) === 0o100_000 && (mode & 0o044) !== 0;
    return {
      text: decodeLine(bytes, path),
      warnings: others ? [`password file ${path} can be read by others: chmod 600 ${path}`] : [],
    };
  } catch (error) {
    if (error instanceof SkylockError) throw error;
    throw new SkylockError(`read password file ${path}: ${reasonOf(error)}`, { cause: error });
  } finally {
    await file.close();
  }
}

/** Its output is the password, so neither it nor the command is ever part of a message. */
async function runCommand(
  { command, from }: { command: string; from: string },
  { env, signal }: PasswordOptions,
): Promise<Password> {
  const child = spawn(command, {
    shell: true,
    // A password manager may have to ask for its own.
    stdio: ['inherit', 'pipe', 'inherit'],
    ...(env && { env: { ...env } }),
    ...(signal && { signal }),
  });
  const ended = new Promise<string | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, killedBy) => {
      if (status === 0) resolve(null);
      else resolve(status === null ? `was ended by ${killedBy}` : `ended with status ${status}`);
    });
  });
  const [failure, output] = await Promise.all([ended, atMost(child.stdout, from)]);
  if (failure !== null) throw new SkylockError(`read password: the command of ${from} ${failure}`);
  return { text: decodeLine(Buffer.concat(output), from), warnings: [] };
}

async function atMost(stream: AsyncIterable<Buffer>, what: string): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of stream) {
    parts.push(part);
    size += part.length;
    if (size > MAX_BYTES) throw new SkylockError(`read password: ${what} is too long for one`);
  }
  return parts;
}

/** @returns the text without the newline that editors and `echo` put at its end. */
function decodeLine(bytes: Buffer, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r?\n$/, '');
  } catch (error) {
    throw new SkylockError(`read password: ${what} is not UTF-8 text`, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  switch (systemErrorCode(error)) {
    case 'ENOENT':
      return 'there is no such file';
    case 'EACCES':
      return 'permission denied';
    case 'EISDIR':
      return 'it is a folder';
    default:
      return systemErrorCode(error) ?? String(error);
  }
}
