export interface BufferPool {
  /** Resolves when {@link take} will succeed. */
  ready(): Promise<void>;
  take(): Buffer;
  /** @param bytes a buffer that was taken, or a view into it */
  giveBack(bytes: Buffer): void;
}

/**
 * Buffers that go round: packs are built in them, and they come back once the pack is durable.
 * @param count at most so many exist at a time
 */
export function createBufferPool(count: number, sizeBytes: number): BufferPool {
  const free: Buffer[] = [];
  const waiting: (() => void)[] = [];
  let made = 0;
  return {
    async ready() {
      while (free.length === 0 && made === count) {
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
    take() {
      const buffer = free.pop();
      if (buffer) return buffer;
      if (made === count) throw new Error('no buffer is free');
      made += 1;
      return Buffer.allocUnsafeSlow(sizeBytes);
    },
    giveBack(bytes) {
      free.push(Buffer.from(bytes.buffer));
      waiting.shift()?.();
    },
  };
}
