import { open } from 'node:fs/promises';
import { SkylockError } from '../errors.ts';
import { fileError } from './file-error.ts';

/** Where a secret comes from, and never the secret itself: `reveal` prints as nothing. */
export type SecretSource =
  | { readonly kind: 'value'; readonly from: string; readonly reveal: () => string }
  | { readonly kind: 'file'; readonly from: string; readonly path: string }
  | { readonly kind: 'command'; readonly from: string; readonly command: string };

/** More than anybody would take for a password: a wrong path. */
const MAX_BYTES = 64 * 1024;

/**
 * @param warn told when others can read it as well
 * @throws SkylockError when its file or command fails; nothing of the secret is in it
 */
export async function readSecret(source: SecretSource, warn: (text: string) => void): Promise<string> {
  switch (source.kind) {
    case 'value':
      return source.reveal();
    case 'file':
      return readSecretFile(source.path, source.from, warn);
    case 'command':
      return runSecretCommand(source.command, source.from);
  }
}

async function readSecretFile(path: string, from: string, warn: (text: string) => void): Promise<string> {
  const failed = (error: unknown) =>
    fileError(`read password file ${path}`, error, [`The file is named by ${from}.`]);
  const file = await open(path, 'r').catch((error: unknown) => {
    throw failed(error);
  });
  try {
    const stats = await file.stat();
    if (stats.isFile() && (stats.mode & 0o044) !== 0) {
      warn(`password file ${path} can be read by others: chmod 600 ${path}`);
    }
    return await readLine(file.createReadStream({ autoClose: false }), path);
  } catch (error) {
    throw failed(error);
  } finally {
    await file.close();
  }
}

/** Its output is the secret, and the command may hold one: neither is ever part of a message. */
async function runSecretCommand(command: string, from: string): Promise<string> {
  // Not at the top of the file: 5 ms of every start for what few have set up.
  const { spawn } = await import('node:child_process');
  // A password manager may have to ask for its own password, and may say why it cannot.
  const child = spawn(command, { shell: true, stdio: ['inherit', 'pipe', 'inherit'] });
  const ended = new Promise<string | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      if (status === 0) resolve(null);
      else resolve(status === null ? `was ended by ${signal}` : `ended with status ${status}`);
    });
  });
  try {
    const [failure, line] = await Promise.all([ended, readLine(child.stdout, `the output of ${from}`)]);
    if (failure === null) return line;
    throw new SkylockError(`read password: the command of ${from} ${failure}`);
  } finally {
    child.kill();
  }
}

/** @returns the text without the newline that editors and `echo` put at its end. */
async function readLine(stream: AsyncIterable<Buffer>, what: string): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of stream) {
    parts.push(part);
    size += part.length;
    if (size > MAX_BYTES) throw new SkylockError(`read password: ${what} is too long for one`);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts)).replace(/\r?\n$/, '');
  } catch (error) {
    throw new SkylockError(`read password: ${what} is not UTF-8 text`, { cause: error });
  }
}
