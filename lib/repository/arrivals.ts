/** What has arrived from elsewhere and was not taken yet, in order. */
export interface Arrivals<Item> {
  push(item: Item): void;
  /** @returns the one that has waited longest, or `undefined` */
  take(): Item | undefined;
  /** Resolves when something is there to be taken. */
  wait(): Promise<void>;
}

export function createArrivals<Item>(): Arrivals<Item> {
  const items: Item[] = [];
  let wake = () => {};
  return {
    push(item) {
      items.push(item);
      wake();
    },
    take: () => items.shift(),
    async wait() {
      while (items.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

/**
 * @returns the same bytes in memory of their own: a short Buffer lies in a larger piece of memory with others, and all of that
 * would be copied to another thread with it
 */
export function ownCopy(bytes: Buffer): Buffer {
  return Buffer.from(Uint8Array.from(bytes).buffer);
}

/** What has passed from another thread is no Buffer any more. @returns a view of the same bytes that is one */
export function bufferOf(bytes: Uint8Array, start = 0, length = bytes.length - start): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, length);
}
