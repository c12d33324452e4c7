import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { authorizer, digestAuthorizer, parseChallenges } from '../../lib/remote/webdav/credentials.ts';

const login = { user: 'Mufasa', password: 'Circle of Life' };
const encrypted = true;

const challenges = suite('the ways to log in that a server offers');

challenges('they are told apart in one header', () => {
  assert.equal(
    parseChallenges(
      'Basic realm="a, Digest b=\\"c\\"", Digest realm=x, qop="auth,auth-int",nonce="=, =", stale=TRUE',
    ),
    [
      { scheme: 'basic', parameters: { realm: 'a, Digest b="c"' } },
      { scheme: 'digest', parameters: { realm: 'x', qop: 'auth,auth-int', nonce: '=, =', stale: 'TRUE' } },
    ],
  );
  assert.equal(parseChallenges('Negotiate, NTLM'), [
    { scheme: 'negotiate', parameters: {} },
    { scheme: 'ntlm', parameters: {} },
  ]);
  assert.equal(parseChallenges(''), []);
  assert.equal(parseChallenges('realm="no scheme"'), []);
});

for (const [header, isEncrypted, expected] of [
  ['Basic realm="x"', encrypted, /^Basic /],
  ['Basic realm="x"', !encrypted, /^Basic /],
  ['Digest realm="x", nonce="n"', encrypted, /^Digest /],
  ['Digest realm="x", nonce="n", Basic realm="x"', encrypted, /^Basic /],
  ['Basic realm="x", Digest realm="x", nonce="n"', !encrypted, /^Digest /],
  [
    'Digest realm="x", nonce="n", algorithm=SHA-999, Digest realm="x", nonce="n", algorithm=MD5',
    encrypted,
    /=MD5/,
  ],
  ['Basic realm="x", Digest realm="x", nonce="n", qop="auth-int"', !encrypted, /^Basic /],
] as const) {
  challenges(
    `${header} is answered by ${expected} on ${isEncrypted ? 'an encrypted' : 'a clear'} line`,
    () => {
      assert.match(authorizer(parseChallenges(header), login, isEncrypted)?.('GET', '/') ?? '', expected);
    },
  );
}

challenges('what is not known here is not answered', () => {
  for (const header of [
    'Negotiate',
    'Bearer realm="x"',
    'Digest realm="x"',
    'Digest nonce="n", algorithm=token',
  ]) {
    assert.is(authorizer(parseChallenges(header), login, encrypted), null);
  }
});

challenges.run();

const digest = suite('Digest');

/** RFC 7616, section 3.9.1 */
const RFC_7616 = {
  realm: 'http-auth@example.org',
  nonce: '7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v',
  opaque: 'FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS',
  qop: 'auth, auth-int',
};
const cnonce = () => 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ';

for (const [algorithm, response] of [
  ['MD5', '8ca523f5e9506fed4657c9700eebdbec'],
  ['SHA-256', '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1'],
] as const) {
  digest(`it answers as the example of RFC 7616 does with ${algorithm}`, () => {
    const challenge = { scheme: 'digest', parameters: { ...RFC_7616, algorithm } };
    const header = digestAuthorizer(challenge, login, cnonce)?.('GET', '/dir/index.html') ?? '';
    const [answer] = parseChallenges(header);
    assert.equal(answer, {
      scheme: 'digest',
      parameters: {
        username: 'Mufasa',
        realm: RFC_7616.realm,
        nonce: RFC_7616.nonce,
        uri: '/dir/index.html',
        response,
        cnonce: cnonce(),
        opaque: RFC_7616.opaque,
        algorithm,
        qop: 'auth',
        nc: '00000001',
      },
    });
  });
}

digest(
  'it answers as the example of RFC 2069 does, in its corrected form, where the server knows no qop',
  () => {
    const parameters = {
      realm: 'testrealm@host.com',
      nonce: 'dcd98b7102dd2f0e8b11d0f600bfb0c093',
      opaque: 'o',
    };
    const authorize = digestAuthorizer(
      { scheme: 'digest', parameters },
      { user: 'Mufasa', password: 'CircleOfLife' },
    );
    assert.is(
      authorize?.('GET', '/dir/index.html'),
      'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", ' +
        'uri="/dir/index.html", response="1949323746fe6a43ef61f9606e7febea", opaque="o"',
    );
  },
);

digest('it counts the requests with one nonce', () => {
  const authorize = digestAuthorizer({ scheme: 'digest', parameters: RFC_7616 }, login);
  const count = () => parseChallenges(authorize?.('GET', '/') ?? '')[0]?.parameters.nc;
  assert.equal([count(), count(), count()], ['00000001', '00000002', '00000003']);
});

digest.run();
