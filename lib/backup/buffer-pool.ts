export interface BufferPool {
  /** Resolves when {@link take} will succeed. */
  ready(): Promise<void>;
  take(): Buffer;
  /** Is every one that may exist taken, but for one that was found ready? */
  isDry(): boolean;
  /** @param bytes a buffer that was taken, or a view into it */
  giveBack(bytes: Buffer): void;
  /** From now on at most so many exist at a time; those too many go when they come back. */
  limit(count: number): void;
}

/**
 * Buffers that go round: packs are built in them, and they come back once the pack is durable. Threads share their memory: were it
 * handed over, the collector would take what comes and goes for growth, and look through the whole heap every 64 MB.
 * @param firstCount at most so many exist at a time, until {@link BufferPool.limit} says otherwise
 */
export function createBufferPool(firstCount: number, sizeBytes: number): BufferPool {
  const free: Buffer[] = [];
  const waiting: (() => void)[] = [];
  let count = firstCount;
  let made = 0;
  /** Who was told that it is ready takes one later, and not before the limit may have changed. */
  let promised = false;
  const dropTooMany = () => {
    while (made > count && free.length > (promised ? 1 : 0)) {
      free.pop();
      made -= 1;
    }
  };
  return {
    async ready() {
      while (free.length === 0 && made >= count) {
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
      promised = true;
    },
    take() {
      const buffer = free.pop();
      const wasPromised = promised;
      promised = false;
      if (buffer) return buffer;
      if (made >= count && !wasPromised) throw new Error('no buffer is free');
      made += 1;
      return Buffer.from(new SharedArrayBuffer(sizeBytes));
    },
    isDry: () => free.length + Math.max(0, count - made) <= (promised ? 1 : 0),
    giveBack(bytes) {
      free.push(Buffer.from(bytes.buffer));
      dropTooMany();
      waiting.shift()?.();
    },
    limit(most) {
      count = most;
      dropTooMany();
      for (const wake of waiting.splice(0)) wake();
    },
  };
}
