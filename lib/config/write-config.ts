import { readFileSync, realpathSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { SkylockError, systemErrorCode } from '../errors.ts';
import { fileError } from './file-error.ts';
import { parseConfig } from './read-config.ts';
import { writePrivateFile } from './write-file.ts';

/** Sets `remote` and keeps the rest of the file, comments included, as it is. @throws UsageError when it is no TOML */
export function writeRemote(configFile: string, url: string): void {
  let source = '';
  let target = configFile;
  try {
    source = readFileSync(configFile, 'utf8');
    // A config file is often a symlink into a folder of such files: it stays one.
    target = realpathSync(configFile);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw fileError(`read ${configFile}`, error);
  }
  writePrivateFile(target, setRemote(configFile, source, url), 'replace');
}

const REMOTE_LINE = /^(\s*(?:remote|"remote"|'remote')\s*=\s*)(?:"(?:[^"\\]|\\.)*"|'[^']*')(.*)$/s;

/** @returns the source with `remote = "url"` in the place of the old one, or before everything else. */
export function setRemote(file: string, source: string, url: string): string {
  const wanted = { ...parseConfig(file, source), remote: url };
  const newline = source.includes('\r\n') ? '\r\n' : '\n';
  const lines = source.split(/(?<=\n)/);
  const candidates = lines.flatMap((line, index) => {
    const [whole, beginning = '', end = ''] = REMOTE_LINE.exec(line) ?? [];
    if (whole === undefined) return [];
    return lines.with(index, beginning + quote(url) + end).join('');
  });
  // A line that looks like it may lie in a text of several lines, or in a table: what is read from the result decides.
  const result = [...candidates, `remote = ${quote(url)}${newline}${source}`].find((candidate) =>
    says(candidate, wanted),
  );
  if (result !== undefined) return result;
  throw new SkylockError(`write ${file}: the line that sets 'remote' was not found`, {
    hints: [`Set it by hand: remote = ${quote(url)}`],
  });
}

function says(source: string, wanted: Readonly<Record<string, unknown>>): boolean {
  try {
    return isDeepStrictEqual({ ...parseConfig('', source) }, wanted);
  } catch {
    return false; // no TOML any more
  }
}

/** TOML's basic strings are JSON's, but for DEL. */
function quote(text: string): string {
  return JSON.stringify(text).replaceAll('\x7f', '\\u007f');
}
