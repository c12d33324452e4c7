import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError } from '../../lib/errors.ts';
import { isName } from '../../lib/remote/name.ts';
import { authorizer, parseChallenges } from '../../lib/remote/webdav/credentials.ts';
import { parseRetryAfter } from '../../lib/remote/webdav/failures.ts';
import { readFound, readPage } from '../../lib/remote/webdav/listing.ts';
import { readMultistatus } from '../../lib/remote/webdav/multistatus.ts';
import { anyBytes, anyChangeOf, holds, holdsInTime, readOrRefuse } from './fuzz.ts';

const LISTING = `<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:" xmlns:ns0="DAV:">
<D:response><D:href>/backups/packs/</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>
<D:response><D:href>/backups/packs/ab/</D:href><D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>
<D:response><D:href>http://host/backups/packs/object</D:href><D:propstat><D:prop><D:resourcetype/><D:getcontentlength>1234</D:getcontentlength></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>
</D:multistatus>`;

/** The server says where the answer ends. */
const headers = new Headers({ 'Content-Length': '1' });

/** Tags and names are cut by them. */
const PIECE_BYTES = 100;

/** What a hostile server may call what lies in the folder. */
const HREFS = [
  '../../etc/passwd',
  '..%2F..%2Fetc%2Fpasswd',
  '%2e%2e/x',
  '.hidden',
  'a%00b',
  'a/b/c',
  'a%2Fb',
  '//host/x',
  'http://elsewhere/backups/packs/x',
  '%',
  '%ff%fe',
  'a\\b',
  'a&#10;b',
  'a&#x202e;b',
  'x'.repeat(5000),
  '__proto__',
  'constructor',
];

/** As the adapter reads an answer, whole and part by part. */
async function read(text: string): Promise<void> {
  for (const partLength of [text.length + 1, 1]) await readParts(text, partLength);
}

async function readParts(text: string, partLength: number): Promise<void> {
  async function* pieces(): AsyncGenerator<Buffer> {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
  }
  const parts = () => readMultistatus('list packs', { headers, chunks: pieces() }, { partLength });
  const page = await answerOrRefuse(readPage(parts(), '/backups', 'packs', () => {}));
  for (const name of page?.folders ?? []) assert.ok(isName(name) && name.startsWith('packs/'));
  for (const { name, sizeBytes } of page?.objects ?? []) {
    assert.ok(isName(name) && name.split('/').length === 2 && name.startsWith('packs/'), name);
    assert.ok(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0);
  }
  const found = await answerOrRefuse(readFound('look at packs', parts()));
  if (found?.kind === 'object') assert.ok(Number.isSafeInteger(found.sizeBytes) && found.sizeBytes >= 0);
}

async function answerOrRefuse<Value>(answer: Promise<Value>): Promise<Value | null> {
  const settled = await Promise.allSettled([answer]);
  return readOrRefuse(() => {
    const [one] = settled;
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  }, RemoteError);
}

const listing = suite('any listing of a WebDAV server');

listing('is read as names below the folder that was asked for, or refused', async () => {
  const tags = LISTING.split(/(?<=>)|(?=<)/);
  const anyListing = fc.oneof(
    anyChangeOf(Buffer.from(LISTING)).map(String),
    fc
      .array(
        fc.constantFrom(...tags, '<a>', '</a>', '<D:multistatus/>', '<![CDATA[', ']]>', '&amp;', '<!--'),
        { maxLength: 30 },
      )
      .map((all) => all.join('')),
    anyBytes(['<?xml version="1.0"?>', '<D:multistatus xmlns:D="DAV:">']).map(String),
  );
  await holdsInTime(fc.asyncProperty(anyListing, read), 1500);
});

listing('with hostile names gives none of them', async () => {
  const anyHref = fc.oneof(fc.constantFrom(...HREFS), fc.string({ unit: 'binary' }).map(encodeURI));
  await holdsInTime(
    fc.asyncProperty(fc.array(anyHref, { maxLength: 5 }), async (hrefs) => {
      const more = hrefs.map(
        (href) =>
          `<D:response><D:href>/backups/packs/${href}</D:href><D:propstat><D:prop><D:resourcetype/><D:getcontentlength>1</D:getcontentlength></D:prop></D:propstat></D:response>`,
      );
      await read(LISTING.replace('</D:multistatus>', `${more.join('')}</D:multistatus>`));
    }),
  );
});

listing('that unfolds, or is nested without an end, is no trouble', async () => {
  const entities = Array.from({ length: 30 }, (_, n) => `<!ENTITY a${n + 1} "${`&a${n};`.repeat(10)}">`).join(
    '',
  );
  const laughs = `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">${entities}]><D:multistatus xmlns:D="DAV:"><D:response><D:href>&a30;</D:href></D:response></D:multistatus>`;
  const nested = `<D:multistatus xmlns:D="DAV:">${'<D:response>'.repeat(200_000)}`;
  const closed = `<D:multistatus xmlns:D="DAV:">${'<a>'.repeat(50_000)}${'</a>'.repeat(50_000)}</D:multistatus>`;
  for (const text of [laughs, nested, closed]) await read(text);
});

listing('that is long, or comes byte by byte, is read in the time it takes', async () => {
  async function* pieces(bytes: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
  }
  const refused = async (text: string, pieceBytes: number) => {
    const chunks = pieces(Buffer.from(text), pieceBytes);
    const parts = readMultistatus('list', { headers, chunks });
    assert.is(await answerOrRefuse(Array.fromAsync(parts)), null);
  };
  for (const piece of ['<D:multistatus ', '<D:', '</D:response ', '<', ' ', 'a']) {
    await refused(piece.repeat(2_000_000), Number.POSITIVE_INFINITY);
  }
  await refused('<a '.repeat(350_000), 1);
});

listing.run();

const anyHeaders = suite('any header of a WebDAV server');

anyHeaders('that offers ways to log in is answered by one that is known, or by none', () => {
  const parts = [
    'Digest',
    'Basic',
    'realm=',
    'nonce=',
    'algorithm=',
    'qop=',
    'opaque=',
    '"x"',
    'MD5',
    'SHA-256-sess',
    'constructor',
    '__proto__',
    'toString',
    'auth',
    '"auth,auth-int"',
    ', ',
    '=',
    '"',
    '\\',
    ' ',
  ];
  const anyHeader = fc.oneof(
    fc.array(fc.constantFrom(...parts), { maxLength: 20 }).map((all) => all.join(' ')),
    fc.array(fc.constantFrom(...parts), { maxLength: 20 }).map((all) => all.join('')),
    anyChangeOf(Buffer.from('Digest realm="a", nonce="b", algorithm=MD5, qop="auth", Basic realm="a"')).map(
      String,
    ),
  );
  holds(
    fc.property(anyHeader, fc.boolean(), (header, isEncrypted) => {
      const authorize = authorizer(parseChallenges(header), { user: 'u', password: 'p' }, isEncrypted);
      if (authorize !== null) assert.match(authorize('GET', '/x'), /^(Basic|Digest) /);
    }),
    2000,
  );
  for (const algorithm of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    const challenges = parseChallenges(`Digest realm="a", nonce="b", algorithm=${algorithm}`);
    assert.is(authorizer(challenges, { user: 'u', password: 'p' }, true), null, algorithm);
  }
});

anyHeaders('that is very long is read in the time it takes', () => {
  for (const piece of ['a', 'a=', 'a="', '\\', 'a b ', ',', '="\\"']) {
    parseChallenges(piece.repeat(60_000));
  }
});

anyHeaders('that says when to come again is a time from now on, or none', () => {
  const anyDate = fc.date({ noInvalidDate: true }).map((date) => date.toUTCString());
  holds(
    fc.property(fc.oneof(fc.string(), fc.integer().map(String), anyDate), (value) => {
      const ms = parseRetryAfter(value, Date.now());
      assert.ok(ms === null || (ms >= 0 && Number.isFinite(ms)));
    }),
    1000,
  );
});

anyHeaders.run();
