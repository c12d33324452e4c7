import { RemoteError } from '../../errors.ts';
import type { SshSettings } from '../settings.ts';
import {
  addKnownHost,
  checkHostKey,
  fingerprint,
  type HostKeyVerdict,
  keyType,
  knownAlgorithms,
  readKnownHosts,
} from './known-hosts.ts';

/** The server's key is not to be trusted: nothing may go on with it, whatever else works. */
export class HostKeyError extends RemoteError {}

export interface HostKeyChecker {
  /** Signature algorithms to ask for first. */
  readonly algorithms: readonly string[];
  /** Resolves when the key may be trusted. @throws HostKeyError */
  check(key: Buffer): Promise<void>;
}

/**
 * @param label what known_hosts calls the host
 * @param files known_hosts files in order; an accepted key is added to the first
 */
export function hostKeyChecker(
  label: string,
  files: readonly string[],
  confirm: SshSettings['confirmHostKey'],
): HostKeyChecker {
  const known = readKnownHosts(files);
  return {
    algorithms: knownAlgorithms(known, label),
    async check(key) {
      const verdict = checkHostKey(known, label, key);
      if (verdict.state === 'known') return;
      if (verdict.state !== 'unknown') throw distrust(label, key, verdict);
      const question = { host: label, keyType: keyType(key), fingerprint: fingerprint(key) };
      if (!(await confirm(question))) throw unconfirmed(label, key, files[0] ?? 'known_hosts');
      if (files[0] !== undefined) addKnownHost(files[0], label, key);
      const accepted = { file: '', line: 0, revoked: false, hosts: label, keyType: keyType(key), key };
      known.push(accepted);
    },
  };
}

function unconfirmed(label: string, key: Buffer, file: string): HostKeyError {
  return new HostKeyError(
    `connect to ${label}: its host key is not known (${keyType(key)} ${fingerprint(key)})`,
    {
      retryable: false,
      hints: [
        'Compare this fingerprint with the one your provider publishes.',
        'If it is the same, run the command in a terminal and answer yes,',
        `or add the key to ${file} yourself: ${scanCommand(label)} >>${file}`,
      ],
    },
  );
}

function distrust(
  label: string,
  key: Buffer,
  { state, entry }: Extract<HostKeyVerdict, { entry: unknown }>,
): HostKeyError {
  const shown = `${keyType(key)} ${fingerprint(key)}`;
  const at = `${entry.file}:${entry.line}`;
  if (state === 'revoked') {
    return new HostKeyError(`connect to ${label}: ITS HOST KEY IS REVOKED (${shown}, ${at})`, {
      retryable: false,
      hints: ['Whoever holds this key is not to be trusted. Ask the one who runs the server.'],
    });
  }
  return new HostKeyError(
    `connect to ${label}: ITS HOST KEY HAS CHANGED: it shows ${shown}, ` +
      `but ${at} expects ${entry.keyType} ${fingerprint(entry.key)}`,
    {
      retryable: false,
      hints: [
        'Somebody may be listening in between and pretend to be the server. Nothing was sent to it.',
        'Or the server was set up anew: ask the one who runs it for the fingerprint and compare.',
        `Only if it is the same, remove line ${entry.line} of ${entry.file}: ssh-keygen -R '${label}' -f ${entry.file}`,
      ],
    },
  );
}

/** `[host]:port` → what a person types to see the keys of that host. */
function scanCommand(label: string): string {
  const [, host, port] = /^\[(.*)\]:(\d+)$/.exec(label) ?? [];
  return host === undefined ? `ssh-keyscan ${label}` : `ssh-keyscan -p ${port} ${host}`;
}
