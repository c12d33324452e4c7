import { readFile } from 'node:fs/promises';
import ssh2, { type ParsedKey } from 'ssh2';
import { systemErrorCode } from '../../errors.ts';

const OPENSSH_MAGIC = 'openssh-key-v1\0';

/** A private key's file. Its key is opened, and the passphrase asked for, only when a server has said that it wants this key. */
export interface KeyFile {
  readonly path: string;
  /** `null` for an encrypted key that does not tell its public half (old PEM without a `.pub` beside it). */
  readonly publicKey: ParsedKey | null;
  /** Resolves to the key, or to the reason why it cannot be used, for people. */
  readonly open: () => Promise<ParsedKey | KeyProblem>;
}

export interface KeyProblem {
  readonly problem: string;
}

/** @param passphrase asked once at most, whatever comes of it */
export async function readKeyFile(
  path: string,
  passphrase: (path: string) => Promise<string | null>,
): Promise<KeyFile | KeyProblem> {
  const text = await readText(path);
  if (text === null) return { problem: 'not there' };
  if (typeof text === 'object') return text;
  const parsed = parse(text);
  if (!('problem' in parsed)) {
    const open = async () =>
      parsed.isPrivateKey() ? parsed : { problem: 'a public key: only the agent has the private one' };
    return { path, publicKey: parsed, open };
  }
  if (!/encrypted/i.test(parsed.problem)) return { problem: parsed.problem };

  let opened: Promise<ParsedKey | KeyProblem> | null = null;
  const decrypt = async (): Promise<ParsedKey | KeyProblem> => {
    const secret = await passphrase(path);
    if (secret === null) return { problem: 'encrypted, and there is nobody to ask for the passphrase' };
    const key = parse(text, secret);
    return 'problem' in key ? { problem: 'wrong passphrase' } : key;
  };
  const open = () => (opened ??= decrypt());
  return { path, publicKey: embeddedPublicKey(text) ?? (await publicKeyBeside(path)), open };
}

/** `null` when absent. */
async function readText(path: string): Promise<string | KeyProblem | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    return systemErrorCode(error) === 'ENOENT' ? null : { problem: (error as Error).message };
  }
}

function parse(text: string | Buffer, passphrase?: string): ParsedKey | KeyProblem {
  const parsed: unknown = ssh2.utils.parseKey(text, passphrase);
  const key = (Array.isArray(parsed) ? parsed[0] : parsed) as ParsedKey | Error | undefined;
  if (key === undefined) return { problem: 'it holds no key' };
  return key instanceof Error ? { problem: key.message } : key;
}

/** An OpenSSH key file holds its public half in clear, also when the private one is encrypted. @see PROTOCOL.key */
function embeddedPublicKey(text: string): ParsedKey | null {
  const [, base64] = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END/.exec(text) ?? [];
  const bytes = Buffer.from(base64 ?? '', 'base64');
  if (bytes.toString('latin1', 0, OPENSSH_MAGIC.length) !== OPENSSH_MAGIC) return null;
  let position = OPENSSH_MAGIC.length;
  const readString = (): Buffer => {
    const start = position + 4;
    position = start + bytes.readUInt32BE(position);
    return bytes.subarray(start, position);
  };
  try {
    for (const _ of ['cipher', 'kdf', 'kdf options']) readString();
    position += 4; // the number of keys, always 1
    const key = parse(readString());
    return 'problem' in key ? null : key;
  } catch {
    return null; // cut off: decrypting it will say so
  }
}

async function publicKeyBeside(path: string): Promise<ParsedKey | null> {
  const text = await readText(`${path}.pub`);
  if (typeof text !== 'string') return null;
  const key = parse(text);
  return 'problem' in key ? null : key;
}
