import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, realpath, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { SkylockError, systemErrorCode } from '../errors.ts';
import { parseConfig } from './config.ts';

/** Keeps the rest of the file, comments included, as it is. @throws UsageError when the file is no TOML */
export async function writeRemote(configFile: string, url: string): Promise<void> {
  const before = await readIfThere(configFile);
  await writeAtomically(configFile, setRemote(configFile, before ?? '', url));
}

/** @returns the source with `remote = "url"`, in the place of the old one or before everything else. */
export function setRemote(file: string, source: string, url: string): string {
  const before = parseConfig(file, source);
  const newline = source.includes('\r\n') ? '\r\n' : '\n';
  const lines = source.split(/(?<=\n)/);
  const replaced = lines.flatMap((line, index) => {
    const match = /^(\s*(?:remote|"remote"|'remote')\s*=\s*)(?:"(?:[^"\\]|\\.)*"|'[^']*')(.*)$/s.exec(line);
    if (match === null) return [];
    const [, beginning = '', end = ''] = match;
    return [[...lines.slice(0, index), beginning + quote(url) + end, ...lines.slice(index + 1)].join('')];
  });
  // A line that looks like the key may be part of a text of several lines, or of another table: what comes out decides.
  const result = [...replaced, `remote = ${quote(url)}${newline}${source}`].find((each) =>
    says(each, { ...before, remote: url }),
  );
  if (result !== undefined) return result;
  throw new SkylockError(`write ${file}: the line that sets 'remote' was not found`, {
    hints: [`Set it by hand: remote = ${quote(url)}`],
  });
}

function says(source: string, wanted: Readonly<Record<string, unknown>>): boolean {
  try {
    return isDeepStrictEqual({ ...parseConfig('', source) }, { ...wanted });
  } catch {
    return false; // no TOML any more, so not what is wanted
  }
}

/** TOML's basic strings are written as JSON's, but for DEL. */
function quote(text: string): string {
  return JSON.stringify(text).replaceAll('\x7f', '\\u007f');
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw new SkylockError(`read ${file}: ${systemErrorCode(error) ?? String(error)}`, { cause: error });
  }
}

async function writeAtomically(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  // A config file is often a symlink into a folder of such files: it stays one.
  const target = await realpath(path).catch(() => path);
  const temporary = `${target}.${randomBytes(6).toString('hex')}`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
    await file.close();
    await rename(temporary, target);
  } catch (error) {
    await file.close().catch(() => {}); // closed already
    await unlink(temporary).catch(() => {}); // the first error is the one to tell
    throw new SkylockError(`write ${path}: ${systemErrorCode(error) ?? String(error)}`, { cause: error });
  }
}
