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

/** What has passed from another thread is no Buffer any more. @returns a view of the same bytes that is one */
export function bufferOf(bytes: Uint8Array, start = 0, length = bytes.length - start): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, length);
}
