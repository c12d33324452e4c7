import { createSecretKey } from 'node:crypto';
import type { Client } from 'ssh2';

/** What we touch of ssh2's own: the cipher that seals each packet, with its key as bytes. */
interface Internals {
  readonly _protocol?: { readonly _cipher?: { _encKey?: unknown } };
}

/**
 * Gives ssh2's cipher a key object in place of the key's bytes. It makes a cipher anew for each packet, and Node then
 * checks and copies bytes each time: 64 µs against 25 µs for 32 KiB. A version of ssh2 that keeps its key elsewhere is
 * left as it is.
 */
export function useKeyObject(client: Client): void {
  const quicken = () => {
    const cipher = (client as unknown as Internals)._protocol?._cipher;
    if (cipher !== undefined && Buffer.isBuffer(cipher._encKey)) {
      cipher._encKey = createSecretKey(cipher._encKey);
    }
  };
  quicken();
  client.on('handshake', quicken); // after every gigabyte or so the key is another
}
