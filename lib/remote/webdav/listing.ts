import type { DAVResult } from 'webdav';
import { RemoteError } from '../../errors.ts';
import { isName } from '../name.ts';
import type { RemoteObject } from '../remote.ts';
import type { Page } from '../walk.ts';
import { isResponse } from './multistatus.ts';

type Response = DAVResult['multistatus']['response'][number];

/** What a PROPFIND of depth 0 says. */
export type Found = { readonly kind: 'folder' } | { readonly kind: 'object'; readonly sizeBytes: number };

/**
 * Takes the answer to a PROPFIND of depth 1 for what a stranger wrote: an href that leads anywhere but to a direct child
 * with a proper name is none of ours.
 *
 * @param parts of the answer, one after another
 * @param root the path of the repository's URL, decoded, without a trailing `/`
 * @param folder without a trailing `/`; empty for the root
 * @param count told of names as they come in; throws when there are too many
 * @throws RemoteError when not even the folder itself is in the answer: to take that for an empty folder could mean to
 * take a full repository for a new one
 */
export async function readPage(
  parts: AsyncIterable<DAVResult> | Iterable<DAVResult>,
  root: string,
  folder: string,
  count: (names: number) => void,
): Promise<Page> {
  const own = folder === '' ? root : `${root}/${folder}`;
  const page = { objects: [] as RemoteObject[], folders: [] as string[] };
  let answeredForOwn = false;
  const add = (response: Response) => {
    const path = pathOf(response.href);
    if (path === own) answeredForOwn = true;
    if (path === null || !path.startsWith(`${own}/`)) return;
    const child = path.slice(own.length + 1);
    const name = folder === '' ? child : `${folder}/${child}`;
    if (child.includes('/') || !isName(name)) return;
    answeredForOwn = true;
    const found = readProperties(response);
    if (found?.kind === 'folder') page.folders.push(name);
    else if (found !== null) page.objects.push({ name, sizeBytes: found.sizeBytes });
  };
  for await (const { multistatus } of parts) {
    count(multistatus.response.length);
    multistatus.response.forEach(add);
  }
  if (!answeredForOwn) {
    throw new RemoteError(`list ${folder || 'the repository'}: the server answers for another folder`, {
      retryable: false,
      hints: ['A proxy before it may change paths without changing them in its answers.'],
    });
  }
  return page;
}

/**
 * Takes the answer to a PROPFIND of depth 0.
 * @returns `null` when it says nothing of use
 * @throws RemoteError when it is of nothing: to take that for an object that is not there would be to believe too much
 */
export async function readFound(
  doing: string,
  parts: AsyncIterable<DAVResult> | Iterable<DAVResult>,
): Promise<Found | null> {
  for await (const { multistatus } of parts) {
    const [response] = multistatus.response;
    if (response !== undefined && isResponse(response)) return readProperties(response);
    break;
  }
  throw new RemoteError(`${doing}: the server's answer is of nothing`, { retryable: false });
}

function readProperties(response: Response): Found | null {
  const properties = response.propstat?.prop;
  if (properties === undefined || properties === null) return null;
  const type: unknown = properties.resourcetype;
  if (typeof type === 'object' && type !== null && 'collection' in type) return { kind: 'folder' };
  // Some servers give it an attribute, and then it is an object with a text.
  const length: unknown = properties.getcontentlength;
  const sizeBytes = Number((length as { text?: unknown } | null)?.text ?? length ?? Number.NaN);
  return Number.isSafeInteger(sizeBytes) && sizeBytes >= 0 ? { kind: 'object', sizeBytes } : null;
}

/** @returns the decoded path of an href (RFC 4918, section 8.3: with or without a host), `null` when it is none */
function pathOf(href: unknown): string | null {
  if (typeof href !== 'string') return null;
  const path = href.replace(/^https?:\/\/[^/]*/i, '').replace(/\/+$/, '');
  try {
    // Decoded piece by piece: an encoded '/' must not make two pieces of one.
    const pieces = path.split('/').map(decodeURIComponent);
    return pieces.some((piece) => piece === '..' || piece.includes('/')) ? null : pieces.join('/');
  } catch {
    return null;
  }
}
