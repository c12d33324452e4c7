import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  DamagedError,
  NoRepositoryError,
  RemoteError,
  SkylockError,
  WrongPasswordError,
} from '../../lib/errors.ts';
import { type KeyName, wrapMasterKey } from '../../lib/format/key-file.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import { createRepository, keyId, refuseExisting, repositoryExists } from '../../lib/repository/create.ts';
import { type KeyMemory, openRepository } from '../../lib/repository/open.ts';
import { assertRejects, type Json, withFlippedBit } from '../format/fixtures.ts';
import { failingRemote } from '../helpers/failing-remote.ts';

const NOW = new Date('2025-11-07T14:20:30Z');
/** As little as is allowed, for specs that try many. */
const CHEAP = { memoryKib: 8 * 1024, passes: 1, lanes: 1 };

const secret = (password: string) => async () => password;
const create = (remote = memoryRemote(), password = 'correct horse') =>
  createRepository(remote, { password, label: 'a label', now: NOW });

const MADE = memoryRemote();
const CREATED = await create(MADE);

/** A copy of one with the password 'correct horse': to make each anew would take most of the time. */
function madeRemote() {
  return memoryRemote(new Map(MADE.objects));
}

/** The parts of a repository that is there: config, key files. */
function partsOf(objects: Map<string, Buffer>): string[] {
  return [...objects.keys()].map((name) => name.replace(/[0-9a-f]{16}\.json/, '<id>.json'));
}

const made = suite('a repository that is made');

made('is a config and a key file, and can be opened with its password', async () => {
  const remote = memoryRemote();
  const created = await create(remote);
  assert.equal(partsOf(remote.objects), ['keys/<id>.json', 'skylock.json']);
  const opened = await openRepository(remote, secret('correct horse'));
  assert.equal(opened.config, { ...created.config, mac: (opened.config as Json).mac });
  assert.equal(opened.keys.master.export(), created.keys.master.export());
});

made('names its key file by its content', async () => {
  const remote = memoryRemote();
  await create(remote);
  const [[name, bytes] = ['', Buffer.alloc(0)]] = remote.objects;
  assert.is(name, `keys/${keyId(bytes)}.json`);
});

made('has an id and keys of its own', async () => {
  const [one, other] = [await create(), await create()];
  assert.is.not(one.config.repositoryId, other.config.repositoryId);
  assert.not(one.keys.master.equals(other.keys.master));
});

made('may have chunks of other sizes, which it keeps', async () => {
  const remote = memoryRemote();
  const chunker = { min: 1024, avg: 2048, max: 8192 };
  await createRepository(remote, { password: 'p', label: '', now: NOW, chunker });
  const { config } = await openRepository(remote, secret('p'));
  assert.equal(config.chunker, chunker);
  assert.is(config.manifestChunker.avg, 64 * 1024);
});

made('is never made where there is one', async () => {
  const remote = memoryRemote();
  assert.is(await repositoryExists(remote), false);
  await refuseExisting(remote);
  await create(remote);
  assert.is(await repositoryExists(remote), true);
  const before = [...remote.objects];
  await assertRejects(
    () => create(remote),
    SkylockError,
    /^make repository at memory:: there is one already$/,
  );
  await assertRejects(() => refuseExisting(remote), SkylockError);
  assert.equal([...remote.objects], before);
});

for (const call of [1, 2]) {
  for (const when of ['before', 'after'] as const) {
    made(
      `and cut short ${when} put ${call} is none, or whole, and can be made again if it is none`,
      async () => {
        const remote = memoryRemote();
        const failing = failingRemote(remote, [{ verb: 'put', call, when }]);
        await assertRejects(
          () => createRepository(failing, { password: 'p', label: '', now: NOW }),
          RemoteError,
        );
        const isWhole = call === 2 && when === 'after';
        assert.is(await repositoryExists(remote), isWhole);
        if (isWhole) return void (await openRepository(remote, secret('p')));
        await assertRejects(() => openRepository(remote, secret('p')), NoRepositoryError);
        const created = await createRepository(remote, { password: 'p', label: '', now: NOW });
        // The key file that was left over fits no repository, and does not stand in the way of the one that does.
        const opened = await openRepository(remote, secret('p'));
        assert.equal(opened.keys.master.export(), created.keys.master.export());
      },
    );
  }
}

made.run();

const opening = suite('a repository that is opened');

opening('where there is none says so, and asks for no password', async () => {
  await assertRejects(
    () => openRepository(memoryRemote(), async () => assert.unreachable() as never),
    NoRepositoryError,
    /^open repository at memory:: there is none$/,
  );
});

opening('with the wrong password says so', async () => {
  const remote = madeRemote();
  await assertRejects(() => openRepository(remote, secret('wrong')), WrongPasswordError, /wrong password$/);
});

opening('takes any of its passwords', async () => {
  const remote = madeRemote();
  const { keys, config } = CREATED;
  const options = { repositoryId: config.repositoryId, createdAt: NOW, parameters: CHEAP };
  const second = await wrapMasterKey(keys.master, 'second', options);
  remote.objects.set(`keys/${keyId(second)}.json`, second);
  for (const password of ['correct horse', 'second']) {
    const opened = await openRepository(remote, secret(password));
    assert.equal(opened.keys.master.export(), keys.master.export());
  }
  await assertRejects(() => openRepository(remote, secret('third')), WrongPasswordError);
});

opening('goes past a damaged key file where another fits, and tells of it where none does', async () => {
  const remote = madeRemote();
  remote.objects.set('keys/0000000000000000.json', Buffer.from('{}'));
  await openRepository(remote, secret('correct horse'));
  await assertRejects(
    () => openRepository(remote, secret('wrong')),
    DamagedError,
    /keys\/0000000000000000\.json/,
  );
});

opening('without any key file says that they are gone', async () => {
  const remote = madeRemote();
  for (const name of remote.objects.keys()) if (name.startsWith('keys/')) remote.objects.delete(name);
  await assertRejects(
    () => openRepository(remote, secret('correct horse')),
    DamagedError,
    /it has no key file$/,
  );
});

opening('tries no more key files than people have passwords: each costs 64 MiB and a while', async () => {
  const remote = madeRemote();
  const { keys, config } = CREATED;
  const first = [...remote.objects].filter(([name]) => name.startsWith('keys/'));
  for (const [name] of first) remote.objects.delete(name);
  const options = { repositoryId: config.repositoryId, createdAt: NOW, parameters: CHEAP };
  const one = await wrapMasterKey(keys.master, 'another', options);
  for (let index = 0; index < 40; index += 1) remote.objects.set(`keys/${index}.json`, one);
  const watched = failingRemote(remote, []);
  const error = await openRepository(watched, secret('wrong')).catch((thrown: unknown) => thrown);
  assert.instance(error, WrongPasswordError);
  assert.match((error as WrongPasswordError).hints.join(' '), 'It has 40 key files, of which 32 were tried');
  assert.is(watched.calls.filter((call) => call.startsWith('get keys/')).length, 32);
});

opening('tries cheap key files before dear ones, whatever they are named', async () => {
  const remote = madeRemote();
  const { keys, config } = CREATED;
  const [[name, bytes]] = [...remote.objects].filter(([name]) => name.startsWith('keys/')) as [
    [string, Buffer],
  ];
  const dear = JSON.parse(bytes.toString());
  dear.kdf.memory_kib = 1024 * 1024;
  dear.kdf.passes = 16;
  for (let index = 0; index < 30; index += 1) {
    remote.objects.set(`keys/${index}.json`, Buffer.from(JSON.stringify(dear)));
  }
  remote.objects.delete(name);
  remote.objects.set('keys/zz.json', bytes);
  const opened = await openRepository(remote, secret('correct horse'));
  assert.equal(opened.keys.master.export(), keys.master.export());
  assert.is(opened.config.repositoryId, config.repositoryId);
});

opening('passes over a key file with absurd parameters, and says so where there is no other', async () => {
  for (const [field, value] of [
    ['memory_kib', 2 ** 31],
    ['passes', 1e6],
    ['lanes', 4096],
    ['memory_kib', 8],
  ] as const) {
    const remote = madeRemote();
    const [[name, bytes]] = [...remote.objects].filter(([name]) => name.startsWith('keys/')) as [
      [string, Buffer],
    ];
    const absurd = JSON.parse(bytes.toString());
    absurd.kdf[field] = value;
    remote.objects.set('keys/absurd.json', Buffer.from(JSON.stringify(absurd)));
    await openRepository(remote, secret('correct horse'));
    remote.objects.delete(name);
    await assertRejects(
      () => openRepository(remote, secret('correct horse')),
      DamagedError,
      new RegExp(`keys/absurd.json: kdf: ${field} is not a whole number from`),
    );
  }
});

opening('leaves other files among the keys alone', async () => {
  const remote = memoryRemote(new Map([['keys/README.txt', Buffer.from('these are keys')], ...MADE.objects]));
  const watched = failingRemote(remote, []);
  await openRepository(watched, secret('correct horse'));
  assert.not(watched.calls.includes('get keys/README.txt'));
});

opening('whose config was changed is refused', async () => {
  const remote = madeRemote();
  const config = JSON.parse(remote.objects.get('skylock.json')!.toString());
  config.chunker.avg *= 2;
  remote.objects.set('skylock.json', Buffer.from(JSON.stringify(config)));
  await assertRejects(
    () => openRepository(remote, secret('correct horse')),
    DamagedError,
    /^open repository: skylock\.json has been changed$/,
  );
});

opening(
  'whose config is of a newer format, or none at all, is refused before a password is asked for',
  async () => {
    const remote = memoryRemote();
    await create(remote);
    const asked = async () => assert.unreachable() as never;
    const config = JSON.parse(remote.objects.get('skylock.json')!.toString());
    remote.objects.set('skylock.json', Buffer.from(JSON.stringify({ ...config, format: 2 })));
    await assertRejects(
      () => openRepository(remote, asked),
      SkylockError,
      /it has format 2, this Skylock knows format 1$/,
    );
    remote.objects.set('skylock.json', Buffer.from('no config'));
    await assertRejects(() => openRepository(remote, asked), DamagedError);
  },
);

opening('holds little of a config or key file that is much too long', async () => {
  const remote = madeRemote();
  const lengths: number[] = [];
  const get: typeof remote.get = async (name, range) => {
    const bytes = await remote.get(name, range);
    lengths.push(bytes?.length ?? 0);
    return bytes;
  };
  for (const name of remote.objects.keys()) remote.objects.set(name, Buffer.alloc(1024 * 1024, ' '));
  await assertRejects(() => openRepository({ ...remote, get }, secret('p')), DamagedError, /too large/);
  assert.ok(Math.max(...lengths) < 20_000);
});

opening('of which one bit of the key file was flipped cannot be opened', async () => {
  const remote = madeRemote();
  const [name, bytes] = [...remote.objects].find(([one]) => one.startsWith('keys/'))!;
  const at = bytes.indexOf('wrapped_key') + 'wrapped_key": "'.length + 3;
  remote.objects.set(name, withFlippedBit(bytes, at, 0));
  await assertRejects(() => openRepository(remote, secret('correct horse')), SkylockError);
});

/** A memory of what is kept last. */
function memoryOf(key: KeyName | null): KeyMemory & { kept: KeyName | null } {
  return {
    kept: null,
    recall: () => key,
    keep(used) {
      this.kept = used;
    },
  };
}

opening('again asks for the password, once, before the remote has answered', async () => {
  const remote = madeRemote();
  const memory = memoryOf(null);
  await openRepository(remote, secret('correct horse'), memory);
  let asked = 0;
  const askPassword = async () => {
    asked += 1;
    return 'correct horse';
  };
  const answer: typeof remote.get = async (name, range) => {
    assert.is(asked, 1);
    return remote.get(name, range);
  };
  const list: typeof remote.list = () => assert.unreachable() as never;
  const again = { ...remote, get: answer, list };
  const opened = await openRepository(again, askPassword, memoryOf(memory.kept));
  assert.equal([asked, opened.keys.master.export()], [1, CREATED.keys.master.export()]);
});

opening('again asks for the password before there is a remote to ask, and only again', async () => {
  const remote = madeRemote();
  const memory = memoryOf(null);
  await openRepository(remote, secret('correct horse'), memory);
  for (const [recalled, expected] of [
    [memory.kept, 1],
    [null, 0],
  ] as const) {
    const connected = Promise.withResolvers<typeof remote>();
    let asked = 0;
    const askPassword = async () => {
      asked += 1;
      return 'correct horse';
    };
    const opened = openRepository(connected.promise, askPassword, memoryOf(recalled));
    await new Promise(setImmediate);
    assert.is(asked, expected);
    connected.resolve(remote);
    await opened;
    assert.is(asked, 1);
  }
});

opening('for the first time after it was made does not look for its key file', async () => {
  const remote = memoryRemote();
  const memory = memoryOf(null);
  const { keys } = await createRepository(remote, { password: 'p', label: '', now: NOW }, memory);
  const list: typeof remote.list = () => assert.unreachable() as never;
  const opened = await openRepository({ ...remote, list }, secret('p'), memoryOf(memory.kept));
  assert.equal(opened.keys.master.export(), keys.master.export());
});

opening('under a password that was changed meanwhile does as if it had never been opened', async () => {
  const { keys, config } = CREATED;
  const remote = memoryRemote(new Map([...MADE.objects].filter(([name]) => name === 'skylock.json')));
  const memory = memoryOf(null);
  await openRepository(madeRemote(), secret('correct horse'), memory);
  const options = { repositoryId: config.repositoryId, createdAt: NOW, parameters: CHEAP };
  const second = await wrapMasterKey(keys.master, 'second', options);
  remote.objects.set(`keys/${keyId(second)}.json`, second);
  const later = memoryOf(memory.kept);
  await assertRejects(() => openRepository(remote, secret('correct horse'), later), WrongPasswordError);
  assert.is(later.kept, null);
  const opened = await openRepository(remote, secret('second'), later);
  assert.equal(opened.keys.master.export(), keys.master.export());
  assert.equal(later.kept?.kdf.parameters, CHEAP);
});

opening('again where it is gone says so, whatever became of the password', async () => {
  const memory = memoryOf(null);
  await openRepository(madeRemote(), secret('correct horse'), memory);
  const noPassword = async () => {
    throw new SkylockError('read password: there is none');
  };
  await assertRejects(
    () => openRepository(memoryRemote(), noPassword, memoryOf(memory.kept)),
    NoRepositoryError,
  );
  await assertRejects(
    () => openRepository(madeRemote(), noPassword, memoryOf(memory.kept)),
    SkylockError,
    /^read password: there is none$/,
  );
});

opening('over a line that breaks fails as the line does', async () => {
  const remote = madeRemote();
  for (const verb of ['get', 'list'] as const) {
    const failing = failingRemote(remote, [{ verb, call: 1 }]);
    await assertRejects(
      () => openRepository(failing, secret('correct horse')),
      RemoteError,
      /the line was cut/,
    );
  }
});

opening.run();
