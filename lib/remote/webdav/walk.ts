import { TEMPORARY_FOLDER } from '../remote.ts';
import type { Page } from './listing.ts';

/**
 * Reads a folder and all below it, `concurrency` folders at a time; the temporary one only when the walk begins there.
 *
 * A server often refuses to list more than one level at once (RFC 4918, section 9.1: `propfind-finite-depth`).
 *
 * @param start without a trailing `/`; empty for the root
 */
export async function* walk(
  start: string,
  concurrency: number,
  readFolder: (folder: string) => Promise<Page>,
): AsyncIterable<Page> {
  const found = [start];
  const reading: Promise<Page>[] = [];
  while (found.length > 0 || reading.length > 0) {
    for (const folder of found.splice(0, concurrency - reading.length)) {
      const page = readFolder(folder);
      page.catch(() => {}); // nobody may be waiting for it any more when it fails
      reading.push(page);
    }
    const page = await reading.shift();
    if (page === undefined) return;
    found.push(...page.folders.filter((folder) => folder !== TEMPORARY_FOLDER));
    yield page;
  }
}
