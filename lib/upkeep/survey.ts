import { contentName, MAX_OBJECT_BYTES, openObject } from '../format/envelope.ts';
import type { Compression, PackEntry } from '../format/pack-directory.ts';
import { decodePackIndex } from '../format/pack-index.ts';
import type { PackedChunk } from '../journal/packs.ts';
import {
  addFoundPack,
  addIndex,
  framesOf,
  type PackContents,
  type StoredPack,
  storedPacks,
  type VerifyStore,
} from '../journal/verify-store.ts';
import { CALLS_AT_ONCE, concurrently } from '../repository/concurrently.ts';
import { packSha256 } from '../repository/pack-directories.ts';
import { INDEX_PREFIX, packName, type Repository } from '../repository/repository.ts';
import { damageOf } from './damage.ts';

export interface SurveyDeps {
  readonly repository: Repository;
  readonly store: VerifyStore;
  readonly signal: AbortSignal;
}

/**
 * Reads every index on the remote. What indexes say is right whatever they are named: they are sealed.
 * @param onIndex told of each, with what is wrong with it
 */
export async function readIndexes(
  { repository, store, signal }: SurveyDeps,
  onIndex: (name: string, damage: string | null) => void = () => {},
): Promise<void> {
  const seen = new Set<string>();
  // One that vanished since it was listed was replaced by another, which is in a later listing.
  for (let vanished = true; vanished; ) {
    vanished = false;
    const unseen: [string, number][] = [];
    for await (const { name, sizeBytes } of repository.remote.list(INDEX_PREFIX)) {
      if (!seen.has(name)) unseen.push([name, sizeBytes]);
    }
    await concurrently(unseen, CALLS_AT_ONCE, async ([name, sizeBytes]) => {
      signal.throwIfAborted();
      seen.add(name);
      const index = await readIndex(repository, name, sizeBytes);
      if (index === null) {
        vanished = true;
        return;
      }
      addIndex(store, name, index.damage, index.packs);
      onIndex(name, index.damage);
    });
  }
}

async function readIndex(
  { remote, keys }: Repository,
  name: string,
  sizeBytes: number,
): Promise<{ readonly damage: string | null; readonly packs: readonly PackContents[] } | null> {
  if (sizeBytes > MAX_OBJECT_BYTES) return { damage: 'it is larger than an index can be', packs: [] };
  try {
    const bytes = await remote.get(name);
    if (bytes === null) return null;
    const plaintext = openObject(keys, 'index', name, bytes);
    const packs = [...decodePackIndex(plaintext, name)].map((pack) => ({
      name: Buffer.from(pack.name, 'hex'),
      size: pack.sizeBytes,
      chunks: pack.entries,
    }));
    const isNamedRight = name === `${INDEX_PREFIX}${contentName(bytes)}`;
    return { damage: isNamedRight ? null : 'its bytes do not have the SHA-256 it is named by', packs };
  } catch (error) {
    return { damage: damageOf(error, name), packs: [] };
  }
}

/** Lists all that lies on the remote. @param onOther told of each object that is no pack */
export async function listObjects(
  { repository, store, signal }: SurveyDeps,
  onOther: (name: string) => void = () => {},
): Promise<void> {
  for await (const { name, sizeBytes } of repository.remote.list('')) {
    signal.throwIfAborted();
    const sha256 = packSha256(name);
    if (sha256 === null) onOther(name);
    else addFoundPack(store, Buffer.from(sha256, 'hex'), sizeBytes);
  }
}

/**
 * Asks for each pack by its name that an index tells of and no listing held: to go by a listing that left out what is there
 * would be to give up what can be read.
 */
export async function findMissingPacks({ repository, store, signal }: SurveyDeps): Promise<void> {
  await concurrently(storedPacks(store), CALLS_AT_ONCE, async ({ name, size, foundSize }) => {
    if (size === null || foundSize !== null) return;
    signal.throwIfAborted();
    const found = await repository.remote.stat(packName(name.toString('hex')));
    if (found !== null) addFoundPack(store, name, found.sizeBytes);
  });
}

/** @returns what indexes, or the pack's own directory, say it holds; `null` when nobody says */
export function entriesOf(store: VerifyStore, pack: StoredPack): PackEntry[] | null {
  return pack.size === null ? null : framesOf(store, pack.id).map(asEntry);
}

function asEntry({ compression, ...chunk }: PackedChunk): PackEntry {
  return { ...chunk, compression: compression as Compression };
}
