import { neededFrames, neededPacks, type PlannedPiece, piecesOf } from '../journal/restore-pieces.ts';
import type { RestoreEntry, RestorePlan } from '../journal/restore-plan.ts';
import { type OpenedFrame, readFrames } from '../repository/chunks.ts';
import { concurrently } from '../repository/concurrently.ts';
import type { Opener } from '../repository/opener.ts';
import type { Repository } from '../repository/repository.ts';
import { EntryError } from './failure.ts';
import type { Parts } from './parts.ts';
import type { Tally } from './tally.ts';

export interface FetchDeps {
  readonly plan: RestorePlan;
  readonly repository: Repository;
  readonly parts: Parts;
  readonly tally: Tally;
  readonly opener: Opener;
  readonly signal: AbortSignal;
  readonly pause: () => Promise<void>;
  readonly attempt: (entry: RestoreEntry, work: () => void | Promise<void>) => Promise<void>;
}

/** Each holds one answer of the remote, of 10 MiB and a chunk at most. */
const PACKS_AT_ONCE = 4;
/** Of a pack of tiny chunks, so many are looked at together. */
const FRAMES_AT_ONCE = 4096;

/** Fetches each pack, or what is needed of it, once, and writes its chunks to all the files they belong to. */
export async function fetchPieces(deps: FetchDeps): Promise<void> {
  const { plan, repository, tally, opener, signal } = deps;
  await concurrently(neededPacks(plan), PACKS_AT_ONCE, async (pack) => {
    for (const frames of neededFrames(plan, pack.id, FRAMES_AT_ONCE)) {
      const opened = readFrames(repository, pack, frames, { signal, onFetched: tally.fetched, opener });
      const pieces = piecesOf(plan, pack.id, frames[0]!.position, frames.at(-1)!.position);
      await writePieces(opened, pieces, deps);
    }
  });
}

/** Both come in the order of the frames. */
async function writePieces(
  opened: AsyncIterable<OpenedFrame>,
  pieces: Iterator<PlannedPiece>,
  { parts, attempt, pause }: FetchDeps,
): Promise<void> {
  let next = pieces.next();
  for await (const { frame, chunk, damage } of opened) {
    for (; !next.done && next.value.frame === frame.position; next = pieces.next()) {
      const piece = next.value;
      await attempt(piece.entry, () => {
        if (chunk === null) throw new EntryError(damage.message);
        return piece.alone ? parts.writeWhole(piece.entry, chunk) : parts.writePiece(piece, chunk);
      });
      await pause();
    }
  }
}
