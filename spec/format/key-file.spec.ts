import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError, SkylockError, WrongPasswordError } from '../../lib/errors.ts';
import {
  createStretch,
  KDF_PARAMETERS,
  parseKeyFile,
  unwrapMasterKey,
  wrapMasterKey,
} from '../../lib/format/key-file.ts';
import { generateMasterKey } from '../../lib/format/keys.ts';
import {
  assertOnlySkylockErrors,
  assertRejects,
  assertThrows,
  type Json,
  testMaster,
  withFlippedBit,
} from './fixtures.ts';

const REPOSITORY = '3e1f7a52-9c0d-4b6e-8a21-5d4c3b2a1f00';
const OTHER_REPOSITORY = '00000000-9c0d-4b6e-8a21-5d4c3b2a1f00';
/** The least that is allowed, for speed. */
const QUICK = { memoryKib: 8 * 1024, passes: 1, lanes: 1 };
const OPTIONS = {
  repositoryId: REPOSITORY,
  createdAt: new Date('2025-11-07T14:20:30.123Z'),
  label: 'Annas Notebook',
  parameters: QUICK,
};

async function changed(change: (json: Json) => void): Promise<Buffer> {
  const json = JSON.parse((await wrapMasterKey(testMaster(), 'password', OPTIONS)).toString());
  change(json);
  return Buffer.from(JSON.stringify(json));
}

const keyFiles = suite('a key file');

keyFiles('gives the master key for the password', async () => {
  const master = generateMasterKey();
  for (const password of ['password', '', 'pässwörd 🔑', ' with spaces ', 'x'.repeat(5000)]) {
    const bytes = await wrapMasterKey(master, password, OPTIONS);
    assert.equal((await unwrapMasterKey(bytes, password, REPOSITORY)).export(), master.export());
  }
});

keyFiles('uses 64 MiB, three passes and four lanes, unless told otherwise', async () => {
  const bytes = await wrapMasterKey(testMaster(), 'password', {
    repositoryId: REPOSITORY,
    createdAt: new Date(),
  });
  assert.equal(parseKeyFile(bytes).parameters, { memoryKib: 65_536, passes: 3, lanes: 4 });
  assert.equal(KDF_PARAMETERS, parseKeyFile(bytes).parameters);
  assert.equal((await unwrapMasterKey(bytes, 'password', REPOSITORY)).export(), testMaster().export());
});

keyFiles('takes a letter and its accent for the one letter they make', async () => {
  const bytes = await wrapMasterKey(testMaster(), 'caf\u00e9', OPTIONS);
  assert.ok(await unwrapMasterKey(bytes, 'cafe\u0301', REPOSITORY));
});

keyFiles('tells anybody its label and date, and no secret', async () => {
  const bytes = await wrapMasterKey(testMaster(), 'password', OPTIONS);
  const file = parseKeyFile(bytes);
  assert.is(file.label, 'Annas Notebook');
  assert.equal(file.createdAt, new Date('2025-11-07T14:20:30Z'));
  assert.is(file.repositoryId, REPOSITORY);
  const text = bytes.toString();
  assert.not.match(text, /password/);
  assert.not.ok(text.includes(testMaster().export().toString('base64')));
});

keyFiles('is another one each time', async () => {
  const [first, second] = await Promise.all(
    [1, 2].map(async () => parseKeyFile(await wrapMasterKey(testMaster(), 'password', OPTIONS))),
  );
  assert.not.equal(first!.salt, second!.salt);
  assert.not.equal(first!.wrappedKey, second!.wrappedKey);
  assert.not.equal(first!.commitment, second!.commitment);
});

keyFiles('with another password is told from a damaged file', async () => {
  const bytes = await wrapMasterKey(testMaster(), 'password', OPTIONS);
  for (const wrong of ['Password', 'password ', '']) {
    await assertRejects(
      () => unwrapMasterKey(bytes, wrong, REPOSITORY, 'keys/a.json'),
      WrongPasswordError,
      /keys\/a/,
    );
  }
});

keyFiles('belongs to its repository', async () => {
  const bytes = await wrapMasterKey(testMaster(), 'password', OPTIONS);
  await assertRejects(
    () => unwrapMasterKey(bytes, 'password', OTHER_REPOSITORY),
    DamagedError,
    /belongs to repository 3e1f7a52/,
  );
  const moved = await changed((json) => (json.repository_id = OTHER_REPOSITORY));
  await assertRejects(() => unwrapMasterKey(moved, 'password', OTHER_REPOSITORY), DamagedError, /changed/);
});

keyFiles('with a field changed does not open', async () => {
  for (const [change, expected] of [
    [(json: Json) => (json.label = 'Somebody else'), DamagedError],
    [(json: Json) => (json.created_at = '2025-11-07T14:20:31Z'), DamagedError],
    [(json: Json) => (json.wrapped_key = Buffer.alloc(48).toString('base64')), DamagedError],
    [(json: Json) => (json.commitment = Buffer.alloc(32).toString('base64')), WrongPasswordError],
    [(json: Json) => (json.kdf.salt = Buffer.alloc(32).toString('base64')), WrongPasswordError],
    [(json: Json) => (json.kdf.passes = 2), WrongPasswordError],
    [(json: Json) => (json.kdf.lanes = 2), WrongPasswordError],
    [(json: Json) => (json.kdf.memory_kib += 8), WrongPasswordError],
  ] as const) {
    const bytes = await changed(change);
    await assertRejects(() => unwrapMasterKey(bytes, 'password', REPOSITORY), expected);
  }
});

keyFiles('with any byte changed does not open, but for its white space', async () => {
  const bytes = await wrapMasterKey(testMaster(), 'password', OPTIONS);
  const blanks = /\s/;
  for (let position = 0; position < bytes.length; position += 1) {
    const flipped = withFlippedBit(bytes, position, 0);
    const outcome = await unwrapMasterKey(flipped, 'password', REPOSITORY).catch((error: unknown) => error);
    if (outcome instanceof DamagedError || outcome instanceof WrongPasswordError) continue;
    assert.match(String.fromCharCode(bytes[position]!), blanks, `byte ${position}`);
    assert.equal((outcome as ReturnType<typeof testMaster>).export(), testMaster().export());
  }
});

keyFiles('with parameters out of bounds is refused before any work is done', async () => {
  for (const change of [
    (json: Json) => (json.kdf.memory_kib = 8 * 1024 - 1),
    (json: Json) => (json.kdf.memory_kib = 1024 * 1024 + 1),
    (json: Json) => (json.kdf.memory_kib = 2 ** 40),
    (json: Json) => (json.kdf.passes = 0),
    (json: Json) => (json.kdf.passes = 17),
    (json: Json) => (json.kdf.lanes = 0),
    (json: Json) => (json.kdf.lanes = 17),
    (json: Json) => (json.kdf.name = 'argon2d'),
    (json: Json) => delete json.kdf,
    (json: Json) => (json.kdf.salt = Buffer.alloc(31).toString('base64')),
    (json: Json) => (json.kdf.extra = 1),
    (json: Json) => (json.commitment = Buffer.alloc(33).toString('base64')),
    (json: Json) => (json.wrapped_key = Buffer.alloc(47).toString('base64')),
    (json: Json) => (json.label = 'x'.repeat(257)),
    (json: Json) => (json.label = 5),
    (json: Json) => delete json.label,
    (json: Json) => (json.label = '\ud800'),
    (json: Json) => (json.created_at = '2025-02-30T00:00:00Z'),
    (json: Json) => (json.created_at = '2025-11-07 14:20:30'),
    (json: Json) => (json.repository_id = 'x'),
    (json: Json) => (json.format = 0),
    (json: Json) => (json.extra = 1),
  ]) {
    const bytes = await changed(change);
    assertThrows(() => parseKeyFile(bytes), DamagedError);
  }
  assertThrows(() => parseKeyFile(Buffer.alloc(16 * 1024 + 1, ' ')), DamagedError, /too large/);
});

keyFiles('has its password stretched once, with one salt and cost', async () => {
  const stretch = createStretch();
  const kdf = parseKeyFile(await wrapMasterKey(testMaster(), 'password', OPTIONS));
  const { salt, parameters } = kdf;
  const others = [
    await stretch('passwort', kdf),
    await stretch('password', { parameters, salt: Buffer.alloc(32) }),
    await stretch('password', { salt, parameters: { ...parameters, passes: 2 } }),
  ].map(({ commitment }) => commitment.toString('hex'));
  const own = stretch('password', { salt, parameters });
  assert.is(stretch('password', kdf), own);
  assert.equal((await own).commitment, kdf.commitment);
  assert.not(others.includes(kdf.commitment.toString('hex')));
  assert.is(new Set(others).size, 3);
});

keyFiles('of a newer format says so', async () => {
  const bytes = await changed((json) => (json.format = 2));
  assert.throws(
    () => parseKeyFile(bytes),
    (error: unknown) =>
      (error as Error).constructor === SkylockError && /format 2/.test((error as Error).message),
  );
});

keyFiles('is not made with what could not be read again', async () => {
  for (const wrong of [
    { label: 'x'.repeat(257) },
    { parameters: { ...QUICK, passes: 17 } },
    { repositoryId: 'x' },
    { salt: new Uint8Array(31) },
  ]) {
    await assertRejects(
      () => wrapMasterKey(testMaster(), 'password', { ...OPTIONS, ...wrong }),
      SkylockError,
    );
  }
});

keyFiles('out of any bytes is damaged and nothing worse', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (random) =>
      assertThrows(() => parseKeyFile(random), DamagedError),
    ),
  );
  fc.assert(fc.property(fc.json(), (json) => assertOnlySkylockErrors(() => parseKeyFile(Buffer.from(json)))));
});

keyFiles.run();
