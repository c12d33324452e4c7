import { isUtf8 } from 'node:buffer';
import { EXIT, UsageError } from '../errors.ts';
import type { Entry } from '../format/manifest.ts';
import { liesUnder } from '../format/path.ts';
import type { ProgressEvent } from '../progress.ts';
import { formatBytes } from '../units.ts';
import { harmless } from '../view/harmless.ts';
import { type Cli, defineCommand } from './cli.ts';
import { describeUnfinished, findBackup, pathInBackup, requireBackupName } from './find-backup.ts';
import { withSession } from './session.ts';

export const lsCommand = defineCommand({
  command: 'ls <id> [path]',
  aliases: ['preview'],
  describe: 'list what is in a backup: mode, owner, size, time (UTC), path',
  builder: (argv) =>
    argv
      .positional('id', { type: 'string', demandOption: true, describe: "a backup's id, or latest" })
      .positional('path', { type: 'string', describe: 'a file, or a folder and all below it' })
      .example('$0 ls latest /home/ann/notes', 'one folder of the newest backup')
      .example('$0 ls 20251107_142030 --json', 'for programs: one object a line'),

  async run(cli, options) {
    const name = requireBackupName(options.id);
    const path = options.path === undefined ? null : pathInBackup(options.path);
    await withSession(cli, options, {}, async (session) => {
      const { repository, journal, journalRepository } = session;
      const { learnChunks } = await import('../repository/learn.ts');
      const { readManifest } = await import('../repository/manifest.ts');
      const header = await findBackup(repository, name);
      const unfinished = describeUnfinished(header);
      if (unfinished !== null) cli.terminal.warning(unfinished);
      await learnChunks({ ...session, progress: (event) => warnOf(event, cli) });
      const { signal } = cli;
      const entries = readManifest(repository, journal, journalRepository, header, { signal });
      const listed = await print(cli, under(entries, path));
      if (listed > 0 || path === null) return;
      throw new UsageError(`list ${path}: it is not in backup ${header.backupId}`, {
        hints: [`'skylock ls ${header.backupId}' lists all that is.`],
      });
    });
    return EXIT.done;
  },
});

function warnOf(event: ProgressEvent, { terminal }: Cli): void {
  if (event.type !== 'notice') return;
  terminal.warning(event.text);
  for (const hint of event.hints ?? []) terminal.hint(hint);
}

async function* under(entries: AsyncIterable<Entry>, path: Buffer | null): AsyncGenerator<Entry> {
  for await (const entry of entries) {
    if (path === null || path.equals(entry.path) || liesUnder(entry.path, path)) yield entry;
  }
}

const LINES_AT_ONCE = 200;

/** @returns how many there were, or were until nobody read any more */
async function print({ terminal, stdout }: Cli, entries: AsyncIterable<Entry>): Promise<number> {
  const hasRoom = !stdout.isTTY || stdout.columns >= 80;
  let lines: string[] = [];
  let count = 0;
  for await (const entry of entries) {
    count += 1;
    if (terminal.json) {
      if (!(await terminal.resultJson(asJson(entry)))) return count;
      continue;
    }
    lines.push(formatEntry(entry, hasRoom));
    if (lines.length < LINES_AT_ONCE) continue;
    if (!(await terminal.result(lines.join('\n')))) return count;
    lines = [];
  }
  if (lines.length > 0) await terminal.result(lines.join('\n'));
  return count;
}

/** The path is never shortened: it is there to be copied. */
function formatEntry(entry: Entry, hasRoom: boolean): string {
  const owner = `${String(entry.uid).padStart(5)} ${String(entry.gid).padStart(5)}`;
  const size = (entry.type === 'file' ? formatBytes(entry.size) : '-').padStart(8);
  const target = entry.type === 'symlink' ? ` -> ${harmless(entry.target.toString())}` : '';
  const path = harmless(entry.path.toString()) + target;
  const time = formatTime(entry.mtimeNs).slice(0, 19).replace('T', ' ');
  return (hasRoom ? [formatMode(entry), owner, size, time, path] : [formatMode(entry), size, path]).join(' ');
}

function asJson(entry: Entry): object {
  const { path, type, mode, uid, gid, mtimeNs } = entry;
  return {
    ...textField('path', path),
    type,
    mode: mode.toString(8).padStart(4, '0'),
    uid,
    gid,
    size: entry.type === 'file' ? entry.size : null,
    mtime: formatTime(mtimeNs),
    ...(entry.type === 'symlink' ? textField('target', entry.target) : {}),
  };
}

/** Bytes that are no text are shown with U+FFFD, and given exactly beside. */
function textField(name: string, bytes: Buffer): object {
  return {
    [name]: bytes.toString(),
    ...(isUtf8(bytes) ? {} : { [`${name}_base64`]: bytes.toString('base64') }),
  };
}

/** The year 275760, where JavaScript's calendar ends. */
const LAST_MS = 8_640_000_000_000_000n;

/** @returns RFC 3339 with microseconds, or `?` for what no calendar has */
function formatTime(ns: bigint): string {
  const us = (ns - (((ns % 1000n) + 1000n) % 1000n)) / 1000n;
  const fraction = ((us % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const ms = (us - fraction) / 1000n;
  if (ms > LAST_MS || ms < -LAST_MS) return '?';
  return `${new Date(Number(ms)).toISOString().slice(0, -5)}.${String(fraction).padStart(6, '0')}Z`;
}

const LETTERS: Record<Entry['type'], string> = {
  file: '-',
  folder: 'd',
  symlink: 'l',
  fifo: 'p',
  socket: 's',
  character_device: 'c',
  block_device: 'b',
};

/** @returns `-rw-r--r--`, as ls(1) writes it */
function formatMode({ type, mode }: Entry): string {
  const bits = [6, 3, 0].map((shift, place) => {
    const [r, w, x] = [4, 2, 1].map((bit) => ((mode >> shift) & bit) !== 0);
    const isSpecial = ((mode >> 9) & (4 >> place)) !== 0;
    const letter = place === 2 ? 't' : 's';
    const execute = isSpecial ? (x ? letter : letter.toUpperCase()) : x ? 'x' : '-';
    return `${r ? 'r' : '-'}${w ? 'w' : '-'}${execute}`;
  });
  return LETTERS[type] + bits.join('');
}
