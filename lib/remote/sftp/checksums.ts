import { setTimeout as sleep } from 'node:timers/promises';
import { RemoteError } from '../../errors.ts';
import type { SftpChannel } from './channel.ts';
import type { CommandOutcome, Refusal } from './command.ts';
import { requestFailure } from './failures.ts';

/** What prints a file's SHA-256 and its path: GNU and a Storage Box, Perl's own (macOS), BSD. */
const PROGRAMS = ['sha256sum', 'shasum -a 256', 'sha256 -r'];

/** Every SSH server takes a packet of 32 KiB (RFC 4253, section 6.1); a command has to fit into one. */
const MAX_COMMAND_BYTES = 16 * 1024;
/** A line is a hash and a path, which may be told a second time in an error. */
const OUTPUT_FACTOR = 4;

/** Sessions are given back a moment after they ended. */
const SESSION_TRIES = 20;
const SESSION_PAUSE_MS = 50;

export interface Checksums {
  /**
   * @returns SHA-256 in hexadecimal, by name; none of a file the server cannot read
   * @throws RemoteError, final, when the server runs no command for it
   */
  of(channel: SftpChannel, names: readonly string[]): Promise<Map<string, string>>;
}

/** Has the server compute hashes, by way of its shell. @param root of the names, as SFTP takes it */
export function serverChecksums(root: string): Checksums {
  let realRoot: string | null = null;
  /** The one that has worked. */
  let program: string | null = null;

  /** SFTP may begin in another folder than the shell does. */
  const findRoot = async (channel: SftpChannel): Promise<string> => {
    const path = await channel
      .request<string>((sftp, done) => sftp.realpath(root, done))
      .catch((error: unknown) => {
        throw requestFailure('look for the repository', error);
      });
    if (/^\/[^\0-\x1f\\]*$/.test(path)) return path.replace(/\/$/, '');
    throw noCommand('the folder has a name that no shell may be given');
  };

  return {
    async of(channel, names) {
      realRoot ??= await findRoot(channel);
      const paths = new Map(names.map((name) => [`${realRoot}/${name}`, name]));
      const hashes = new Map<string, string>();
      for (const part of parts([...paths.keys()])) {
        let said = '';
        for (const tried of program === null ? PROGRAMS : [program]) {
          const outcome = await run(channel, `${tried} ${part.map(quote).join(' ')}`);
          if (outcome === 'no session' || outcome === 'no commands') throw noCommand('it runs no commands');
          const found = parse(outcome.stdout, new Set(part));
          for (const [path, hash] of found) hashes.set(paths.get(path)!, hash);
          said ||= outcome.stderr;
          if (found.size === 0) continue;
          program = tried;
          break;
        }
        if (program === null) throw noCommand(firstLine(said));
      }
      return hashes;
    },
  };
}

/** On a server that lets a connection hold one session, the channel's own is given up for it. */
async function run(channel: SftpChannel, command: string): Promise<CommandOutcome | Refusal> {
  const maxOutputBytes = OUTPUT_FACTOR * MAX_COMMAND_BYTES;
  let outcome = await channel.run(command, maxOutputBytes);
  if (outcome === 'no session') {
    channel.end(new RemoteError('use a channel: its session is needed', { retryable: true }));
    for (let tries = 0; outcome === 'no session' && tries < SESSION_TRIES; tries += 1) {
      await sleep(SESSION_PAUSE_MS);
      outcome = await channel.run(command, maxOutputBytes);
    }
  }
  return outcome;
}

/** Lines are `<hash>  <path>`, with `*` before the path or only one blank, as programs have it; anything else is passed over. */
function parse(output: string, paths: ReadonlySet<string>): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of output.split('\n')) {
    const [, hash = '', path = ''] = /^([0-9a-f]{64}) [ *]?(.*?)\r?$/.exec(line) ?? [];
    if (paths.has(path)) found.set(path, hash);
  }
  return found;
}

function* parts(paths: readonly string[]): Generator<string[]> {
  let part: string[] = [];
  let bytes = 0;
  for (const path of paths) {
    const length = Buffer.byteLength(quote(path)) + 1;
    if (part.length > 0 && bytes + length > MAX_COMMAND_BYTES) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(path);
    bytes += length;
  }
  if (part.length > 0) yield part;
}

/** What needs no quotes gets none: a Storage Box's shell is none that knows all of sh. */
function quote(path: string): string {
  return /^[\w./@%+=:,-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

function noCommand(reason: string): RemoteError {
  const why = reason === '' ? [] : [`What the server says: ${reason}`];
  return new RemoteError('compute checksums: the server offers no command for it', {
    retryable: false,
    hints: [...why, 'An account with a shell has one; a Storage Box has it on port 23.'],
  });
}

/** Of what a stranger wrote. */
function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
}
