/** Storage at the other end of a line: the least WebDAV server, over a folder, as slow as one wishes. */
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Storage {
  readonly url: string;
  /** Bytes of objects that have arrived, whole or not. */
  receivedBytes(): number;
  /** Bytes of packs that have their final name. */
  packBytes(): number;
  /** Breaks every connection; new ones are taken. */
  cut(): void;
  close(): void;
}

/** @param bytesPerSecond that the line carries towards the storage, over all connections */
export async function openStorage(root: string, bytesPerSecond: number): Promise<Storage> {
  const line = { bytesPerSecond, freeAtMs: 0, receivedBytes: 0 };
  mkdirSync(root);
  const server = createServer((request, response) => {
    const answer = ANSWERS[request.method ?? ''];
    const path = join(root, decodeURIComponent(new URL(request.url ?? '/', 'http://storage').pathname));
    const answered =
      answer === undefined ? status(response, 405) : answer({ request, response, path, root, line });
    // The other end has gone in the middle of it.
    Promise.resolve(answered).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/backups`,
    receivedBytes: () => line.receivedBytes,
    packBytes: () => sizeOf(join(root, 'backups/packs')),
    cut: () => server.closeAllConnections(),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** On the disk. */
  readonly path: string;
  readonly root: string;
  readonly line: { readonly bytesPerSecond: number; freeAtMs: number; receivedBytes: number };
}

/** @see RFC 4918; only what Skylock asks for */
const ANSWERS: Readonly<Record<string, (call: Call) => unknown>> = {
  async PUT({ request, response, path, line }) {
    if (!existsSync(dirname(path))) return status(response, 409);
    const file = createWriteStream(path);
    for await (const bytes of request as AsyncIterable<Buffer>) {
      line.freeAtMs =
        Math.max(performance.now(), line.freeAtMs) + (bytes.length * 1000) / line.bytesPerSecond;
      await sleep(Math.max(0, line.freeAtMs - performance.now()));
      line.receivedBytes += bytes.length;
      file.write(bytes);
    }
    file.end();
    await finished(file);
    return status(response, 201);
  },

  MKCOL({ response, path }) {
    if (existsSync(path)) return status(response, 405);
    if (!existsSync(dirname(path))) return status(response, 409);
    mkdirSync(path);
    return status(response, 201);
  },

  MOVE({ request, response, path, root }) {
    if (!existsSync(path)) return status(response, 404);
    renameSync(path, join(root, decodeURIComponent(new URL(String(request.headers.destination)).pathname)));
    return status(response, 201);
  },

  async GET({ request, response, path }) {
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return status(response, 404);
    const { size } = statSync(path);
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    if (first === undefined) {
      response.writeHead(200, { 'Content-Length': size });
      return pipeline(createReadStream(path), response);
    }
    const [start, end] = [Number(first), Math.min(Number(last), size - 1)];
    if (start > end) return status(response, 416);
    const range = `bytes ${start}-${end}/${size}`;
    response.writeHead(206, { 'Content-Length': end - start + 1, 'Content-Range': range });
    return pipeline(createReadStream(path, { start, end }), response);
  },

  DELETE({ response, path }) {
    if (!existsSync(path)) return status(response, 404);
    rmSync(path, { recursive: true });
    return status(response, 204);
  },

  PROPFIND({ request, response, path }) {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return status(response, 404);
    const href = new URL(request.url ?? '/', 'http://storage').pathname.replace(/\/$/, '');
    const children = stats.isDirectory() && request.headers.depth === '1' ? readdirSync(path) : [];
    const properties = [
      describe(href, path),
      ...children.map((name) => describe(`${href}/${name}`, join(path, name))),
    ];
    response.writeHead(207, { 'Content-Type': 'application/xml' });
    const xml = `<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">${properties.join('')}</D:multistatus>`;
    return pipeline(Readable.from([xml]), response);
  },
};

function describe(href: string, path: string): string {
  const stats = statSync(path);
  const type = stats.isDirectory() ? '<D:resourcetype><D:collection/></D:resourcetype>' : '<D:resourcetype/>';
  const length = stats.isDirectory() ? '' : `<D:getcontentlength>${stats.size}</D:getcontentlength>`;
  const found = `<D:prop>${type}${length}</D:prop><D:status>HTTP/1.1 200 OK</D:status>`;
  return `<D:response><D:href>${href}</D:href><D:propstat>${found}</D:propstat></D:response>`;
}

function status(response: ServerResponse, code: number): void {
  response.writeHead(code).end();
}

function sizeOf(folder: string): number {
  if (!existsSync(folder)) return 0;
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}
