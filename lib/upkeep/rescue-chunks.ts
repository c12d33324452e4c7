import { DamagedError } from '../errors.ts';
import { type StoredPack, storedPacks, type VerifyStore } from '../journal/verify-store.ts';
import { MAX_GET_BYTES } from '../remote/remote.ts';
import { packName, type Repository } from '../repository/repository.ts';
import { inspectPack } from './inspect-pack.ts';
import { change, type DamagedObject, type StepDeps } from './repair-step.ts';
import { createRescue } from './rescue.ts';
import { copyAside } from './set-aside.ts';
import { entriesOf } from './survey.ts';

/**
 * Takes what can still be read out of damaged packs into new ones, and copies them aside.
 * @returns the packs that may go once no index needs them
 */
export async function rescueChunks(deps: StepDeps): Promise<DamagedObject[]> {
  const { repository, store, onAction, signal } = deps;
  const rescue = createRescue({
    ...deps,
    onPut: (object, chunks) =>
      onAction({ action: 'put', object, reason: `${chunks} chunks out of damaged packs` }),
  });
  const copied: DamagedObject[] = [];
  for (const pack of damagedPacks(store)) {
    signal.throwIfAborted();
    const name = packName(pack.name.toString('hex'));
    const damage = String(pack.damage);
    const bytes = await fetchWhole(repository, pack);
    if (bytes === null) {
      const isThere = pack.foundSize !== null;
      await onAction({ action: isThere ? 'kept' : 'dropped', object: name, reason: damage });
      continue;
    }
    const again = inspectPack(
      repository.keys,
      pack.name.toString('hex'),
      bytes,
      entriesOf(store, pack),
      rescue.add,
    );
    if (again.damage === null) {
      throw new DamagedError(`read ${name}: it was damaged at first and is not any more`, {
        hints: [
          'The line or the storage changes what is read. Nothing that was there was removed; try again.',
        ],
      });
    }
    await change(deps, () => copyAside(repository, name, bytes));
    copied.push({ name, damage });
    await rescue.put();
  }
  await rescue.end();
  return copied;
}

/** A list, since packs of rescued chunks join the others meanwhile. */
function damagedPacks(store: VerifyStore): StoredPack[] {
  return storedPacks(store)
    .filter(({ damage }) => damage !== null)
    .toArray();
}

/** @returns `null` when it is not there, or larger than any pack */
async function fetchWhole({ remote }: Repository, { name, foundSize }: StoredPack): Promise<Buffer | null> {
  if (foundSize === null || foundSize > MAX_GET_BYTES) return null;
  return remote.get(packName(name.toString('hex')));
}
