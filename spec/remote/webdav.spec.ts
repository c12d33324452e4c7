import type { RequestListener, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError, UsageError } from '../../lib/errors.ts';
import { MAX_GET_BYTES, type Remote } from '../../lib/remote/remote.ts';
import { MAX_LISTED } from '../../lib/remote/walk.ts';
import { parseChallenges } from '../../lib/remote/webdav/credentials.ts';
import { connectionFailure, parseRetryAfter } from '../../lib/remote/webdav/failures.ts';
import { readMultistatus } from '../../lib/remote/webdav/multistatus.ts';
import { openWebdav } from '../../lib/remote/webdav.ts';
import { freePort } from '../helpers/free-port.ts';
import { davInMemory, type HttpServer, multistatus, pathOf, withHttpServer } from '../helpers/http-server.ts';
import { remoteSettings } from '../helpers/remote-settings.ts';
import { failure } from './failure.ts';

const SECRET = 'hunter2-zwölf';

/** Lends a remote on a server that answers with `listener`. */
function withServer(
  listener: RequestListener,
  use: (remote: Remote, server: HttpServer) => Promise<void>,
  { silenceMs = 20_000, maxListed = MAX_LISTED, user = '', folder = '' } = {},
): Promise<void> {
  return withHttpServer(listener, async (server) => {
    const url = server.url.replace('//', user === '' ? '//' : `//${user}@`) + folder;
    const settings = remoteSettings({ password: async () => SECRET });
    const remote = await openWebdav({ kind: 'webdav', url }, settings, { silenceMs, maxListed });
    await use(remote, server).finally(() => remote.close());
  });
}

/** The server in memory, but for requests that `instead` answers (and says so by `true`). */
function davBut(instead: (...exchange: Parameters<RequestListener>) => boolean): RequestListener {
  const { listener } = davInMemory();
  return (request, response) => {
    if (!instead(request, response)) listener(request, response);
  };
}

const answers = suite('what a WebDAV server answers');

for (const status of [400, 408, 423, 425, 429, 500, 502, 503, 504]) {
  answers(`${status} to a put is worth another try`, () =>
    withServer(
      davBut((request, response) => {
        if (request.method === 'PUT') response.writeHead(status).end();
        return request.method === 'PUT';
      }),
      async (remote) => {
        const error = await failure(remote.put('packs/x', Buffer.alloc(1000)));
        assert.ok(error.retryable);
        assert.match(error.message, new RegExp(`^put packs/x: .* \\(HTTP ${status}\\)$`));
        assert.is(error.retryAfterMs, undefined);
      },
    ),
  );
}

for (const [status, reason] of [
  [401, /the user name or the password is wrong|wants a user name/],
  [403, /the server does not allow it/],
  [405, /this is no WebDAV folder/],
  [409, /the folder of the repository is gone/],
  [413, /the object is larger than the server takes/],
  [501, /the server does not know WebDAV/],
  [507, /no space is left, or the quota is used up/],
] as const) {
  answers(`${status} to a put is final`, () =>
    withServer(
      davBut((request, response) => {
        if (request.method === 'PUT') response.writeHead(status).end();
        return request.method === 'PUT';
      }),
      async (remote) => {
        const error = await failure(remote.put('packs/x', Buffer.alloc(1000)));
        assert.not.ok(error.retryable);
        assert.match(error.message, reason);
        if ([401, 403, 405, 413, 507].includes(status)) assert.ok(error.hints.length > 0);
      },
    ),
  );
}

answers('an answer that comes before the whole object has gone is heard, and the line is left', () =>
  withServer(
    davBut((request, response) => {
      if (request.method !== 'PUT') return false;
      request.once('data', () => {
        request.pause();
        response.writeHead(507).end();
      });
      return true;
    }),
    async (remote) => {
      assert.match((await failure(remote.put('x', Buffer.alloc(20_000_000)))).message, /HTTP 507/);
      assert.is(await remote.get('x'), null);
    },
  ),
);

answers('Retry-After is carried along, in seconds and as a date', () =>
  withServer(
    (request, response) => {
      const after = pathOf(request).endsWith('date') ? new Date(Date.now() + 90_000).toUTCString() : '7';
      response.writeHead(503, { 'Retry-After': after }).end();
    },
    async (remote) => {
      assert.is((await failure(remote.get('seconds'))).retryAfterMs, 7000);
      const { retryAfterMs = 0 } = await failure(remote.get('date'));
      assert.ok(retryAfterMs > 30_000 && retryAfterMs <= 90_000, String(retryAfterMs));
    },
  ),
);

for (const [value, expected] of [
  ['0', 0],
  [' 120 ', 120_000],
  ['Wed, 21 Oct 2015 07:28:10 GMT', 10_000],
  ['Wed, 21 Oct 2015 07:27:00 GMT', 0],
  ['-5', null],
  ['1e99', null],
  ['soon', null],
  ['', null],
  [null, null],
] as const) {
  answers(`Retry-After ${JSON.stringify(value)} is ${expected} ms`, () => {
    assert.is(parseRetryAfter(value, Date.UTC(2015, 9, 21, 7, 28)), expected);
  });
}

answers('an object that did not arrive whole never gets its name', () =>
  withServer(
    davBut((request, response) => {
      if (request.method !== 'PROPFIND') return false;
      response.writeHead(207).end(multistatus([{ href: pathOf(request), sizeBytes: 999 }]));
      return true;
    }),
    async (remote, { requests }) => {
      const error = await failure(remote.put('packs/x', Buffer.alloc(1000)));
      assert.ok(error.retryable);
      assert.match(error.message, /999 of 1000 bytes arrived/);
      assert.not.ok(requests.some((line) => line.startsWith('MOVE')));
      assert.match(requests.at(-1) ?? '', /^DELETE \/tmp\/spec-/, 'what did arrive is cleared away');
    },
  ),
);

answers('a server that replaces nothing by MOVE has the old object removed first', () => {
  const { listener, files } = davInMemory();
  return withServer(
    (request, response) => {
      const to = new URL(String(request.headers.destination ?? 'x:/')).pathname;
      if (request.method === 'MOVE' && files.has(to)) response.writeHead(412).end();
      else listener(request, response);
    },
    async (remote) => {
      await remote.put('x', Buffer.from('old'));
      await remote.put('x', Buffer.from('new'));
      assert.is((await remote.get('x'))?.toString(), 'new');
      assert.equal([...files.keys()], ['/x']);
    },
  );
});

answers(
  'folders are made from the lowest that is there, each once, and none above a root that is there',
  () => {
    const folders = new Set(['/dav/']);
    const { listener } = davInMemory();
    return withServer(
      (request, response) => {
        if (request.method !== 'MKCOL') return listener(request, response);
        const path = pathOf(request);
        const above = path.replace(/[^/]+\/$/, '');
        const status = folders.has(path) ? 405 : folders.has(above) ? 201 : 409;
        if (status === 201) folders.add(path);
        return response.writeHead(status).end();
      },
      async (remote, { requests }) => {
        await Promise.all(['a/1', 'a/2', 'b/3'].map((name) => remote.put(name, Buffer.from(name))));
        await remote.put('a/4', Buffer.from('4'));
        const made = requests.filter((line) => line.startsWith('MKCOL')).sort();
        assert.equal(made, [
          'MKCOL /dav/me/',
          'MKCOL /dav/me/a%20b/',
          'MKCOL /dav/me/a%20b/',
          'MKCOL /dav/me/a%20b/a/',
          'MKCOL /dav/me/a%20b/b/',
          'MKCOL /dav/me/a%20b/tmp/',
          'MKCOL /dav/me/a%20b/tmp/',
        ]);
      },
      { folder: '/dav/me/a%20b' },
    );
  },
);

answers.run();

const reading = suite('what a WebDAV server sends');

reading('a server that knows no ranges is read up to the end of the range', () =>
  withServer(
    (_, response) => response.writeHead(200).end(Buffer.from('0123456789')),
    async (remote) => {
      assert.is((await remote.get('x', { offset: 3, length: 4 }))?.toString(), '3456');
      assert.is((await remote.get('x', { offset: 8, length: 4 }))?.toString(), '89');
      assert.is((await remote.get('x', { offset: 20, length: 4 }))?.toString(), '');
    },
  ),
);

reading('a range of another place than was asked for is refused', () =>
  withServer(
    (_, response) => response.writeHead(206, { 'Content-Range': 'bytes 0-3/10' }).end('0123'),
    async (remote) => {
      assert.match((await failure(remote.get('x', { offset: 3, length: 4 }))).message, /another part/);
    },
  ),
);

reading('a range that is longer than was asked for is cut', () =>
  withServer(
    (_, response) => response.writeHead(206, { 'Content-Range': 'bytes 3-9/10' }).end('3456789'),
    async (remote) => {
      assert.is((await remote.get('x', { offset: 3, length: 4 }))?.toString(), '3456');
    },
  ),
);

reading('an object too large for any memory is refused by its size alone', () =>
  withServer(
    (_, response) => {
      response.writeHead(200, { 'Content-Length': String(10 ** 12) });
      response.flushHeaders();
    },
    async (remote) => {
      const error = await failure(remote.get('x'));
      assert.not.ok(error.retryable);
      assert.match(error.message, /larger than any object/);
    },
  ),
);

/** Sends `piece` for as long as anybody listens, after `first`. */
const endless =
  (status: number, piece: Buffer, first = Buffer.alloc(0)): RequestListener =>
  (_, response) => {
    response.writeHead(status);
    response.write(first);
    const more = () => {
      while (!response.destroyed && response.write(piece));
    };
    response.on('drain', more);
    more();
  };

reading('an object that does not end is refused when it gets too large', () =>
  withServer(endless(200, Buffer.alloc(1 << 20)), async (remote) => {
    assert.match((await failure(remote.get('x'))).message, /larger than any object/);
    assert.is((await remote.get('x', { offset: 5, length: 10 }))?.length, 10, 'a range of it can be had');
    const range = { offset: 0, length: MAX_GET_BYTES + 1 };
    assert.match((await failure(remote.get('x', range))).message, /larger than any object/);
  }),
);

reading('a listing that does not end is refused', () =>
  withServer(endless(207, Buffer.from('<x/>'.repeat(10_000))), async (remote) => {
    const error = await failure(Array.fromAsync(remote.list('')));
    assert.not.ok(error.retryable);
    assert.match(error.message, /larger than any/);
  }),
);

for (const prefix of ['D:', '']) {
  reading(`a listing of many objects is read part by part, names beginning with '${prefix}'`, () => {
    const all = Array.from({ length: 5000 }, (_, n) => `o${n}-${'ä'.repeat(n % 7)}`.replaceAll('ä', '_'));
    const one = (name: string) => ({ href: `/dav/${name}`, sizeBytes: 7 });
    const text = multistatus([{ href: '/dav/', sizeBytes: null }, ...all.map(one)]);
    return withServer(
      (_, response) =>
        response.writeHead(207).end(text.replaceAll('D:', prefix).replace('xmlns:=', 'xmlns=')),
      async (remote) => {
        const found = await Array.fromAsync(remote.list(''));
        assert.equal(
          found.map(({ name }) => name),
          all,
        );
      },
      { folder: '/dav' },
    );
  });
}

for (const count of [2, 5000]) {
  const all = Array.from({ length: count }, (_, n) => ({ href: `/o${n}`, sizeBytes: 7 }));
  const text = multistatus([{ href: '/', sizeBytes: null }, ...all]);
  const end = '</D:multistatus>'.length;
  for (const [where, left] of [
    ['inside a tag', 20],
    ['right after a response', end],
    ['after two responses', text.length - text.indexOf('<D:response>', text.indexOf('/o0<'))],
    ['inside its end', 1],
  ] as const) {
    for (const isFramed of [true, false]) {
      const how = isFramed ? 'by the server' : 'with the connection, which may be tried again';
      reading(`a listing of ${count} that ends ${where} is not taken for a shorter one, ended ${how}`, () =>
        withServer(
          (_, response) => {
            response.useChunkedEncodingByDefault = isFramed;
            response.writeHead(207).end(text.slice(0, -left));
          },
          async (remote) => {
            const error = await failure(Array.fromAsync(remote.list('')));
            assert.is(error.retryable, !isFramed, error.message);
          },
        ),
      );
    }
  }
}

for (const [what, change] of [
  ['without a length is taken when it has its end', (text: string) => text],
  ['may go on after its end', (text: string) => `${text}\n<!-- made by hand -->\n`],
  ['may have a space in its end', (text: string) => text.replace('</D:multistatus>', '</D:multistatus\n >')],
] as const) {
  reading(`a listing ${what}`, () =>
    withServer(
      (_, response) => {
        response.useChunkedEncodingByDefault = false;
        const entries = [
          { href: '/', sizeBytes: null },
          { href: '/x', sizeBytes: 7 },
        ];
        response.writeHead(207).end(change(multistatus(entries)));
      },
      async (remote) => {
        assert.equal(await Array.fromAsync(remote.list('')), [{ name: 'x', sizeBytes: 7 }]);
      },
    ),
  );
}

reading('responses without end are refused, whatever they are of', () => {
  const text = multistatus([{ href: '/x y', sizeBytes: 1 }]);
  const end = text.lastIndexOf('</');
  const begin = text.lastIndexOf('<D:response>');
  return withServer(
    endless(207, Buffer.from(text.slice(begin, end)), Buffer.from(text.slice(0, begin))),
    async (remote) => {
      const error = await failure(Array.fromAsync(remote.list('')));
      assert.match(error.message, /there are more than 1000 names/);
    },
    { maxListed: 1000 },
  );
});

reading('an answer that goes on with what is no response is refused', () => {
  const text = multistatus([{ href: '/', sizeBytes: null }]);
  const begin = text.slice(0, text.lastIndexOf('</'));
  const nothing = '<a><response></response></a>'.repeat(40_000);
  return withServer(
    (_, response) => response.writeHead(207).end(`${begin}${nothing}</D:multistatus>`),
    async (remote) => {
      const error = await failure(Array.fromAsync(remote.list('')));
      assert.not.ok(error.retryable);
      assert.match(error.message, /answer is not WebDAV/);
    },
  );
});

for (const more of [0, 1]) {
  reading(
    `an answer ${more === 0 ? 'as long as' : 'longer than'} any may be is ${more ? 'refused' : 'read'}`,
    async () => {
      const text = multistatus([{ href: '/x', sizeBytes: 1 }]) + ' '.repeat(more);
      const chunks = Readable.from([Buffer.from(text.slice(0, 50)), Buffer.from(text.slice(50))]);
      const limits = { maxBytes: Buffer.byteLength(text) - more };
      const parts = Array.fromAsync(readMultistatus('list', { headers: new Headers(), chunks }, limits));
      if (more === 0) assert.is((await parts).length, 1);
      else assert.match((await failure(parts)).message, /larger than any/);
    },
  );
}

for (const body of [
  '<D:multistatus xmlns:D="DAV:"/>',
  '<D:multistatus xmlns:D="DAV:"><D:x>/</D:x></D:multistatus>',
]) {
  reading(`an answer of nothing says not that an object is absent: ${body}`, () =>
    withServer(
      (_, response) => response.writeHead(207).end(body),
      async (remote) => {
        const error = await failure(remote.stat('x'));
        assert.not.ok(error.retryable);
        assert.match(error.message, /^look at x: /);
      },
    ),
  );
}

reading('folders in folders without end are refused', () =>
  withServer(
    (request, response) => {
      const own = pathOf(request);
      const folders = [own, `${own}a/`, `${own}b/`].map((href) => ({ href, sizeBytes: null }));
      response.writeHead(207).end(multistatus(folders));
    },
    async (remote, { requests }) => {
      const error = await failure(Array.fromAsync(remote.list('')));
      assert.not.ok(error.retryable);
      assert.match(error.message, /there are more than 100 names/);
      assert.ok(requests.length < 100, `${requests.length} requests`);
    },
    { maxListed: 100 },
  ),
);

reading('an object that is cut half-way is no object', () =>
  withServer(
    (_, response) => {
      response.writeHead(200, { 'Content-Length': '1000' });
      response.write('half', () => response.destroy());
    },
    async (remote) => {
      assert.ok((await failure(remote.get('x'))).retryable);
    },
  ),
);

reading('only direct children with proper names are listed', () =>
  withServer(
    (request, response) => {
      const file = (href: string) => ({ href, sizeBytes: 7 });
      const answer: Record<string, string> = {
        '/dav/': multistatus([
          { href: '/dav/', sizeBytes: null },
          file('/dav/good'),
          file('http://elsewhere.example/dav/also-good'),
          file('/dav/%67ood-too'),
          file('/dav/../etc/passwd'),
          file('/dav/..'),
          file('/dav/%2e%2e'),
          file('/dav/%2E%2E%2Fpasswd'),
          file('/dav/a%2Fb'),
          file('/dav/deeper/file'),
          file('/dav/with%20space'),
          file('/dav/.hidden'),
          file('/dav/broken%'),
          file('/dav/%ff'),
          file('/dav'),
          file('/davish/x'),
          file('/etc/passwd'),
          file('passwd'),
          { href: '/dav/folder/', sizeBytes: null },
          { href: '/dav/../', sizeBytes: null },
          { href: '/dav/tmp/', sizeBytes: null },
          { href: '/dav/negative', sizeBytes: -1 },
          { href: '/dav/huge', sizeBytes: 1e300 },
        ]),
        '/dav/folder/': multistatus([{ href: '/dav/folder', sizeBytes: null }, file('/dav/folder/inside')]),
      };
      const body = answer[pathOf(request)];
      response.writeHead(body === undefined ? 404 : 207).end(body);
    },
    async (remote, { requests }) => {
      const found = await Array.fromAsync(remote.list(''));
      assert.equal(
        found.map(({ name }) => name),
        ['good', 'also-good', 'good-too', 'folder/inside'],
      );
      assert.equal(requests, ['PROPFIND /dav/', 'PROPFIND /dav/folder/'], 'nothing else was asked for');
    },
    { folder: '/dav' },
  ),
);

reading('a listing of nothing at all is whole, but no empty repository', () =>
  withServer(
    (_, response) => response.writeHead(207).end('<D:multistatus xmlns:D="DAV:" />'),
    async (remote) => {
      assert.match((await failure(Array.fromAsync(remote.list('')))).message, /answers for another folder/);
    },
  ),
);

reading('an answer for another folder is no empty repository', () =>
  withServer(
    (_, response) => response.writeHead(207).end(multistatus([{ href: '/internal/dav/', sizeBytes: null }])),
    async (remote) => {
      assert.match((await failure(Array.fromAsync(remote.list('')))).message, /answers for another folder/);
    },
    { folder: '/dav' },
  ),
);

for (const [what, status, body] of [
  ['a page for people', 200, '<html><body>Welcome</body></html>'],
  ['no XML', 207, 'no XML'],
  ['XML that is cut', 207, '<D:multistatus xmlns:D="DAV:"><D:response><D:hre'],
  ['nothing', 207, ''],
  [
    'entities that multiply',
    207,
    `<!DOCTYPE x [<!ENTITY a "${'a'.repeat(1000)}"><!ENTITY b "${'&a;'.repeat(1000)}">]><D:multistatus xmlns:D="DAV:"><D:response><D:href>${'&b;'.repeat(1000)}</D:href></D:response></D:multistatus>`,
  ],
] as const) {
  reading(`${what} instead of a listing is an error`, () =>
    withServer(
      (_, response) => response.writeHead(status).end(body),
      async (remote) => {
        assert.not.ok((await failure(Array.fromAsync(remote.list('')))).retryable);
      },
    ),
  );
}

reading.run();

const line = suite('the line to a WebDAV server');

for (const verb of ['get', 'put', 'list'] as const) {
  line(`a server that never answers a ${verb} is given up after the silence`, () =>
    withServer(
      () => {},
      async (remote) => {
        const calls = {
          get: () => remote.get('x'),
          put: () => remote.put('x', Buffer.alloc(10)),
          list: () => Array.fromAsync(remote.list('')),
        };
        const error = await failure(calls[verb]());
        assert.ok(error.retryable);
        assert.match(error.message, /the server was silent/);
      },
      { silenceMs: 100 },
    ),
  );
}

line('a server that stops in the middle of an object is given up after the silence', () =>
  withServer(
    (_, response) => {
      response.writeHead(200, { 'Content-Length': '1000' });
      response.write('half');
    },
    async (remote) => {
      assert.match((await failure(remote.get('x'))).message, /the server was silent/);
    },
    { silenceMs: 200 },
  ),
);

line('a server that stops taking an object is given up after the silence', () =>
  withServer(
    davBut((request) => request.method === 'PUT' && request.pause() === request),
    async (remote) => {
      assert.match((await failure(remote.put('x', Buffer.alloc(50_000_000)))).message, /was silent/);
    },
    { silenceMs: 300 },
  ),
);

line('a transfer that is slow but alive takes as long as it takes', () => {
  const { listener, files } = davInMemory();
  return withServer(
    (request, response) => {
      if (request.method === 'PUT') {
        request.on('data', () => {
          request.pause();
          setTimeout(() => request.resume(), 10);
        });
      }
      if (request.method === 'GET') {
        response.writeHead(200, { 'Content-Length': '10' });
        for (let n = 0; n < 10; n += 1) setTimeout(() => response.write('x'), n * 200);
        return;
      }
      listener(request, response);
    },
    async (remote) => {
      await remote.put('x', Buffer.alloc(12_000_000));
      assert.is(files.get('/x')?.length, 12_000_000);
      assert.is((await remote.get('x'))?.length, 10);
    },
    { silenceMs: 1000 },
  );
});

line('connections are kept, and never more than there are lanes', () =>
  withServer(davInMemory().listener, async (remote, server) => {
    await Promise.all(Array.from({ length: 40 }, (_, n) => remote.put(`packs/${n}`, Buffer.alloc(1000))));
    assert.is(server.connections(), 4);
  }),
);

line('a call that waits for a connection can be aborted', () =>
  withServer(
    davBut((request) => request.method === 'PUT'),
    async (remote) => {
      const stop = new AbortController();
      const calls = Array.from({ length: 6 }, (_, n) =>
        remote.put(`${n}`, Buffer.alloc(10), { signal: stop.signal }).then(
          () => null,
          (error: unknown) => error,
        ),
      );
      setTimeout(() => stop.abort(new Error('enough')), 100);
      assert.equal(
        (await Promise.all(calls)).map((error) => (error as Error).message),
        Array(6).fill('enough'),
      );
    },
  ),
);

line('close fails what is under way', () =>
  withServer(
    () => {},
    async (remote) => {
      setTimeout(() => remote.close(), 50);
      assert.match((await failure(remote.get('x'))).message, /the remote is closed/);
    },
  ),
);

line('nobody listening is worth another try', async () => {
  const url = `http://127.0.0.1:${await freePort()}`;
  const remote = await openWebdav({ kind: 'webdav', url }, remoteSettings());
  const error = await failure(remote.get('x'));
  assert.ok(error.retryable);
  assert.match(error.message, /^get x: nobody listens there \(ECONNREFUSED\)$/);
});

line('a redirect to another place is refused before anything goes there', () =>
  withServer(davInMemory().listener, async (_, elsewhere) =>
    withServer(
      (request, response) => response.writeHead(307, { Location: elsewhere.url + pathOf(request) }).end(),
      async (remote) => {
        for (const call of [
          () => remote.get('x'),
          () => remote.put('x', Buffer.from('x')),
          () => remote.stat('x'),
        ]) {
          const error = await failure(call());
          assert.not.ok(error.retryable);
          assert.match(error.message, /redirect/);
        }
        assert.is(elsewhere.connections(), 0);
      },
    ),
  ),
);

line('a redirect to https is told', () =>
  withServer(
    (request, response) =>
      response.writeHead(301, { Location: `https://box.example${pathOf(request)}` }).end(),
    async (remote) => {
      assert.match((await failure(remote.get('x'))).message, /redirect.* https:\/\/box\.example:443/);
    },
  ),
);

for (const [codes, retryable, reason] of [
  [['ENETUNREACH', 'ENETDOWN', 'EADDRNOTAVAIL'], true, /there is no network/],
  [['EHOSTUNREACH', 'EHOSTDOWN'], true, /there is no way to the server/],
  [['EAI_AGAIN', 'EAI_FAIL', 'ENOTFOUND', 'ESERVFAIL', 'ECONNABORTED', 'EMFILE'], true, /^get x: /],
  [['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'], true, /the connection was cut/],
  [['ERR_SOCKET_CONNECTION_TIMEOUT', 'ETIMEDOUT', 'HPE_INVALID_CONSTANT'], true, /^get x: /],
  [['ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC', 'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR'], true, /connection broke/],
  [['ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC'], true, /connection broke/],
  [['ERR_SSL_WRONG_VERSION_NUMBER', 'EPROTO'], false, /no secure connection/],
  [['CERT_HAS_EXPIRED', 'ERR_TLS_CERT_ALTNAME_INVALID'], false, /certificate/],
] as const) {
  line(`${codes.join(', ')}: ${retryable ? 'the next try may help' : 'no other try helps'}`, () => {
    for (const code of codes) {
      const error = connectionFailure('get x', Object.assign(new Error('low level'), { code }));
      assert.instance(error, RemoteError, code);
      assert.is((error as RemoteError).retryable, retryable, code);
      assert.match((error as RemoteError).message, reason);
    }
  });
}

line('what has no code of the line is a bug, and stays one', () => {
  const bug = new TypeError('x is undefined');
  assert.is(connectionFailure('get x', bug), bug);
  const another = Object.assign(new Error('argument'), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.is(connectionFailure('get x', another), another);
});

line('http to another machine is refused unless it is asked for', async () => {
  const open = (url: string, insecureHttp: boolean) =>
    openWebdav({ kind: 'webdav', url }, remoteSettings({ tls: { insecureHttp } }));
  for (const url of ['http://box.example/b', 'http://127.0.0.1.box.example/b']) {
    const error = await open(url, false).then(
      () => null,
      (reason: unknown) => reason,
    );
    assert.instance(error, UsageError);
    assert.match((error as UsageError).hints.join('\n'), /https:\/\/.*\n.*--insecure-http/);
    await (await open(url, true)).close();
  }
  await (await open('https://box.example/b', false)).close();
  await (await open('http://localhost/b', false)).close();
});

line.run();

const login = suite('logging in to a WebDAV server');

/** Lets in who sends the right password as Basic. */
function guarded(challenge: string, seen: string[]): RequestListener {
  const { listener } = davInMemory();
  const right = `Basic ${Buffer.from(`anna:${SECRET}`).toString('base64')}`;
  return (request, response) => {
    seen.push(request.headers.authorization ?? 'none');
    if (request.headers.authorization === right) return listener(request, response);
    request.resume();
    return response.writeHead(401, { 'WWW-Authenticate': challenge }).end();
  };
}

async function withPassword(
  listener: RequestListener,
  user: string,
  password: () => Promise<string | null>,
  use: (remote: Remote) => Promise<void>,
): Promise<void> {
  await withHttpServer(listener, async ({ url }) => {
    const location = { kind: 'webdav', url: url.replace('//', `//${user}`) } as const;
    const remote = await openWebdav(location, remoteSettings({ password }));
    await use(remote).finally(() => remote.close());
  });
}

login('the password is asked for once, however many calls find that the server wants it', async () => {
  const seen: string[] = [];
  let asked = 0;
  const password = async () => {
    asked += 1;
    return SECRET;
  };
  await withPassword(guarded('Basic realm="x"', seen), 'anna@', password, async (remote) => {
    assert.is(asked, 0);
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => remote.get(name)));
    await remote.put('c', Buffer.from('c'));
    assert.is((await remote.get('c'))?.toString(), 'c');
  });
  assert.is(asked, 1);
  assert.ok(seen.filter((authorization) => authorization === 'none').length > 1);
});

const SIX = ['a', 'b', 'c', 'd', 'e', 'f'];

login(
  'a password that is wrong is shown once, however many calls are made at the same time or later',
  async () => {
    const seen: string[] = [];
    const password = async () => 'wrong';
    await withPassword(guarded('Basic realm="x"', seen), 'anna@', password, async (remote) => {
      const errors = await Promise.all(SIX.map((name) => failure(remote.get(name))));
      for (const error of [...errors, await failure(remote.get('x'))]) {
        assert.not.ok(error.retryable);
        assert.match(error.message, /the user name or the password is wrong \(HTTP 401\)/);
      }
    });
    assert.is(seen.filter((authorization) => authorization !== 'none').length, 1);
  },
);

for (const [what, fail] of [
  ['does not answer, and its line breaks', (response: ServerResponse) => response.destroy()],
  ['is too busy', (response: ServerResponse) => response.writeHead(503).end()],
] as const) {
  login(`a password nobody was let in by is shown by another call where the server ${what}`, async () => {
    const guard = guarded('Basic realm="x"', []);
    let [shown, shownMeanwhile] = [0, 0];
    let isAsked = () => {};
    const moody: RequestListener = (request, response) => {
      if (request.headers.authorization === undefined) return guard(request, response);
      shown += 1;
      isAsked();
      if (shown > 1) return guard(request, response);
      // Time for the others to come, if they did not wait.
      return setTimeout(() => {
        shownMeanwhile = shown;
        fail(response);
      }, 100);
    };
    await withPassword(
      moody,
      'anna@',
      async () => SECRET,
      async (remote) => {
        const stop = new AbortController();
        const first = failure(remote.get('a'));
        await new Promise<void>((resolve) => {
          isAsked = resolve;
        });
        const others = SIX.map((name) => remote.get(name));
        const { signal } = stop;
        const aborted = remote.put('x', Buffer.alloc(1), { signal }).catch((error: unknown) => error);
        stop.abort(new Error('enough'));
        assert.is(await aborted, signal.reason);
        assert.ok((await first).retryable);
        assert.equal(await Promise.all(others), Array(6).fill(null));
      },
    );
    assert.is(shownMeanwhile, 1);
  });
}

login('a password that is right lets the others in as soon as the server has said so', async () => {
  const guard = guarded('Basic realm="x"', []);
  let finish = () => {};
  const slow: RequestListener = (request, response) => {
    if (request.headers.authorization === undefined || pathOf(request) !== '/slow')
      return guard(request, response);
    response.writeHead(200).write('be');
    finish = () => response.end('gins');
  };
  await withPassword(
    slow,
    'anna@',
    async () => SECRET,
    async (remote) => {
      const first = remote.get('slow');
      await Promise.all(SIX.map((name) => remote.get(name)));
      finish();
      assert.is(String(await first), 'begins');
    },
  );
});

login('a server that wants no password gets none', async () => {
  const password = async () => assert.unreachable('nobody wanted it') as never;
  await withPassword(davInMemory().listener, 'anna@', password, async (remote) => {
    await remote.put('x', Buffer.from('x'));
  });
});

for (const [what, user, password, hint] of [
  ['a wrong password', 'anna@', 'wrong', /SKYLOCK_REMOTE_PASSWORD/],
  ['no password', 'anna@', null, /SKYLOCK_REMOTE_PASSWORD/],
  ['no user name', '', SECRET, /http:\/\/USER@127/],
] as const) {
  login(`${what} is final, says what to do and shows no secret`, () =>
    withPassword(
      guarded('Basic realm="x"', []),
      user,
      async () => password,
      async (remote) => {
        for (const call of [() => remote.get('x'), () => remote.put('y', Buffer.from('y'))]) {
          const error = await failure(call());
          assert.not.ok(error.retryable);
          assert.match(error.hints.join('\n'), hint);
          assert.not.match(
            `${error.stack} ${JSON.stringify(error)} ${error.cause}`,
            /hunter2|aHVudGVy|wrong"/,
          );
        }
      },
    ),
  );
}

login('a password that was right before and is not any more is worth another try', async () => {
  let strict = false;
  const guard = guarded('Basic realm="x"', []);
  const moody: RequestListener = (request, response) => {
    if (!strict || request.headers.authorization === undefined) return guard(request, response);
    return response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="x"' }).end();
  };
  await withPassword(
    moody,
    'anna@',
    async () => SECRET,
    async (remote) => {
      assert.is(await remote.get('x'), null);
      strict = true;
      const error = await failure(remote.get('x'));
      assert.ok(error.retryable);
      assert.match(error.message, /the user name or the password is wrong \(HTTP 401\)/);
      strict = false;
      assert.is(await remote.get('x'), null);
    },
  );
});

login('a Digest whose nonce the server has forgotten is made anew, if it has once been right', async () => {
  const { listener } = davInMemory();
  let nonce = 'first';
  const attempts: string[] = [];
  const guard: RequestListener = (request, response) => {
    const sent = parseChallenges(request.headers.authorization ?? '')[0]?.parameters.nonce ?? 'none';
    attempts.push(sent);
    if (sent === nonce) return listener(request, response);
    request.resume();
    return response.writeHead(401, { 'WWW-Authenticate': `Digest realm="x", nonce="${nonce}"` }).end();
  };
  await withPassword(
    guard,
    'anna@',
    async () => SECRET,
    async (remote) => {
      assert.is(await remote.get('x'), null);
      nonce = 'second';
      assert.is(await remote.get('x'), null);
      assert.equal(attempts, ['none', 'first', 'first', 'second']);
    },
  );
});

login('a Digest that was never right is tried once', async () => {
  const attempts: string[] = [];
  const guard: RequestListener = (request, response) => {
    attempts.push(request.headers.authorization ?? 'none');
    response.writeHead(401, { 'WWW-Authenticate': `Digest realm="x", nonce="${attempts.length}"` }).end();
  };
  await withPassword(
    guard,
    'anna@',
    async () => SECRET,
    async (remote) => {
      assert.not.ok((await failure(remote.get('x'))).retryable);
      assert.is(attempts.length, 2);
    },
  );
});

login.run();
