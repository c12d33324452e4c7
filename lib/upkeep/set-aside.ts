import { MAX_GET_BYTES } from '../remote/remote.ts';
import type { Repository } from '../repository/repository.ts';

/** Damaged objects that were replaced lie here: nobody relies on them, and what they still hold is not destroyed. */
export const SET_ASIDE_PREFIX = 'damaged/';

/** Puts a copy of a damaged object where nothing looks for it; the object itself may go once this has resolved. */
export async function copyAside(
  { remote }: Pick<Repository, 'remote'>,
  name: string,
  bytes: Uint8Array,
): Promise<void> {
  await remote.put(`${SET_ASIDE_PREFIX}${name.replaceAll('/', '-')}`, bytes);
}

/**
 * Moves a damaged object there. The port has no rename: killed in between, the same is done again. What is larger than
 * anything a remote gives was never an object of ours, and only goes.
 */
export async function setAside(repository: Pick<Repository, 'remote'>, name: string): Promise<void> {
  const { remote } = repository;
  const found = await remote.stat(name);
  const bytes = found === null || found.sizeBytes > MAX_GET_BYTES ? null : await remote.get(name);
  if (bytes !== null) await copyAside(repository, name, bytes);
  await remote.remove(name);
}
