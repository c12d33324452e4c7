import { posix } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DAVResult } from 'webdav';
import { RemoteError } from '../../errors.ts';
import { type ByteRange, type PutOptions, REPLACED_BY_THEN_MS } from '../remote.ts';
import type { Page } from '../walk.ts';
import { type Answer, readPart } from './exchange.ts';
import { AnswerError, statusFailure } from './failures.ts';
import { type Found, readFound, readPage } from './listing.ts';
import { readMultistatus } from './multistatus.ts';
import { encodePath } from './path.ts';
import type { Request } from './session.ts';
import { inTurns } from './turns.ts';

/** What is asked of a WebDAV server: a call a method of RFC 4918. Paths are absolute on the server, not encoded. */
export interface WebdavCalls {
  /** Resolves when the server has taken all bytes and has them in full. */
  upload(doing: string, path: string, bytes: Uint8Array, options: PutOptions): Promise<void>;
  /** Replaces what is there. */
  move(doing: string, from: string, to: string): Promise<void>;
  /** @returns `null` when nothing, or a folder, is there */
  download(doing: string, path: string, range: ByteRange | undefined): Promise<Buffer | null>;
  find(doing: string, path: string, signal?: AbortSignal): Promise<Found | null>;
  /** @param root the repository's path, which names in the page are relative to; @param folder one of those, or empty */
  readFolder(root: string, folder: string, count: (names: number) => void): Promise<Page>;
  /** That nothing is there is fine. */
  remove(doing: string, path: string, signal?: AbortSignal): Promise<void>;
  /** Makes a folder and those above it; each once, whoever asks. */
  makeFolder(path: string): Promise<void>;
  /**
   * Makes a folder anew that somebody has removed since, and none above it: to begin a repository that is gone anew would
   * hide that.
   * @returns whether it is there now
   */
  remakeFolder(path: string): Promise<boolean>;
}

const FORBIDDEN = Symbol('HTTP 403');
const REFUSED = Symbol('HTTP 405');

const NOTHING_THERE = [404, 410];

/** @param origin of the server: `https://host:port` */
export function webdavCalls(origin: string, request: Request): WebdavCalls {
  const propfind = <T>(
    doing: string,
    path: string,
    depth: 0 | 1,
    signal: AbortSignal | undefined,
    read: (parts: AsyncIterable<DAVResult>) => Promise<T>,
  ) =>
    request(
      { doing, method: 'PROPFIND', path, headers: { Depth: String(depth) }, signal },
      async (answer) => {
        if (NOTHING_THERE.includes(answer.status)) return null;
        requireStatus(doing, answer, [207]);
        return read(readMultistatus(doing, answer));
      },
    );

  const inTurn = inTurns();

  const find: WebdavCalls['find'] = (doing, path, signal) =>
    propfind(doing, path, 0, signal, (parts) => readFound(doing, parts));

  const remove: WebdavCalls['remove'] = (doing, path, signal) =>
    request({ doing, method: 'DELETE', path, signal }, async (answer) =>
      requireStatus(doing, answer, [200, 202, 204, ...NOTHING_THERE]),
    );

  /** @returns whether it could be moved; not where the server replaces nothing */
  const tryMove = (doing: string, from: string, to: string) =>
    request(
      {
        doing,
        method: 'MOVE',
        path: from,
        headers: { Destination: `${origin}${encodePath(to)}`, Overwrite: 'T' },
      },
      async (answer) => {
        if (answer.status === 412) return false;
        if (answer.status === 404) {
          // Somebody else has cleared it away, or has replaced the object at the same moment.
          throw new RemoteError(`${doing}: it was gone before it had its name (HTTP 404)`, {
            retryable: true,
          });
        }
        requireStatus(doing, answer, [200, 201, 204]);
        return true;
      },
    );
  const makeOne = (path: string): Promise<boolean> => {
    const doing = `make folder ${path}`;
    return request({ doing, method: 'MKCOL', path: `${path}/` }, async (answer) => {
      // 405: it is there already (RFC 4918, section 9.3.1); whether it is a folder, the put into it will tell.
      if (answer.status === 201 || answer.status === 200 || answer.status === 405) return true;
      if (answer.status === 409 || answer.status === 404) return false;
      throw statusFailure(doing, answer);
    });
  };

  return {
    find,
    remove,

    async upload(doing, path, bytes, { signal, onSent }) {
      let toldBytes = -1;
      const tell = (sentBytes: number) => {
        // To log in, or with a new nonce, the same body may go out anew.
        if (sentBytes <= toldBytes) return;
        toldBytes = sentBytes;
        onSent?.(sentBytes);
      };
      const put = { doing, method: 'PUT', path, body: bytes, signal, onSent: tell } as const;
      await request(put, async (answer) => {
        // A server says so of what has not come whole, as from a line that broke on the way (RFC 9112, section 8).
        if (answer.status === 400) throw incomplete(doing, answer.status);
        requireStatus(doing, answer, [200, 201, 204]);
      });
      const found = await find(doing, path, signal);
      if (found?.kind === 'object' && found.sizeBytes === bytes.length) return;
      const arrived = found?.kind === 'object' ? `${found.sizeBytes} of ${bytes.length}` : 'none of the';
      throw new RemoteError(`${doing}: ${arrived} bytes arrived`, { retryable: true });
    },

    move: (doing, from, to) =>
      // Apache lets two MOVEs to one name trip over each other, and one of them fail.
      inTurn(to, async () => {
        if (await tryMove(doing, from, to)) return;
        await remove(doing, to);
        if (await tryMove(doing, from, to)) return;
        throw new RemoteError(`${doing}: the server does not give the object its name`, { retryable: true });
      }),

    async download(doing, path, range) {
      const last = range === undefined ? 0 : range.offset + range.length - 1;
      const headers = range === undefined ? {} : { Range: `bytes=${range.offset}-${last}` };
      const get = (isLastTry: boolean) =>
        request({ doing, method: 'GET', path, headers }, async (answer) => {
          if (answer.status === 403 && !isLastTry) return FORBIDDEN;
          if (answer.status === 405) return REFUSED;
          // A folder is sent on to its own name, with a '/'; what is shown there is a page for people.
          if (NOTHING_THERE.includes(answer.status) || new URL(answer.url).pathname.endsWith('/'))
            return null;
          if (range !== undefined && answer.status === 416) return Buffer.alloc(0);
          requireStatus(doing, answer, range === undefined ? [200] : [200, 206]);
          return readPart(doing, answer, range);
        });
      let bytes = await get(false);
      if (bytes === FORBIDDEN) {
        // Apache says 403 also of a file that is replaced just then: asked again, it means what it says.
        await sleep(REPLACED_BY_THEN_MS);
        bytes = await get(true);
      }
      if (typeof bytes !== 'symbol') return bytes;
      // Some servers (rclone is one) do not let a folder be read; one that lets nothing be read is no WebDAV folder.
      if ((await find(doing, path))?.kind === 'folder') return null;
      throw statusFailure(doing, { status: 405, headers: new Headers() });
    },

    async readFolder(root, folder, count) {
      const doing = `list ${folder || 'the repository'}`;
      const path = `${posix.join(root, folder)}/`.replace(/\/+$/, '/');
      const page = await propfind(doing, path, 1, undefined, (parts) => readPage(parts, root, folder, count));
      return page ?? { objects: [], folders: [] };
    },

    makeFolder: folderMaker(makeOne),
    remakeFolder: makeOne,
  };
}

/** @param make makes one folder; @returns false when the one above it is missing */
function folderMaker(make: (path: string) => Promise<boolean>): (path: string) => Promise<void> {
  const made = new Map<string, Promise<void>>();
  const makeAll = async (path: string): Promise<void> => {
    if (path === '' || path === '/' || (await make(path))) return;
    await makeFolder(posix.dirname(path));
    if (await make(path)) return;
    throw new RemoteError(`make folder ${path}: the folder above it is gone`, { retryable: false });
  };
  const makeFolder = (path: string): Promise<void> => {
    const making = made.get(path) ?? makeAll(path);
    made.set(path, making);
    making.catch(() => made.delete(path));
    return making;
  };
  return makeFolder;
}

function incomplete(doing: string, status: number): AnswerError {
  return new AnswerError(`${doing}: it has not come whole to the server (HTTP ${status})`, {
    status,
    retryable: true,
  });
}

function requireStatus(doing: string, answer: Answer, statuses: readonly number[]): void {
  if (!statuses.includes(answer.status)) throw statusFailure(doing, answer);
}
