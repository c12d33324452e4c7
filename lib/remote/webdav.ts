import { posix } from 'node:path';
import { RemoteError, UsageError } from '../errors.ts';
import { requireName, requirePrefix } from './name.ts';
import type { PutOptions, Remote } from './remote.ts';
import type { RemoteSettings } from './settings.ts';
import { temporaryName } from './temporary.ts';
import { isThisMachine, type WebdavLocation } from './url.ts';
import { MAX_LISTED, walk } from './walk.ts';
import { agentsFor } from './webdav/agents.ts';
import { type WebdavCalls, webdavCalls } from './webdav/calls.ts';
import { exchange } from './webdav/exchange.ts';
import { AnswerError } from './webdav/failures.ts';
import { session } from './webdav/session.ts';
import { slots } from './webdav/slots.ts';

export interface WebdavOptions {
  /** An exchange in which no byte has moved for so long is given up. */
  readonly silenceMs?: number;
  /** A listing of more names is refused. */
  readonly maxListed?: number;
}

/** What a put that failed may still take to clear up behind itself. */
const CLEAN_UP_MS = 5_000;

/**
 * Objects as files under a folder of a WebDAV server. The first call connects, and asks for the password if the server does.
 *
 * To read an object in the very moment in which it is replaced is not safe with every server. Apache replaces in two steps,
 * between which it is absent, and looks up the size of a file before it opens it: a reader may get a part.
 *
 * @throws UsageError when the data would cross a network in clear, or a TLS setting makes no sense
 * @see RFC 4918
 */
export async function openWebdav(
  location: WebdavLocation,
  settings: RemoteSettings,
  { silenceMs = 60_000, maxListed = MAX_LISTED }: WebdavOptions = {},
): Promise<Remote> {
  const url = new URL(location.url);
  refuseClearText(url, settings.tls.insecureHttp);
  const connections = Math.min(settings.lanes, settings.maxConnections);
  const agents = agentsFor(url, settings.tls, connections);
  const closing = new AbortController();
  const line = { slots: slots(connections), silenceMs, closing: closing.signal };
  const calls = webdavCalls(
    url.origin,
    session(url, agents, settings, (send, request, read) => exchange(send, request, line, read)),
  );
  const root = url.pathname.replace(/\/$/, '').split('/').map(decodeURIComponent).join('/');
  const pathOf = (name: string) => {
    requireName(name);
    return `${root}/${name}`;
  };

  return {
    url: location.url,

    async put(name, bytes, options = {}) {
      const path = pathOf(name);
      const temporary = pathOf(temporaryName(settings.temporaryToken));
      await putObject(calls, `put ${name}`, temporary, path, bytes, options);
    },

    async get(name, range) {
      const path = pathOf(name);
      if (range?.length !== 0) return calls.download(`get ${name}`, path, range);
      // HTTP knows no range of no bytes.
      return (await calls.find(`get ${name}`, path))?.kind === 'object' ? Buffer.alloc(0) : null;
    },

    async *list(prefix) {
      requirePrefix(prefix);
      const pages = walk(prefix.replace(/\/$/, ''), {
        concurrency: connections,
        maxListed,
        readFolder: (folder, count) => calls.readFolder(root, folder, count),
      });
      for await (const { objects } of pages) yield* objects;
    },

    async stat(name) {
      const found = await calls.find(`look at ${name}`, pathOf(name));
      return found?.kind === 'object' ? { name, sizeBytes: found.sizeBytes } : null;
    },

    async remove(name) {
      await calls.remove(`remove ${name}`, pathOf(name));
    },

    async close() {
      closing.abort(new RemoteError(`use ${location.url}: the remote is closed`, { retryable: false }));
      agents.destroy();
    },
  };
}

/** Under a temporary name first: what a server keeps of an upload that was cut must not look like the object. */
async function putObject(
  calls: WebdavCalls,
  doing: string,
  temporary: string,
  path: string,
  bytes: Uint8Array,
  { signal, onSent, beforeNaming }: PutOptions,
): Promise<void> {
  signal?.throwIfAborted();
  await calls.makeFolder(posix.dirname(temporary));
  try {
    await inFolder(calls, doing, temporary, () =>
      calls.upload(doing, temporary, bytes, { ...(signal && { signal }), ...(onSent && { onSent }) }),
    );
    await beforeNaming?.();
    await calls.makeFolder(posix.dirname(path));
    signal?.throwIfAborted();
    // Without the signal: whether the object has its name must be known when this ends.
    await inFolder(calls, doing, path, () => calls.move(doing, temporary, path));
  } catch (error) {
    await calls.remove(doing, temporary, AbortSignal.timeout(CLEAN_UP_MS)).catch(() => {}); // the first error is the one to tell
    throw error;
  }
}

/** What servers say when there is no folder for the object: 409 (RFC 4918), 404, Apache and nginx 500, rclone 403. */
const MAYBE_NO_FOLDER = [403, 404, 409, 500];

/**
 * Does something in a folder, and once more after making the folder anew when it is gone: some servers know folders only as
 * long as something lies in them.
 * @throws RemoteError, final, when the folder above it is gone as well
 */
async function inFolder(
  calls: WebdavCalls,
  doing: string,
  path: string,
  action: () => Promise<void>,
): Promise<void> {
  const folder = posix.dirname(path);
  try {
    await action();
  } catch (error) {
    const maybe = error instanceof AnswerError && MAYBE_NO_FOLDER.includes(error.status);
    if (!maybe || (await calls.find(doing, folder)) !== null) throw error;
    if (!(await calls.remakeFolder(folder))) {
      const message = `${doing}: the folder of the repository is gone (HTTP ${error.status})`;
      throw new RemoteError(message, { retryable: false, cause: error });
    }
    await action();
  }
}

function refuseClearText(url: URL, insecureHttp: boolean): void {
  if (url.protocol === 'https:' || insecureHttp || isThisMachine(url.hostname)) return;
  throw new UsageError(`open ${url.href}: http:// would send password and data over the network in clear`, {
    hints: [
      `Write https://${url.username && `${url.username}@`}${url.host}${url.pathname} if the server speaks TLS.`,
      '--insecure-http allows it all the same: only for a network you trust.',
    ],
  });
}
