import { RemoteError, SkylockError } from '../errors.ts';
import { contentName } from '../format/envelope.ts';
import { markPack, readablePacks, type StoredPack } from '../journal/verify-store.ts';
import { concurrently } from '../repository/concurrently.ts';
import { CONFIG_NAME, packName, type Repository } from '../repository/repository.ts';
import { abortable } from '../waiting.ts';
import { type DataDeps, readPack } from './check-data.ts';
import type { Findings } from './findings.ts';
import type { Inspection } from './inspect-pack.ts';

export interface HashCheck {
  readonly packs: number;
  readonly bytes: number;
  /** Was a chunk found damaged that files may need? */
  readonly lostChunks: boolean;
}

/** Half a gigabyte as a rule: what is asked for anew when the line breaks. */
const PACKS_A_QUESTION = 32;
/** The server's disk is what is busy with them. */
const QUESTIONS_AT_ONCE = 2;

/**
 * Asks for the hash of an object of which it is known here.
 * @throws SkylockError when the server computes none, or another one
 */
export async function requireHashes({ remote }: Repository, signal: AbortSignal): Promise<void> {
  const hints = ["'--read-data' fetches the packs and looks at them here."];
  if (remote.sha256 === undefined) {
    throw new SkylockError(
      `compute checksums at ${remote.url}: this kind of server offers no command for it`,
      {
        hints: ['One that is reached by SFTP and has a shell does.', ...hints],
      },
    );
  }
  const bytes = await abortable(() => remote.get(CONFIG_NAME), signal);
  const told = await abortable(() => remote.sha256!([CONFIG_NAME]), signal).catch((error: unknown) => {
    if (!(error instanceof RemoteError)) throw error;
    throw new SkylockError(error.message, { hints: [...error.hints, ...hints], cause: error });
  });
  if (bytes !== null && told.get(CONFIG_NAME) === contentName(bytes)) return;
  throw new SkylockError(
    `compute checksums at ${remote.url}: what the server says of ${CONFIG_NAME} is wrong`,
    {
      hints,
    },
  );
}

/**
 * Has the server compute the SHA-256 of packs, which is what they are named by. One that has another is fetched, to find out
 * which of its chunks are lost; so is one of which the server can say nothing.
 * @param usedOnly leave out packs that no backup needs which was looked at
 */
export async function checkHashes(usedOnly: boolean, findings: Findings, deps: DataDeps): Promise<HashCheck> {
  const { repository, store, progress, signal } = deps;
  const packs = [...readablePacks(store, usedOnly)];
  const bytes = packs.reduce((sum, { foundSize }) => sum + (foundSize ?? 0), 0);
  progress({ type: 'check_planned', unit: 'pack', total: packs.length, totalBytes: bytes });
  let [done, doneBytes, lostChunks] = [0, 0, false];

  const judge = async (pack: StoredPack, told: string | undefined) => {
    const { damage, lostFrames } = await judgePack(pack, told, deps);
    if (damage !== null) {
      markPack(store, pack.id, damage, lostFrames);
      findings.damaged(packName(pack.name.toString('hex')), damage);
      lostChunks ||= lostFrames === 'all' || lostFrames.length > 0;
    }
    done += 1;
    doneBytes += pack.foundSize ?? 0;
    progress({ type: 'checked', done, doneBytes });
  };
  await concurrently(questions(packs), QUESTIONS_AT_ONCE, async (asked) => {
    signal.throwIfAborted();
    const objects = asked.map(({ name }) => packName(name.toString('hex')));
    const told = await abortable(() => repository.remote.sha256!(objects), signal);
    for (const [index, pack] of asked.entries()) await judge(pack, told.get(objects[index]!));
  });
  return { packs: packs.length, bytes, lostChunks };
}

function* questions(packs: readonly StoredPack[]): Generator<StoredPack[]> {
  for (let at = 0; at < packs.length; at += PACKS_A_QUESTION) yield packs.slice(at, at + PACKS_A_QUESTION);
}

const RIGHT: Inspection = { damage: null, lostFrames: [] };

async function judgePack(pack: StoredPack, told: string | undefined, deps: DataDeps): Promise<Inspection> {
  if (told === pack.name.toString('hex')) return RIGHT;
  const inspection = await readPack(pack, deps);
  if (inspection.damage !== null || told === undefined) return inspection;
  // Once wrong and once right: a disk, or its server's memory, that is not to be relied on.
  return { damage: 'the server computes another SHA-256, though it gave the right bytes', lostFrames: [] };
}
