import type { Client, ClientChannel } from 'ssh2';
import { RemoteError } from '../../errors.ts';
import { connectionFailure } from './failures.ts';

export interface CommandOutcome {
  /** `null` when a signal ended it, or the server did not say how it ended. */
  readonly status: number | null;
  readonly stdout: string;
  /** Its beginning. */
  readonly stderr: string;
}

/** Why a command did not run: the connection takes no session beside those it has, or the server runs none. */
export type Refusal = 'no session' | 'no commands';

export interface CommandLimits {
  /** A command that has said nothing for so long is given up. */
  readonly silenceMs: number;
  /** One that says more is not what was asked for. */
  readonly maxOutputBytes: number;
}

const STDERR_BYTES = 4096;

/**
 * Has the server's shell run a command that reads nothing, in a session of its own.
 * @param where for messages: `user@host`
 * @throws RemoteError when the connection ends meanwhile, or a limit is passed
 */
export async function runCommand(
  client: Client,
  where: string,
  command: string,
  limits: CommandLimits,
): Promise<CommandOutcome | Refusal> {
  const opened = await open(client, where, command, limits.silenceMs);
  return typeof opened === 'string' ? opened : finish(client, opened, where, limits);
}

function open(
  client: Client,
  where: string,
  command: string,
  silenceMs: number,
): Promise<ClientChannel | Refusal> {
  return new Promise((resolve, reject) => {
    let settled = false;
    const settle = (how: () => void) => {
      settled = true;
      clearTimeout(timer);
      client.off('close', lost);
      how();
    };
    const lost = () => settle(() => reject(connectionFailure(`talk to ${where}`, undefined)));
    const timer = setTimeout(() => settle(() => resolve('no commands')), silenceMs);
    client.once('close', lost);
    try {
      client.exec(command, (error, stream) => {
        if (error === undefined && settled) return stream.close(); // nobody waits for it any more
        if (error === undefined) return settle(() => resolve(stream));
        const isFull = /channel open failure/i.test(error.message);
        settle(() => resolve(isFull ? 'no session' : 'no commands'));
      });
    } catch {
      lost(); // it ended this instant
    }
  });
}

function finish(
  client: Client,
  stream: ClientChannel,
  where: string,
  { silenceMs, maxOutputBytes }: CommandLimits,
): Promise<CommandOutcome> {
  return new Promise((resolve, reject) => {
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let [stdoutBytes, stderrBytes] = [0, 0];
    let status: number | null = null;
    // The sessions of a connection that breaks are closed as well, without a status, and after it.
    const lost = () => reject(connectionFailure(`talk to ${where}`, undefined));
    client.once('close', lost);
    const giveUp = (reason: string, retryable: boolean) => {
      reject(new RemoteError(`run a command on ${where}: ${reason}`, { retryable }));
      stream.close();
    };
    const silence = setTimeout(
      () => giveUp(`nothing was heard for ${Math.round(silenceMs / 1000)} s`, true),
      silenceMs,
    );
    stream.on('data', (bytes: Buffer) => {
      silence.refresh();
      stdoutBytes += bytes.length;
      if (stdoutBytes > maxOutputBytes) giveUp('its answer is too long', false);
      else stdout.push(bytes);
    });
    stream.stderr.on('data', (bytes: Buffer) => {
      silence.refresh();
      if (stderrBytes < STDERR_BYTES) stderr.push(bytes);
      stderrBytes += bytes.length;
    });
    stream.on('exit', (code: number | null) => {
      status = code;
    });
    stream.on('error', (error: Error) => reject(connectionFailure(`talk to ${where}`, error)));
    stream.on('close', () => {
      clearTimeout(silence);
      client.off('close', lost);
      const text = (parts: Buffer[]) => Buffer.concat(parts).toString('utf8');
      resolve({ status, stdout: text(stdout), stderr: text(stderr).slice(0, STDERR_BYTES) });
    });
    stream.end(); // it is to read nothing
  });
}
