import type { BackupHeader } from '../format/backup-header.ts';
import { locationsOf, type StoredLocation } from '../journal/verify-store.ts';
import { readManifestBy } from '../repository/manifest.ts';
import { CHECKPOINTS_PREFIX } from '../repository/repository.ts';
import { checkHeaders } from './check-headers.ts';
import { damageOf } from './damage.ts';
import { type DamagedObject, moveAside, type StepDeps } from './repair-step.ts';

/** @returns how many backups cannot be opened; checkpoints that cannot be used only stand in the way of the next backup */
export async function mendHeaders(deps: StepDeps): Promise<number> {
  const damaged: DamagedObject[] = [];
  const listed = await checkHeaders(deps.repository, null, {
    damaged: (name, damage) => void damaged.push({ name, damage }),
  });
  for (const { object, header } of listed) {
    if (!object.startsWith(CHECKPOINTS_PREFIX)) continue;
    const damage = await checkListOfFiles(object, await header(), deps);
    if (damage !== null) damaged.push({ name: object, damage });
  }
  let backups = 0;
  for (const { name, damage } of damaged) {
    if (name.startsWith(CHECKPOINTS_PREFIX)) await moveAside(name, damage, deps);
    else {
      backups += 1;
      await deps.onAction({ action: 'kept', object: name, reason: damage });
    }
  }
  return backups;
}

/** @returns why it cannot be read whole, or `null` */
async function checkListOfFiles(
  object: string,
  header: BackupHeader | null,
  { repository, store, dryRun, signal }: StepDeps,
): Promise<string | null> {
  if (header === null) return null;
  // Rescued chunks lie in new packs, which a dry run does not put.
  const isThere = ({ lost, damage }: StoredLocation) => (dryRun ? !lost : damage === null);
  const locate = (id: Buffer) => locationsOf(store, id).find(isThere) ?? null;
  try {
    const entries = readManifestBy(locate, repository, header, { signal });
    for await (const _ of entries);
    return null;
  } catch (error) {
    return damageOf(error, object);
  }
}
