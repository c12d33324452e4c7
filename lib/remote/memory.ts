import { hash } from 'node:crypto';
import { RemoteError } from '../errors.ts';
import { requireName, requirePrefix } from './name.ts';
import { MAX_GET_BYTES, type Remote, TEMPORARY_FOLDER } from './remote.ts';

/** Small enough that an abort between two pieces is an abort half-way. */
const PIECE_BYTES = 64 * 1024;

export interface MemoryRemote extends Remote {
  /** What is durable, by name: for specs to look at and to damage. */
  readonly objects: Map<string, Buffer>;
}

/** A remote that keeps the whole contract and forgets everything: for specs. */
export function memoryRemote(objects: Map<string, Buffer> = new Map()): MemoryRemote {
  let isClosed = false;
  const enter = async () => {
    await Promise.resolve(); // nothing on a real remote is there in the same turn
    if (isClosed) throw new RemoteError('use memory remote: it is closed', { retryable: false });
  };
  return {
    url: 'memory:',
    objects,

    async put(name, bytes, { signal, onSent, beforeNaming } = {}) {
      requireName(name);
      signal?.throwIfAborted();
      const whole = Buffer.alloc(bytes.length);
      let sentBytes = 0;
      do {
        await enter();
        whole.set(bytes.subarray(sentBytes, sentBytes + PIECE_BYTES), sentBytes);
        sentBytes = Math.min(sentBytes + PIECE_BYTES, bytes.length);
        onSent?.(sentBytes);
        signal?.throwIfAborted();
      } while (sentBytes < bytes.length);
      await beforeNaming?.();
      signal?.throwIfAborted();
      objects.set(name, whole);
    },

    async get(name, range) {
      requireName(name);
      await enter();
      const whole = objects.get(name);
      if (whole === undefined) return null;
      const end = range === undefined ? whole.length : range.offset + range.length;
      const part = whole.subarray(range?.offset ?? 0, end);
      if (part.length > MAX_GET_BYTES) {
        throw new RemoteError(`get ${name}: it is larger than any object of a repository`, {
          retryable: false,
        });
      }
      return Buffer.from(part);
    },

    async *list(prefix) {
      requirePrefix(prefix);
      await enter();
      const isTemporary = (name: string) => name.startsWith(`${TEMPORARY_FOLDER}/`);
      for (const [name, { length }] of [...objects]) {
        const isWanted = name.startsWith(prefix) && (!isTemporary(name) || isTemporary(prefix));
        if (isWanted) yield { name, sizeBytes: length };
      }
    },

    async stat(name) {
      requireName(name);
      await enter();
      const whole = objects.get(name);
      return whole === undefined ? null : { name, sizeBytes: whole.length };
    },

    async sha256(names) {
      for (const name of names) requireName(name);
      await enter();
      const found = names.filter((name) => objects.has(name));
      return new Map(found.map((name) => [name, hash('sha256', objects.get(name)!)]));
    },

    async remove(name) {
      requireName(name);
      await enter();
      objects.delete(name);
    },

    async close() {
      isClosed = true;
    },
  };
}
