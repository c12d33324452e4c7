import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Command } from '../measure.ts';
import type { Place } from '../places.ts';

/** A program that backs up: ours, or one that is compared with it, with its defaults. */
export interface Tool {
  readonly name: ToolName;
  /** For people. */
  readonly title: string;
  /** Why it cannot be used here, or `null`. */
  missing(): string | null;
  version(): string;
  /** Writes what it needs to know into `home`. @throws where it does not speak the place's protocol */
  account(place: Place, home: string): Promise<Account>;
}

export type ToolName = 'skylock' | 'restic' | 'borg' | 'rclone' | 'tar';
/** Those that encrypt what they store. */
export const PEERS: readonly ToolName[] = ['restic', 'borg', 'rclone'];

/** How the program is called for one repository, which is made anew. */
export interface Account {
  /** Makes the repository. */
  readonly prepare: Command | null;
  /** Called again, it backs up what has changed since. */
  backup(source: string): Command;
  /** Puts what was backed up last into a folder that is there and empty; `null`: it is not compared in this. */
  restore(target: string): Command | null;
}

export function missingProgram(path: string, debianPackage: string): string | null {
  return existsSync(path) ? null : `not installed (Debian: ${debianPackage})`;
}

/** @returns the first number with dots in what the program says of itself */
export function versionOf(file: string, argument: string): string {
  const said = execFileSync(file, [argument], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return /\d+\.\d+(\.\d+)?/.exec(said)?.[0] ?? 'unknown';
}

/** What every program finds in its environment, and nothing else of ours. */
export function environment(
  home: string,
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: home, LANG: 'C.UTF-8', ...more };
}

/** @throws for any place but one that SSH leads to */
export function requireSsh(tool: string, place: Place): Extract<Place, { kind: 'sftp' }> {
  if (place.kind !== 'sftp') throw new Error(`${tool} is compared over SSH only`);
  return place;
}

/** The words of an ssh command with options of its own, in which none needs quoting but paths with spaces. */
export function sshWords(place: Extract<Place, { kind: 'sftp' }>): string[] {
  const { user, port, identityFile, knownHostsFile } = place;
  const options = [`UserKnownHostsFile=${knownHostsFile}`, 'GlobalKnownHostsFile=none', 'IdentitiesOnly=yes'];
  return [
    ...['ssh', '-q', '-F', 'none', '-i', identityFile, '-p', String(port)],
    ...options.flatMap((option) => ['-o', option]),
    `${user}@127.0.0.1`,
  ];
}

/** @returns the words as a shell takes them */
export function quoted(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}
