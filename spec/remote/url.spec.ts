import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { UsageError } from '../../lib/errors.ts';
import { formatRemoteUrl, isThisMachine, parseRemoteUrl, type RemoteLocation } from '../../lib/remote/url.ts';

const sftp = { kind: 'sftp', user: null, host: 'box', port: null, path: '/' } as const;

/** What is written, what it means, how it is shown. */
const LOCATIONS: readonly (readonly [string, RemoteLocation, string])[] = [
  ['sftp://box/', sftp, 'sftp://box/'],
  ['sftp://me@box:23/srv/b', { ...sftp, user: 'me', port: 23, path: '/srv/b' }, 'sftp://me@box:23/srv/b'],
  ['SFTP://Box/a/./b//c/', { ...sftp, host: 'Box', path: '/a/b/c' }, 'sftp://Box/a/b/c'],
  ['sftp://box/~/b/c', { ...sftp, path: 'b/c' }, 'sftp://box/~/b/c'],
  ['sftp://box/~', { ...sftp, path: '.' }, 'sftp://box/~/'],
  ['sftp://box/a%20b/100%25/%C3%A9', { ...sftp, path: '/a b/100%/é' }, 'sftp://box/a%20b/100%25/%C3%A9'],
  ['sftp://box/a b/é', { ...sftp, path: '/a b/é' }, 'sftp://box/a%20b/%C3%A9'],
  ['sftp://box/w%3Fh%23', { ...sftp, path: '/w?h#' }, 'sftp://box/w%3Fh%23'],
  ['sftp://box/a:b@c', { ...sftp, path: '/a:b@c' }, 'sftp://box/a%3Ab%40c'],
  ['sftp://me%40work@box/', { ...sftp, user: 'me@work' }, 'sftp://me%40work@box/'],
  ['sftp://[::1]:22/b', { ...sftp, host: '::1', port: 22, path: '/b' }, 'sftp://[::1]:22/b'],
  ['sftp://me@[fe80::1%25eth0]/', { ...sftp, user: 'me', host: 'fe80::1%eth0' }, 'sftp://me@[fe80::1%eth0]/'],
  ['webdavs://me@Box.de/b', { kind: 'webdav', url: 'https://me@box.de/b' }, 'https://me@box.de/b'],
  ['webdavs://box.de', { kind: 'webdav', url: 'https://box.de' }, 'https://box.de'],
  ['https://box.de:443/', { kind: 'webdav', url: 'https://box.de' }, 'https://box.de'],
  [
    'https://box.de:8443/a b/',
    { kind: 'webdav', url: 'https://box.de:8443/a%20b' },
    'https://box.de:8443/a%20b',
  ],
  ['webdav://localhost/~me', { kind: 'webdav', url: 'http://localhost/~me' }, 'http://localhost/~me'],
  ['http://[::1]:80/x', { kind: 'webdav', url: 'http://[::1]/x' }, 'http://[::1]/x'],
  ['file:///srv/a%20b', { kind: 'local', path: '/srv/a b' }, '/srv/a b'],
  ['file://localhost/srv', { kind: 'local', path: '/srv' }, '/srv'],
  ['/srv/a%20b?#', { kind: 'local', path: '/srv/a%20b?#' }, '/srv/a%20b?#'],
  ['b/../c/', { kind: 'local', path: '/here/c' }, '/here/c'],
  ['./me@box:b', { kind: 'local', path: '/here/me@box:b' }, '/here/me@box:b'],
];

const WRONG: readonly (readonly [string, RegExp])[] = [
  ['', /it is empty/],
  ['sftp://box', /the folder is missing/],
  ['sftp:///b', /the host is missing/],
  ['sftp://me@/b', /the host is missing/],
  ['sftp://@box/b', /user name before the '@' is empty/],
  ['sftp:box/b', /'\/\/' is missing/],
  ['https:/box/b', /'\/\/' is missing/],
  ['ftp://box/b', /'ftp' is no kind of remote/],
  ['me@box:b', /is no URL/],
  ['~/b', /'~' is not expanded here/],
  ['sftp://box:0/b', /the port is not a number from 1 to 65535/],
  ['sftp://box:65536/b', /the port is not/],
  ['sftp://box:ssh/b', /the port is not/],
  ['sftp://bo x/b', /the host is not a name/],
  ['sftp://-oProxyCommand=x/b', /the host is not a name/],
  ['sftp://[::1/b', /the host is not a name/],
  ['https://b%6Fx/b', /the host is not a name/],
  ['https://1.2.3.4.5/b', /the host is not a name/],
  ['sftp://box/a?b', /'\?' and '#' have no place/],
  ['https://box/a#b', /'\?' and '#' have no place/],
  ['sftp://box/100%', /the folder is not percent-encoded UTF-8/],
  ['sftp://box/%FF', /the folder is not percent-encoded UTF-8/],
  ['sftp://box/a%00b', /the folder is not percent-encoded UTF-8/],
  ['sftp://box/a\nb', /control character/],
  ['sftp://box/a/../b', /'\.\.' has no place/],
  ['https://box/a/%2e%2E/b', /'\.\.' has no place/],
  ['https://box/a%2Fb', /%2F cannot be part of a name/],
  ['file://box/b', /names no other machine/],
];

const urls = suite('the URL of a remote');

for (const [text, location, shown] of LOCATIONS) {
  urls(`${JSON.stringify(text)} is understood`, () => {
    assert.equal(parseRemoteUrl(text, '/here'), location);
    assert.is(formatRemoteUrl(location), shown);
    assert.equal(parseRemoteUrl(shown, '/elsewhere'), location, 'what is shown means the same');
  });
}

for (const [text, reason] of WRONG) {
  urls(`${JSON.stringify(text)} is refused with its reason`, () => {
    assert.throws(
      () => parseRemoteUrl(text, '/here'),
      (error: unknown) => error instanceof UsageError && reason.test(error.message),
    );
  });
}

for (const text of [
  'sftp://me:hunter2@box/b',
  'https://me:hunter2@box/b',
  'webdavs://me:hun@ter2@box/b',
  'sftp://me:hunter2/x@box/b',
  'sftp://me:hunter2?x@box/b',
  'sftp://me:hunter2#@box/b',
  'sftp://:hunter2@box/b',
]) {
  urls(`a password is refused and not repeated (${text})`, () => {
    try {
      parseRemoteUrl(text, '/here');
      assert.unreachable();
    } catch (error) {
      assert.instance(error, UsageError);
      const { message, hints } = error as UsageError;
      assert.match(message, /a password has no place in it/);
      assert.match(hints.join('\n'), /SKYLOCK_REMOTE_PASSWORD/);
      assert.not.match(`${message}${hints}`, /hun|ter2/);
    }
  });
}

for (const text of [
  'sftp://me:hunter2',
  's3://me:hunter2@bucket/b',
  'me:hunter2@box:b',
  'sftp:me:hunter2@box',
]) {
  urls(`what may be a password is not repeated (${text})`, () => {
    assert.throws(
      () => parseRemoteUrl(text, '/here'),
      (error: unknown) => error instanceof UsageError && !error.message.includes('hunter2'),
    );
  });
}

urls('any folder survives being shown and read again', () => {
  const name = fc
    .string({ unit: 'grapheme', minLength: 1 })
    .filter((text) => !/[/\0-\x1f\x7f]|^\.{1,2}$/.test(text) && text.isWellFormed());
  fc.assert(
    fc.property(fc.array(name, { minLength: 1 }), fc.option(name), (parts, user) => {
      const location = { ...sftp, user, path: `/x/${parts.join('/')}` };
      assert.equal(parseRemoteUrl(formatRemoteUrl(location), '/'), location);
    }),
  );
});

urls('this machine is told from others', () => {
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1', '[::1]'])
    assert.ok(isThisMachine(host), host);
  for (const host of ['box.de', '128.0.0.1', '127.0.0.1.box.de', 'localhost.box.de', '::2', '']) {
    assert.not.ok(isThisMachine(host), host);
  }
});

urls.run();
