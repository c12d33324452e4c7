import { markPack, readablePacks, type StoredPack, type VerifyStore } from '../journal/verify-store.ts';
import type { Progress } from '../progress.ts';
import { free } from '../repository/chunks.ts';
import { concurrently } from '../repository/concurrently.ts';
import { packName, type Repository } from '../repository/repository.ts';
import { abortable } from '../waiting.ts';
import { damageOf } from './damage.ts';
import type { Findings } from './findings.ts';
import { type Inspection, inspectPack } from './inspect-pack.ts';
import { entriesOf } from './survey.ts';

export interface DataDeps {
  readonly repository: Repository;
  readonly store: VerifyStore;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

export interface DataCheck {
  readonly packs: number;
  readonly bytes: number;
  /** Was a chunk found damaged that files may need? */
  readonly lostChunks: boolean;
  /** Names of the packs that were read, when they are a share of them. */
  readonly chosen: readonly string[];
}

/** Each is held whole: 16 MiB as a rule, 40 at most. */
const PACKS_AT_ONCE = 4;

/** Which packs' bytes are fetched. */
export interface DataChoice {
  /** 0 to 1: of so many of them, chosen at random, every byte. */
  readonly share: number;
  /** Only of those that a backup needs which was looked at. */
  readonly usedOnly: boolean;
  /** @returns 0 up to 1 */
  readonly random: () => number;
}

/** Fetches packs and looks at every byte of them. */
export async function checkData(choice: DataChoice, findings: Findings, deps: DataDeps): Promise<DataCheck> {
  const { store, progress } = deps;
  const packs = choosePacks(store, choice);
  const totalBytes = packs.reduce((sum, { foundSize }) => sum + (foundSize ?? 0), 0);
  progress({ type: 'check_planned', unit: 'pack', total: packs.length, totalBytes });
  let [done, doneBytes, lostChunks] = [0, 0, false];
  await concurrently(packs, PACKS_AT_ONCE, async (pack) => {
    const { damage, lostFrames } = await readPack(pack, deps);
    if (damage !== null) {
      markPack(store, pack.id, damage, lostFrames);
      findings.damaged(packName(pack.name.toString('hex')), damage);
      lostChunks ||= lostFrames === 'all' || lostFrames.length > 0;
    }
    done += 1;
    doneBytes += pack.foundSize ?? 0;
    progress({ type: 'checked', done, doneBytes });
  });
  const chosen = choice.share < 1 ? packs.map(({ name }) => packName(name.toString('hex'))) : [];
  return { packs: packs.length, bytes: totalBytes, lostChunks, chosen };
}

/** Fetches a pack and looks at every byte of it. */
export async function readPack(
  pack: StoredPack,
  { repository, store, signal }: Omit<DataDeps, 'progress'>,
  onChunk?: Parameters<typeof inspectPack>[4],
): Promise<Inspection> {
  const sha256 = pack.name.toString('hex');
  const object = packName(sha256);
  try {
    const bytes = await abortable(() => repository.remote.get(object), signal);
    if (bytes === null) return { damage: 'it is not on the remote', lostFrames: 'all' };
    const inspection = inspectPack(repository.keys, sha256, bytes, entriesOf(store, pack), onChunk);
    free(bytes);
    return inspection;
  } catch (error) {
    return { damage: damageOf(error, object), lostFrames: 'all' };
  }
}

function choosePacks(store: VerifyStore, { share, usedOnly, random }: DataChoice): StoredPack[] {
  const packs = [...readablePacks(store, usedOnly)];
  if (share >= 1) return packs;
  const count = Math.ceil(packs.length * share);
  // The first steps of a shuffle: each pack has the same chance.
  for (let at = 0; at < count; at += 1) {
    const other = at + Math.floor(random() * (packs.length - at));
    [packs[at], packs[other]] = [packs[other]!, packs[at]!];
  }
  return packs.slice(0, count);
}
