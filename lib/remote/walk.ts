import { RemoteError } from '../errors.ts';
import { type RemoteObject, TEMPORARY_FOLDER } from './remote.ts';

/** What lies in a folder, by its names from the repository's root. */
export interface Page {
  readonly objects: readonly RemoteObject[];
  readonly folders: readonly string[];
}

/**
 * Who holds a listing holds it whole, some 200 bytes a name, so it has to end. This is 32 TiB in packs of 16 MiB, more than
 * the largest account one can rent as such; where a line is so slow that packs are of 1 MiB, it is months of sending.
 */
export const MAX_LISTED = 2 * 1024 * 1024;

export interface WalkOptions {
  /** Folders that are read at the same time. */
  readonly concurrency: number;
  /** Names of all folders together, those that are none of ours too. */
  readonly maxListed: number;
  /** @param count has to be told of names as they come in; throws when there are too many */
  readonly readFolder: (folder: string, count: (names: number) => void) => Promise<Page>;
}

/**
 * Reads a folder and all below it; the temporary one only when the walk begins there.
 *
 * A server often refuses to list more than one level at once (RFC 4918, section 9.1: `propfind-finite-depth`).
 *
 * @param start without a trailing `/`; empty for the root
 * @throws RemoteError, final, when there are more than `maxListed` names
 */
export async function* walk(
  start: string,
  { concurrency, maxListed, readFolder }: WalkOptions,
): AsyncIterable<Page> {
  const found = [start];
  const reading: Promise<Page>[] = [];
  let left = maxListed;
  const count = (names: number) => {
    left -= names;
    if (left >= 0) return;
    throw new RemoteError(`list ${start || 'the repository'}: there are more than ${maxListed} names`, {
      retryable: false,
      hints: ['No repository holds so many objects. Is it the right folder?'],
    });
  };
  while (found.length > 0 || reading.length > 0) {
    for (const folder of found.splice(0, concurrency - reading.length)) {
      const page = readFolder(folder, count);
      page.catch(() => {}); // nobody may be waiting for it any more when it fails
      reading.push(page);
    }
    const page = await reading.shift();
    if (page === undefined) return;
    found.push(...page.folders.filter((folder) => folder !== TEMPORARY_FOLDER));
    yield page;
  }
}
