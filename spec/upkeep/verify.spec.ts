import { hash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError, SkylockError } from '../../lib/errors.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import { seededBytes } from '../format/fixtures.ts';
import { DAMAGES, damage, swap } from './damages.ts';
import {
  CHECKPOINT_ID,
  type Contents,
  contentsOf,
  placesIn,
  publishAs,
  type Stored,
  verifyStored,
  withStored,
} from './fixtures.ts';

const whole = suite('a repository that is whole');

whole('has no finding, and no note', async () => {
  await withStored(async (stored) => {
    const { told, backups, indexes, packs, readPacks, bytes, readBytes } = await verifyStored(stored);
    assert.equal(told, []);
    assert.equal(
      [backups, indexes, packs],
      [3, stored.names('index/').length, stored.names('packs/').length],
    );
    assert.equal([readPacks, readBytes], [packs, bytes]);
  });
});

whole('is looked at without a pack being fetched, unless that is asked for', async () => {
  await withStored(async (stored) => {
    const manifestPacks = await packsOfManifests(stored);
    const got = new Set<string>();
    const remote = memoryRemote(stored.objects);
    const counting = {
      ...remote,
      get(...args: Parameters<typeof remote.get>) {
        got.add(args[0]);
        return remote.get(...args);
      },
    };
    const { readPacks } = await verifyStored(stored, { readShare: 0 }, counting);
    assert.is(readPacks, 0);
    const packs = [...got].filter((name) => name.startsWith('packs/'));
    assert.ok(
      packs.every((name) => manifestPacks.has(name)),
      'lists of files are all that is read',
    );
  });
});

whole('is read by shares', async () => {
  await withStored(async (stored) => {
    const { readPacks, packs, chosenPacks } = await verifyStored(stored, { readShare: 0.2 });
    assert.is(readPacks, Math.ceil(packs * 0.2));
    assert.is(new Set(chosenPacks).size, readPacks);
    assert.ok(chosenPacks.every((name) => stored.names('packs/').includes(name)));
  });
});

whole('has notes of what nobody needs', async () => {
  await withStored(async (stored) => {
    const { objects, backupIds } = stored;
    const noise = seededBytes(3000, 'noise');
    const sha256 = hash('sha256', noise);
    const strays = [
      'strange',
      'packs/zz/strange',
      'backups/strange',
      'tmp/1.abc',
      'damaged/packs-aa-bb',
      'other/one',
    ];
    for (const name of [...strays, `packs/${sha256.slice(0, 2)}/${sha256}`]) objects.set(name, noise);
    objects.set(`resume/${backupIds[0]}`, objects.get(`resume/${CHECKPOINT_ID}`)!);
    const { told, findings, notes } = await verifyStored(stored, { readShare: 0 });
    const leftover = `resume/${backupIds[0]}`;
    const noted = told.filter(({ kind }) => kind === 'note').map(({ object }) => object);
    const unreferenced = `packs/${sha256.slice(0, 2)}/${sha256}`;
    assert.equal(noted.toSorted(), [...strays, leftover, unreferenced].toSorted());
    assert.is(notes, noted.length);
    assert.is(findings, 1, 'a checkpoint under the name of another backup');
  });
});

whole('is asked for a backup it has not', async () => {
  await withStored(async (stored) => {
    const error = await failureOf(verifyStored(stored, { backupId: '20000101_000000' }));
    assert.ok(error instanceof SkylockError);
    assert.match(error.message, /20000101_000000/);
  });
});

whole.run();

const damaged = suite('a damaged repository');

/** @returns the files, and the lists of files by their backup's id alone, that hold one of these chunks */
function holdersOf({ chunks }: Contents, isLost: (chunk: string) => boolean): string[] {
  return [...chunks].filter(([, ids]) => ids.some(isLost)).map(([holder]) => holder);
}

for (const kind of DAMAGES) {
  damaged(`a pack ${kind.name}: is found, and names its files`, async () => {
    await withStored(async (stored) => {
      const contents = await contentsOf(stored);
      for (const name of stored.names('packs/')) {
        const [from, to] = kind.touches(stored.objects.get(name)!.length);
        // Without its salt, nothing of a pack can be read.
        const isHeader = from < 41;
        const isLost = (chunk: string) => {
          const place = contents.places.get(chunk)!;
          return place.pack === name && (isHeader || (place.offset < to && place.end > from));
        };
        const holders = holdersOf(contents, isLost);
        damage(stored.objects, name, kind);
        const found = await verifyStored(stored);
        assert.ok(found.damage.has(name), `${name} is a finding`);
        const affected = new Set([...found.damage.values()].flat());
        const lostLists = holders.filter((one) => !one.includes(' '));
        const lostFiles = holders.filter((one) => one.includes(' '));
        for (const file of lostFiles) {
          // A file is not known where the list that names it cannot be read.
          const isKnown = !lostLists.includes(file.split(' ')[0]!);
          if (isKnown) assert.ok(affected.has(file), `${file} is named`);
        }
        for (const file of affected) assert.ok(lostFiles.includes(file), `${file} is not affected`);
        for (const backupId of lostLists) {
          const told = found.told.filter(({ backups }) => backups.includes(backupId));
          assert.ok(told.length > 0, `${backupId} is named`);
        }
        stored.reset();
      }
    });
  });

  damaged(`an index ${kind.name}: is found, and names the files nobody finds without it`, async () => {
    await withStored(async (stored) => {
      const { chunks } = await contentsOf(stored);
      for (const name of stored.names('index/')) {
        damage(stored.objects, name, kind);
        const found = await verifyStored(stored, { readShare: 0 });
        const isGone = !stored.objects.has(name);
        assert.is(found.damage.has(name), !isGone);
        const readable = placesIn(
          stored.clean,
          stored.names('index/').filter((one) => one !== name),
        );
        const lost = holdersOf({ chunks, places: new Map() }, (chunk) => !readable.has(chunk));
        assert.ok(lost.length > 0);
        for (const holder of lost) {
          const [backupId = '', file] = holder.split(' ');
          const listIsLost = lost.includes(backupId);
          const told = found.told.filter(({ backups }) => backups.includes(backupId));
          assert.ok(told.length > 0, `${backupId} is named`);
          if (file !== undefined && !listIsLost) {
            assert.ok(
              told.some(({ affected }) => affected.includes(holder)),
              `${holder} is named`,
            );
          }
        }
        stored.reset();
      }
    });
  });

  damaged(`settings, a backup or a checkpoint ${kind.name}: is found`, async () => {
    await withStored(async (stored) => {
      for (const name of [
        ...stored.names('keys/'),
        'skylock.json',
        ...stored.names('backups/'),
        ...stored.names('resume/'),
      ]) {
        // The newline at its end means nothing.
        if (name === 'skylock.json' && kind.name === 'cut by a byte') continue;
        damage(stored.objects, name, kind);
        const found = await verifyStored(stored, { readShare: 0 });
        const isHeader = name.startsWith('backups/') || name.startsWith('resume/');
        // Nobody can tell a backup that was removed by a fault from one that was forgotten.
        const isForgotten = isHeader && !stored.objects.has(name);
        const object = name.startsWith('keys/') && !stored.objects.has(name) ? 'keys/' : name;
        assert.equal([...found.damage.keys()], isForgotten ? [] : [object]);
        if (isHeader && !isForgotten) assert.equal(found.told[0]!.backups, [name.split('/')[1]]);
        stored.reset();
      }
    });
  });
}

for (const prefix of ['packs/', 'index/', 'backups/'] as const) {
  damaged(`two of ${prefix} swapped: both are found`, async () => {
    await withStored(async (stored) => {
      const [a, b] = stored.names(prefix) as [string, string];
      swap(stored.objects, a, b);
      const found = await verifyStored(stored);
      assert.ok(found.damage.has(a) && found.damage.has(b), [...found.damage.keys()].join());
    });
  });
}

damaged('everything of it at once: each is found', async () => {
  await withStored(async (stored) => {
    const names = [
      ...stored.names('packs/'),
      ...stored.names('index/'),
      ...stored.names('keys/'),
      'skylock.json',
    ];
    const flip = DAMAGES.find(({ name }) => name.includes('middle'))!;
    for (const name of [...names, ...stored.names('backups/')]) damage(stored.objects, name, flip);
    const found = await verifyStored(stored);
    for (const name of [...names, ...stored.names('backups/')]) assert.ok(found.damage.has(name), name);
  });
});

damaged('rubbish where an index should be is found', async () => {
  await withStored(async (stored) => {
    const noise = seededBytes(500, 'noise');
    for (const name of ['index/strange', `index/${hash('sha256', noise)}`]) stored.objects.set(name, noise);
    const { damage: found } = await verifyStored(stored, { readShare: 0 });
    assert.equal(
      [...found.keys()].toSorted(),
      ['index/strange', `index/${hash('sha256', noise)}`].toSorted(),
    );
  });
});

damaged('a bit flipped inside a pack of files is found by reading it and not before', async () => {
  await withStored(async (stored) => {
    const lists = await packsOfManifests(stored);
    const name = stored.names('packs/').find((one) => !lists.has(one))!;
    damage(stored.objects, name, DAMAGES.find((one) => one.name.includes('middle'))!);
    assert.is((await verifyStored(stored, { readShare: 0 })).findings, 0);
    assert.is((await verifyStored(stored, { readShare: 1 })).findings, 1);
  });
});

damaged('of one backup is no finding of another', async () => {
  await withStored(async (stored) => {
    const { places, chunks } = await contentsOf(stored);
    const [first, second] = stored.backupIds as [string, string];
    const packsOf = (backupId: string) =>
      new Set(
        [...chunks]
          .filter(([holder]) => holder.startsWith(backupId))
          .flatMap(([, ids]) => ids)
          .map((id) => places.get(id)!.pack),
      );
    const [ofFirst, ofSecond] = [packsOf(first), packsOf(second)];
    const onlySecond = [...ofSecond].find((pack) => !ofFirst.has(pack))!;
    stored.objects.delete(onlySecond);
    assert.equal((await verifyStored(stored, { backupId: first })).told, []);
    assert.ok((await verifyStored(stored, { backupId: second })).damage.has(onlySecond));
  });
});

damaged('a pack no file needs is a note when it is missing', async () => {
  await withStored(async (stored) => {
    for (const name of [...stored.names('backups/'), ...stored.names('resume/')].slice(1))
      stored.objects.delete(name);
    const first = await verifyStored(stored, { readShare: 0 });
    assert.equal(first.told, []);
    const before = new Map(stored.objects);
    let notes = 0;
    for (const name of stored.names('packs/')) {
      stored.objects.delete(name);
      const { told } = await verifyStored(stored, { readShare: 0 });
      if (told[0]!.kind === 'note') {
        notes += 1;
        assert.equal([told.length, told[0]!.object], [1, name]);
      }
      stored.objects.set(name, before.get(name)!);
    }
    assert.ok(notes > 0);
  });
});

damaged('an object the remote refuses to give is a finding, and the others are looked at', async () => {
  await withStored(async (stored) => {
    const remote = memoryRemote(stored.objects);
    const [refused] = stored.names('packs/');
    const refusing = {
      ...remote,
      async get(...args: Parameters<typeof remote.get>) {
        if (args[0] === refused) throw new RemoteError(`get ${refused}: bad sector`, { retryable: false });
        return remote.get(...args);
      },
    };
    const found = await verifyStored(stored, {}, refusing);
    assert.ok(found.damage.has(refused!));
    assert.is(found.readPacks, found.packs);
  });
});

damaged('a remote that cannot be reached is no damage', async () => {
  await withStored(async (stored) => {
    const remote = memoryRemote(stored.objects);
    const gone = {
      ...remote,
      get: () => Promise.reject(new RemoteError('get: the line is cut', { retryable: true })),
    };
    assert.ok((await failureOf(verifyStored(stored, {}, gone))) instanceof RemoteError);
  });
});

damaged.run();

const lying = suite('a backup that is sealed and wrong');

const isText = (path: Buffer) => path.toString().endsWith('/docs/text');

lying('is right when nothing in it was changed', async () => {
  await withStored(async (stored) => {
    await publishAs(stored, {});
    assert.equal((await verifyStored(stored)).told, []);
  });
});

lying('tells of another id, or of the other state', async () => {
  await withStored(async (stored) => {
    const other = await publishAs(stored, {
      header: (header) => ({ ...header, backupId: '20310101_000000' }),
    });
    assert.equal([...(await verifyStored(stored, { readShare: 0 })).damage.keys()], [other]);
    const unfinished = { state: 'unfinished', finishedAt: null } as const;
    await publishAs(stored, { header: (header) => ({ ...header, ...unfinished }) });
    assert.equal([...(await verifyStored(stored, { readShare: 0 })).damage.keys()], [other]);
  });
});

for (const field of ['files', 'folders', 'bytes'] as const) {
  lying(`counts other ${field} than it lists`, async () => {
    await withStored(async (stored) => {
      const object = await publishAs(stored, {
        header: (header) => ({ ...header, [field]: header[field] + 1 }),
      });
      assert.equal([...(await verifyStored(stored, { readShare: 0 })).damage], [[object, []]]);
    });
  });
}

lying('has a file whose chunks are longer than it', async () => {
  await withStored(async (stored) => {
    const object = await publishAs(stored, {
      entry: (entry) =>
        entry.type === 'file' && isText(entry.path) ? { ...entry, size: entry.size - 1 } : entry,
      header: (header) => ({ ...header, bytes: header.bytes - 1 }),
    });
    assert.equal([...(await verifyStored(stored)).damage], [[object, ['20300101_000000 docs/text']]]);
  });
});

lying('has a file whose chunk is in no index', async () => {
  await withStored(async (stored) => {
    const object = await publishAs(stored, {
      entry: (entry) =>
        entry.type === 'file' && isText(entry.path) ? { ...entry, chunks: Buffer.alloc(32, 9) } : entry,
    });
    const { damage: found, affectedFiles } = await verifyStored(stored);
    assert.equal([...found], [[object, ['20300101_000000 docs/text']]]);
    assert.is(affectedFiles, 1);
  });
});

lying('lies in a pack that is named for other bytes', async () => {
  await withStored(async (stored) => {
    const { objects, names } = stored;
    const name = `packs/00/${'0'.repeat(64)}`;
    objects.set(name, objects.get(names('packs/')[0]!)!);
    const { told } = await verifyStored(stored);
    assert.equal(
      told.map(({ kind, object, reason }) => [kind, object, reason]),
      [['finding', name, 'its bytes do not have the SHA-256 it is named by']],
    );
  });
});

lying.run();

async function packsOfManifests(stored: Stored): Promise<Set<string>> {
  const { places, chunks } = await contentsOf(stored);
  const lists = [...chunks].filter(([holder]) => !holder.includes(' ')).flatMap(([, ids]) => ids);
  return new Set(lists.map((id) => places.get(id)!.pack));
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => null,
    (error: unknown) => error,
  );
}
