import type { DAVResult } from 'webdav';
import { RemoteError } from '../../errors.ts';
import { isName } from '../name.ts';
import type { RemoteObject } from '../remote.ts';
import type { Page } from '../walk.ts';

/** What a PROPFIND of depth 0 says. */
export type Found = { readonly kind: 'folder' } | { readonly kind: 'object'; readonly sizeBytes: number };

/**
 * Takes the answer to a PROPFIND of depth 1 for what a stranger wrote: an href that leads anywhere but to a direct child
 * with a proper name is none of ours.
 *
 * @param root the path of the repository's URL, decoded, without a trailing `/`
 * @param folder without a trailing `/`; empty for the root
 * @throws RemoteError when not even the folder itself is in the answer: to take that for an empty folder could mean to
 * take a full repository for a new one
 */
export function readPage(answer: DAVResult, root: string, folder: string): Page {
  const own = folder === '' ? root : `${root}/${folder}`;
  const objects: RemoteObject[] = [];
  const folders: string[] = [];
  let answeredForOwn = false;
  for (const response of answer.multistatus.response) {
    const path = pathOf(response.href);
    if (path === own) answeredForOwn = true;
    if (path === null || !path.startsWith(`${own}/`)) continue;
    const child = path.slice(own.length + 1);
    const name = folder === '' ? child : `${folder}/${child}`;
    if (child.includes('/') || !isName(name)) continue;
    answeredForOwn = true;
    const found = readProperties(response);
    if (found?.kind === 'folder') folders.push(name);
    else if (found !== null) objects.push({ name, sizeBytes: found.sizeBytes });
  }
  if (!answeredForOwn) {
    throw new RemoteError(`list ${folder || 'the repository'}: the server answers for another folder`, {
      retryable: false,
      hints: ['A proxy before it may change paths without changing them in its answers.'],
    });
  }
  return { objects, folders };
}

/** @returns `null` when the answer says nothing of use */
export function readFound(answer: DAVResult): Found | null {
  const [response] = answer.multistatus.response;
  return response === undefined ? null : readProperties(response);
}

function readProperties(response: DAVResult['multistatus']['response'][number]): Found | null {
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
