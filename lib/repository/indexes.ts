import { createHash } from 'node:crypto';
import { DamagedError } from '../errors.ts';
import { openObject, sealObject } from '../format/envelope.ts';
import { decodePackIndex, encodePackIndex, indexedPackBytes } from '../format/pack-index.ts';
import type { Journal } from '../journal/database.ts';
import { packsWithoutIndex, recordIndex, recordOwnIndex, seenIndexes } from '../journal/packs.ts';
import { concurrently } from './concurrently.ts';
import { INDEX_PREFIX, type Repository } from './repository.ts';

/** An index is ended at about this size: some 100,000 chunks. */
const INDEX_BYTES = 4 * 1024 * 1024;
const FETCHES_AT_ONCE = 4;

/** Reads the indexes on the remote that the journal has not seen. @throws DamagedError naming the index that is damaged */
export async function syncIndexes(
  { remote, keys }: Repository,
  journal: Journal,
  journalRepository: number,
): Promise<void> {
  const seen = seenIndexes(journal, journalRepository);
  const unseen: string[] = [];
  for await (const { name } of remote.list(INDEX_PREFIX)) {
    if (!seen.has(name)) unseen.push(name);
  }
  await concurrently(unseen, FETCHES_AT_ONCE, async (name) => {
    const bytes = await remote.get(name);
    if (bytes === null) return; // removed since it was listed, by a prune that wrote another in its place
    if (`${INDEX_PREFIX}${sha256(bytes)}` !== name) {
      throw new DamagedError(`open ${name}: its bytes do not have the SHA-256 it is named by`, {
        hints: [`'skylock repair' makes indexes anew from the packs.`],
      });
    }
    const plaintext = openObject(keys, 'index', name, bytes);
    const packs = [...decodePackIndex(plaintext, name)].map((pack) => ({
      name: Buffer.from(pack.name, 'hex'),
      size: pack.sizeBytes,
      chunks: pack.entries,
    }));
    recordIndex(journal, journalRepository, name, packs);
  });
}

/** Puts indexes that hold every durable pack no index holds yet. */
export async function putIndexes(
  { remote, keys }: Repository,
  journal: Journal,
  journalRepository: number,
): Promise<void> {
  let group: ReturnType<typeof packsWithoutIndex> = [];
  let bytes = 0;
  const flush = async () => {
    if (group.length === 0) return;
    const plaintext = encodePackIndex(
      group.map(({ name, size, directory }) => ({ name: name.toString('hex'), sizeBytes: size, directory })),
    );
    const sealed = sealObject(keys, 'index', '', plaintext);
    const name = `${INDEX_PREFIX}${sha256(sealed)}`;
    await remote.put(name, sealed);
    recordOwnIndex(
      journal,
      journalRepository,
      name,
      group.map((pack) => pack.name),
    );
    group = [];
    bytes = 0;
  };
  for (const pack of packsWithoutIndex(journal, journalRepository)) {
    group.push(pack);
    bytes += indexedPackBytes(0) + pack.directory.length;
    if (bytes >= INDEX_BYTES) await flush();
  }
  await flush();
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
