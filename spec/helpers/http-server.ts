/** A web server inside the spec, for answers that no real one gives when asked. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HttpServer {
  readonly url: string;
  /** Every request in order, as `PUT /tmp/…`. */
  readonly requests: readonly string[];
  /** How many connections were made. */
  readonly connections: () => number;
}

/** Lends a server that answers with `answer`; a request that is not answered hangs until the end. */
export async function withHttpServer(
  answer: RequestListener,
  use: (server: HttpServer) => Promise<void>,
): Promise<void> {
  const requests: string[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    answer(request, response);
  });
  server.on('connection', () => {
    connections += 1;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    await use({ url: `http://127.0.0.1:${port}`, requests, connections: () => connections });
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

/** The least a WebDAV server has to do, in memory. */
export function davInMemory(files: Map<string, Buffer> = new Map()) {
  const answers: Record<string, (request: IncomingMessage, response: ServerResponse) => void> = {
    MKCOL: (_, response) => response.writeHead(201).end(),
    PUT: async (request, response) => {
      files.set(pathOf(request), Buffer.concat(await request.toArray()));
      response.writeHead(201).end();
    },
    GET: (request, response) => {
      const bytes = files.get(pathOf(request));
      response.writeHead(bytes === undefined ? 404 : 200).end(bytes);
    },
    DELETE: (request, response) => response.writeHead(files.delete(pathOf(request)) ? 204 : 404).end(),
    MOVE: (request, response) => {
      const bytes = files.get(pathOf(request));
      if (bytes === undefined) return response.writeHead(404).end();
      files.set(new URL(String(request.headers.destination)).pathname, bytes);
      files.delete(pathOf(request));
      return response.writeHead(201).end();
    },
    PROPFIND: (request, response) => {
      const bytes = files.get(pathOf(request));
      if (bytes === undefined) return response.writeHead(404).end();
      return response.writeHead(207).end(multistatus([{ href: pathOf(request), sizeBytes: bytes.length }]));
    },
  };
  const listener: RequestListener = (request, response) => {
    request.resume();
    answers[request.method ?? '']?.(request, response);
  };
  return { listener, files };
}

export function pathOf(request: IncomingMessage): string {
  return request.url ?? '';
}

/** @param entries with `sizeBytes` `null` for a folder */
export function multistatus(
  entries: readonly { readonly href: string; readonly sizeBytes: number | null }[],
): string {
  const responses = entries.map(({ href, sizeBytes }) => {
    const properties =
      sizeBytes === null
        ? '<D:resourcetype><D:collection/></D:resourcetype>'
        : `<D:resourcetype/><D:getcontentlength>${sizeBytes}</D:getcontentlength>`;
    const status = '<D:status>HTTP/1.1 200 OK</D:status>';
    return `<D:response><D:href>${href}</D:href><D:propstat><D:prop>${properties}</D:prop>${status}</D:propstat></D:response>`;
  });
  return `<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">${responses.join('')}</D:multistatus>`;
}
