import type { Socket } from 'node:net';

/** Large enough that a call of the system is cheap beside what it carries, small enough to stay in a core's cache. */
const SLAB_BYTES = 256 * 1024;
/** Slabs that are kept for the next write; what is in flight at once is bounded by those who write. */
const SLABS_KEPT = 32;

/**
 * Gathers what is written to the socket in one turn of the event loop and hands it to the system in large pieces. ssh2
 * writes each packet in three pieces (length, 32 KiB, tag); without Nagle's algorithm each would be a call, and a segment,
 * of its own, and each costs Node's stream as much as a large one.
 */
export function coalesceWrites(socket: Socket): Socket {
  const write = socket.write.bind(socket) as (bytes: Buffer, done: () => void) => boolean;
  const end = socket.end.bind(socket) as (...args: unknown[]) => Socket;
  const free: Buffer[] = [];
  let slab: Buffer | null = null;
  let used = 0;
  let scheduled = false;

  const flush = () => {
    if (slab === null) return;
    const full = slab;
    const bytes = full.subarray(0, used);
    slab = null;
    used = 0;
    write(bytes, () => {
      if (free.length < SLABS_KEPT) free.push(full);
    });
  };

  const gather = (bytes: Uint8Array): boolean => {
    for (let from = 0; from < bytes.length; ) {
      slab ??= free.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
      const count = Math.min(bytes.length - from, SLAB_BYTES - used);
      slab.set(from === 0 && count === bytes.length ? bytes : bytes.subarray(from, from + count), used);
      used += count;
      from += count;
      if (used === SLAB_BYTES) flush();
    }
    if (slab !== null && !scheduled) {
      scheduled = true;
      setImmediate(() => {
        scheduled = false;
        flush();
      });
    }
    return !socket.writableNeedDrain;
  };

  socket.write = ((...args: unknown[]) => {
    const [bytes] = args;
    if (args.length === 1 && bytes instanceof Uint8Array) return gather(bytes);
    flush();
    return (write as (...args: unknown[]) => boolean)(...args);
  }) as typeof socket.write;
  socket.end = ((...args: unknown[]) => {
    flush();
    return end(...args);
  }) as typeof socket.end;
  return socket;
}
