import ssh2, { type ParsedKey } from 'ssh2';
import type { SshSettings } from '../settings.ts';
import { type KeyFile, readKeyFile } from './key-file.ts';

/** A key that can be offered: its public half is known, and somebody can sign with it. */
export interface Identity {
  /** For messages. */
  readonly label: string;
  readonly publicKey: ParsedKey;
  /** @param hash for RSA keys: `sha256`, `sha512`; @throws Error with the reason, for people */
  readonly sign: (data: Buffer, hash: string | undefined) => Promise<Buffer>;
}

export interface KeyRing {
  /** In the order in which they are to be offered. */
  readonly identities: readonly Identity[];
  /** Keys nobody can offer before their passphrase is known; each is asked for when it is their turn. */
  readonly sealed: readonly KeyFile[];
  /** What was not usable and why, for the message when nothing else is either. */
  readonly notes: readonly string[];
}

const USUAL_NAMES = ['id_ed25519', 'id_ecdsa', 'id_rsa'];

/**
 * Collects what the server may be offered, in this order: the key files that were named (through the agent where it
 * holds them), the agent's other keys, the key files with the usual names when none was named.
 * @param named paths; @param onlyNamed leave the agent's other keys out (`IdentitiesOnly`)
 */
export async function collectKeys(
  settings: Pick<SshSettings, 'home' | 'agentSocket' | 'passphrase'>,
  named: readonly string[],
  onlyNamed: boolean,
): Promise<KeyRing> {
  const notes: string[] = [];
  const agent = await agentIdentities(settings.agentSocket, notes);
  const usual = named.length > 0 ? [] : USUAL_NAMES.map((name) => `${settings.home}/.ssh/${name}`);
  const sealed: KeyFile[] = [];
  const readAll = async (paths: readonly string[], mention: boolean): Promise<Identity[]> => {
    const found: Identity[] = [];
    for (const path of new Set(paths)) {
      const file = await readKeyFile(path, settings.passphrase);
      if ('problem' in file) {
        if (mention || file.problem !== 'not there') notes.push(`${path} (${file.problem})`);
      } else if (file.publicKey === null) sealed.push(file);
      else found.push(holderOf(file.publicKey, agent) ?? fileIdentity(file, file.publicKey));
    }
    return found;
  };
  const fromNamed = await readAll(named, true);
  const fromUsual = await readAll(usual, false);
  const ordered = [...fromNamed, ...(onlyNamed ? [] : agent), ...fromUsual];
  const identities = ordered.filter(
    (identity, n) => ordered.findIndex((other) => sameKey(other.publicKey, identity.publicKey)) === n,
  );
  return { identities, sealed, notes };
}

/** Opens a sealed key; @returns the reason, for people, when that cannot be done. */
export async function unseal(file: KeyFile): Promise<Identity | string> {
  const key = await file.open();
  return 'problem' in key ? `${file.path} (${key.problem})` : fileIdentity(file, key);
}

async function agentIdentities(socket: string | null, notes: string[]): Promise<Identity[]> {
  if (socket === null) return [];
  const agent = ssh2.createAgent(socket);
  const keys = await new Promise<ParsedKey[]>((resolve) => {
    agent.getIdentities((error, found) => {
      if (error) notes.push(`the agent at ${socket} (does not answer)`);
      resolve((found ?? []) as ParsedKey[]);
    });
  });
  return keys.map((publicKey) => ({
    label: `agent key ${publicKey.comment || publicKey.type}`,
    publicKey,
    sign: (data, hash) =>
      new Promise((resolve, reject) => {
        // OpenSSHAgent knows the hash by its short name, and the types do not know that.
        const options = (hash === undefined ? {} : { hash }) as { hash: 'sha256' };
        agent.sign(publicKey, data, options, (error, signature) => {
          if (error || !signature) reject(new Error('the agent does not sign with it', { cause: error }));
          else resolve(signature);
        });
      }),
  }));
}

function fileIdentity(file: KeyFile, publicKey: ParsedKey): Identity {
  return {
    label: file.path,
    publicKey,
    async sign(data, hash) {
      const key = await file.open();
      if ('problem' in key) throw new Error(key.problem);
      const signature: unknown = key.sign(data, hash);
      if (signature instanceof Error) throw signature;
      return signature as Buffer;
    },
  };
}

function holderOf(key: ParsedKey, agent: readonly Identity[]): Identity | undefined {
  return agent.find((identity) => sameKey(identity.publicKey, key));
}

function sameKey(a: ParsedKey, b: ParsedKey): boolean {
  return a.getPublicSSH().equals(b.getPublicSSH());
}
