/** So many small calls to the remote at once: on a long line each is mostly waiting. */
export const CALLS_AT_ONCE = 4;

/**
 * Does `work` for every item, at most `limit` at a time, in their order of starting.
 * @throws what the first failing `work` threw, once the others that were under way have ended; nothing new is begun
 */
export async function concurrently<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  limit: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  const failures: unknown[] = [];
  const worker = async () => {
    try {
      for (;;) {
        if (failures.length > 0) return;
        const next = await iterator.next();
        if (next.done) return;
        await work(next.value);
      }
    } catch (error) {
      failures.push(error);
    }
  };
  await Promise.all(Array.from({ length: limit }, worker));
  if (failures.length > 0) throw failures[0];
}
