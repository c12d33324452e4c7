import { compressChunk } from '../format/compress.ts';
import { createPackBuilder, PACK_OVERHEAD_BYTES, type PackBuilder, type SealedPack } from '../format/pack.ts';
import { type PackEntry, RAW, ZSTD } from '../format/pack-directory.ts';
import { addFoundPack, addPackContents, locationsOf, type VerifyStore } from '../journal/verify-store.ts';
import { packName, type Repository } from '../repository/repository.ts';
import { change } from './repair-step.ts';

/** Chunks of damaged packs that can still be read, on their way into new ones. */
export interface Rescue {
  /** Takes a chunk unless a pack that is right holds it. */
  readonly add: (entry: PackEntry, chunk: Buffer) => void;
  /** Puts the packs that are full. */
  readonly put: () => Promise<void>;
  /** Puts the last one too. */
  readonly end: () => Promise<void>;
}

export interface RescueDeps {
  readonly repository: Repository;
  readonly store: VerifyStore;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
  /** Told when a pack of rescued chunks is durable. */
  readonly onPut: (object: string, chunks: number) => Promise<void>;
}

/** What a pack is as a rule; one chunk more than that always has room. */
const PACK_BYTES = 16 * 1024 * 1024;

export function createRescue({ repository, store, dryRun, signal, onPut }: RescueDeps): Rescue {
  const { remote, keys, config } = repository;
  let builder: PackBuilder | null = null;
  let sealed: SealedPack[] = [];
  let taken = new Set<string>();

  const seal = () => {
    if (builder !== null) sealed.push(builder.seal());
    builder = null;
  };
  const put = async () => {
    for (const { name, bytes, entries } of sealed) {
      // Order 3: the pack, then who relies on it.
      await change({ dryRun, signal }, () => remote.put(packName(name), bytes, { signal }));
      const pack = { name: Buffer.from(name, 'hex'), size: bytes.length, chunks: entries };
      addPackContents(store, pack);
      addFoundPack(store, pack.name, pack.size);
      await onPut(packName(name), entries.length);
    }
    sealed = [];
    taken = new Set(builder?.entries.map(({ id }) => id.toString('latin1')));
  };

  return {
    add({ id, compression }, chunk) {
      const key = id.toString('latin1');
      if (taken.has(key) || locationsOf(store, id).some(({ damage }) => damage === null)) return;
      taken.add(key);
      const compressed = compression === ZSTD ? compressChunk(chunk) : null;
      const stored = compressed ?? chunk;
      if (builder !== null && !builder.hasRoomFor(stored.length)) seal();
      builder ??= createPackBuilder(
        keys,
        Buffer.allocUnsafeSlow(PACK_BYTES + config.chunker.max + PACK_OVERHEAD_BYTES),
      );
      builder.add(Buffer.from(id), compressed === null ? RAW : ZSTD, stored, chunk.length);
    },
    put,
    async end() {
      seal();
      await put();
    },
  };
}
