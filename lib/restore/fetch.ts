import {
  neededFrames,
  neededPacks,
  type PlannedFrame,
  type PlannedPiece,
  piecesOf,
  wholesOf,
} from '../journal/restore-pieces.ts';
import type { RestoreEntry, RestorePlan, Tables } from '../journal/restore-plan.ts';
import { type Frame, fetchSpans } from '../repository/chunks.ts';
import { concurrently } from '../repository/concurrently.ts';
import type { Repository } from '../repository/repository.ts';
import { EntryError } from './failure.ts';
import type { Opener } from './opener.ts';
import type { Opened } from './opener-messages.ts';
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

/** Each holds an answer of the remote and has another one on its way, of some MiB. */
const PACKS_AT_ONCE = 4;
/** Of a pack of tiny chunks, so many are looked at together. */
const FRAMES_AT_ONCE = 4096;

/** Fetches each pack, or what is needed of it, once, and writes its chunks to all the files they belong to. */
export async function fetchPieces(deps: FetchDeps): Promise<void> {
  const { plan } = deps;
  await concurrently(neededPacks(plan), PACKS_AT_ONCE, async (pack) => {
    for (const frames of neededFrames(plan, pack.id, FRAMES_AT_ONCE)) {
      const [first, last] = [frames[0]!.position, frames.at(-1)!.position];
      await writePieces(openFrames(pack, frames, deps), piecesOf(plan, pack.id, first, last), deps);
    }
  });
}

interface WantedFrame extends Frame {
  readonly whole: RestoreEntry | null;
}

async function* openFrames(
  pack: Tables['pack'],
  frames: readonly PlannedFrame[],
  { plan, repository, signal, tally, opener }: FetchDeps,
): AsyncGenerator<Opened<WantedFrame>[]> {
  const options = { signal, onFetched: tally.fetched };
  for await (const span of fetchSpans(repository, pack, frames, options)) {
    // Looked up while others are fetched and opened, and not before the first are asked for.
    const wholes = wholesOf(plan, pack.id, span.frames[0]!.position, span.frames.at(-1)!.position);
    const wanted = span.frames.map((frame) => ({ ...frame, whole: wholes.get(frame.position) ?? null }));
    if (span.bytes !== null) yield* opener.open({ ...span, frames: wanted }, signal);
    else yield wanted.map((frame) => ({ frame, chunk: null, damage: span.damage, written: null }));
  }
}

/** Both come in the order of the frames. */
async function writePieces(
  opened: AsyncIterable<Opened<WantedFrame>[]>,
  pieces: Iterator<PlannedPiece>,
  deps: FetchDeps,
): Promise<void> {
  const { parts, attempt, pause } = deps;
  let next = pieces.next();
  for await (const some of opened) {
    for (const one of some) {
      const { frame, chunk, damage } = one;
      const { whole } = frame;
      if (whole !== null) await attempt(whole, () => settleWhole(whole, one, deps));
      for (; !next.done && next.value.frame === frame.position; next = pieces.next()) {
        const piece = next.value;
        await attempt(piece.entry, () => {
          if (chunk === null) throw new EntryError(damage!.message);
          return piece.alone ? parts.writeWhole(piece.entry, chunk) : parts.writePiece(piece, chunk);
        });
        await pause();
      }
    }
    await pause();
  }
}

function settleWhole(
  entry: RestoreEntry,
  { damage, written }: Opened<WantedFrame>,
  { parts, tally }: FetchDeps,
): void {
  if (written === null) throw new EntryError(damage!.message);
  if (written.failure !== null) throw written.failure;
  tally.written(entry.size);
  parts.settle(entry, written.refused);
}
