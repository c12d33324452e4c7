/** Which chunks need not be stored again, and since when. */
export interface KnownChunks {
  /** @returns `'durable'`, the number of the batch whose pack holds it and is not durable yet, or `null` when it is new */
  find(id: Buffer): 'durable' | number | null;
  /** The chunk went into this batch's pack. */
  expect(id: Buffer, batch: number): void;
  /** The batch is in the journal: its chunks are durable. */
  settle(batch: number): void;
}

/** @param isDurable does the journal know the chunk? */
export function createKnownChunks(isDurable: (id: Buffer) => boolean): KnownChunks {
  const expected = new Map<string, number>();
  const byBatch = new Map<number, string[]>();
  return {
    find(id) {
      return expected.get(id.toString('latin1')) ?? (isDurable(id) ? 'durable' : null);
    },
    expect(id, batch) {
      const key = id.toString('latin1');
      expected.set(key, batch);
      const keys = byBatch.get(batch);
      if (keys) keys.push(key);
      else byBatch.set(batch, [key]);
    },
    settle(batch) {
      for (const key of byBatch.get(batch) ?? []) expected.delete(key);
      byBatch.delete(batch);
    },
  };
}
