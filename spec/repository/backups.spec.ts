import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError } from '../../lib/errors.ts';
import {
  listBackupIds,
  putBackup,
  putCheckpoint,
  readBackup,
  readBackups,
  readCheckpoint,
  readCheckpoints,
  removeCheckpoint,
} from '../../lib/repository/backups.ts';
import { assertRejects, withFlippedBit } from '../format/fixtures.ts';
import { headerOf, repositoryOver } from './fixtures.ts';

const IDS = ['20251107_142030', '20251107_142031', '20251231_235959'];

const backups = suite('the backups of a repository');

backups('are listed with the oldest first, and nothing else is', async () => {
  const repository = repositoryOver();
  for (const id of IDS.toReversed()) await putBackup(repository, headerOf(id));
  await putCheckpoint(repository, unfinished('20260101_000000'));
  repository.remote.objects.set('backups/README.txt', Buffer.from('what is this?'));
  assert.equal(await listBackupIds(repository), IDS);
  assert.equal(
    (await readBackups(repository)).map(({ backupId }) => backupId),
    IDS,
  );
});

backups('are read as they were put', async () => {
  const repository = repositoryOver();
  const header = headerOf(IDS[0]!, { sourcePaths: [Buffer.from('/caf\xe9', 'latin1')], unreadable: 2 });
  await putBackup(repository, header);
  assert.equal(await readBackup(repository, IDS[0]!), header);
});

for (const sizeBytes of [65_535, 65_536, 65_537, 200_000]) {
  backups(`of ${sizeBytes} bytes are read whole`, async () => {
    const repository = repositoryOver();
    const name = `backups/${IDS[0]}`;
    await putBackup(repository, headerOf(IDS[0]!, { host: '' }));
    const without = repository.remote.objects.get(name)!.length;
    const header = headerOf(IDS[0]!, { host: 'h'.repeat(sizeBytes - without) });
    await putBackup(repository, header);
    assert.is(repository.remote.objects.get(name)!.length, sizeBytes);
    assert.equal(await readBackup(repository, IDS[0]!), header);
  });
}

backups('that are not there are null', async () => {
  assert.is(await readBackup(repositoryOver(), IDS[0]!), null);
  assert.is(await readCheckpoint(repositoryOver(), IDS[0]!), null);
});

backups('are none in an empty repository', async () => {
  assert.equal([await listBackupIds(repositoryOver()), await readBackups(repositoryOver())], [[], []]);
});

backups('that vanish after they were listed are left out', async () => {
  const repository = repositoryOver();
  for (const id of IDS) await putBackup(repository, headerOf(id));
  const get: typeof repository.remote.get = async (name) =>
    name.endsWith(IDS[1]!) ? null : repository.remote.get(name);
  const headers = await readBackups({ ...repository, remote: { ...repository.remote, get } });
  assert.equal(
    headers.map(({ backupId }) => backupId),
    [IDS[0], IDS[2]],
  );
});

for (const [what, damage] of Object.entries({
  'a flipped bit': (bytes: Buffer) => withFlippedBit(bytes, 60),
  'a part missing': (bytes: Buffer) => bytes.subarray(0, -1),
  nothing: () => Buffer.alloc(0),
})) {
  backups(`with ${what} in it are refused by name`, async () => {
    const repository = repositoryOver();
    await putBackup(repository, headerOf(IDS[0]!));
    const name = `backups/${IDS[0]}`;
    repository.remote.objects.set(name, damage(repository.remote.objects.get(name)!));
    await assertRejects(() => readBackup(repository, IDS[0]!), DamagedError, new RegExp(name));
    await assertRejects(() => readBackups(repository), DamagedError, new RegExp(name));
  });
}

backups('that were put under the name of another are refused', async () => {
  const repository = repositoryOver();
  await putBackup(repository, headerOf(IDS[0]!));
  const { objects } = repository.remote;
  objects.set(`backups/${IDS[1]}`, objects.get(`backups/${IDS[0]}`)!);
  await assertRejects(() => readBackup(repository, IDS[1]!), DamagedError);
});

backups.run();

function unfinished(id: string) {
  const owner = { pid: 17, startedAt: '4711', bootId: 'boot' };
  const progress = { totalFiles: 5, totalBytes: 5000, updatedAt: new Date('2025-11-07T14:21:00Z'), owner };
  return headerOf(id, { state: 'unfinished', finishedAt: null, progress });
}

const checkpoints = suite('the checkpoints of a repository');

checkpoints('are read as they were put, and are no backups', async () => {
  const repository = repositoryOver();
  for (const id of IDS.toReversed()) await putCheckpoint(repository, unfinished(id));
  assert.equal(await readCheckpoints(repository), IDS.map(unfinished));
  assert.equal(await readCheckpoint(repository, IDS[1]!), unfinished(IDS[1]!));
  assert.equal(await listBackupIds(repository), []);
});

for (const [what, seen] of Object.entries({
  absent: () => null,
  torn: (bytes: Buffer) => bytes.subarray(0, bytes.length / 2),
})) {
  checkpoints(
    `that are ${what} for a moment, because they are replaced just then, are looked at again`,
    async () => {
      const repository = repositoryOver();
      const { remote } = repository;
      await putCheckpoint(repository, unfinished(IDS[0]!));
      let looks = 0;
      const get: typeof remote.get = async (name) => {
        const bytes = (await remote.get(name))!;
        looks += 1;
        return looks % 2 === 1 ? seen(bytes) : bytes;
      };
      const replacing = { ...repository, remote: { ...remote, get } };
      assert.equal(await readCheckpoint(replacing, IDS[0]!), unfinished(IDS[0]!));
      assert.equal(await readCheckpoints(replacing), [unfinished(IDS[0]!)]);
      assert.is(looks, 4);
    },
  );
}

checkpoints('that stay torn are refused by name', async () => {
  const repository = repositoryOver();
  const { objects } = repository.remote;
  await putCheckpoint(repository, unfinished(IDS[0]!));
  const name = `resume/${IDS[0]}`;
  objects.set(name, objects.get(name)!.subarray(1));
  await assertRejects(() => readCheckpoint(repository, IDS[0]!), DamagedError, new RegExp(name));
});

checkpoints('take the place of the one before, and go', async () => {
  const repository = repositoryOver();
  await putCheckpoint(repository, unfinished(IDS[0]!));
  await putCheckpoint(repository, { ...unfinished(IDS[0]!), files: 4 });
  assert.equal(
    (await readCheckpoints(repository)).map(({ files }) => files),
    [4],
  );
  await removeCheckpoint(repository, IDS[0]!);
  await removeCheckpoint(repository, IDS[0]!);
  assert.equal(await readCheckpoints(repository), []);
});

checkpoints('do not pass for backups, nor backups for them', async () => {
  const repository = repositoryOver();
  const { objects } = repository.remote;
  await putCheckpoint(repository, unfinished(IDS[0]!));
  await putBackup(repository, headerOf(IDS[1]!));
  objects.set(`backups/${IDS[0]}`, objects.get(`resume/${IDS[0]}`)!);
  objects.set(`resume/${IDS[1]}`, objects.get(`backups/${IDS[1]}`)!);
  await assertRejects(() => readBackup(repository, IDS[0]!), DamagedError);
  await assertRejects(() => readCheckpoint(repository, IDS[1]!), DamagedError);
});

checkpoints('that are damaged are told of where somebody listens, and the others are read', async () => {
  const repository = repositoryOver();
  const { objects } = repository.remote;
  for (const id of IDS) await putCheckpoint(repository, unfinished(id));
  objects.set(`resume/${IDS[1]}`, withFlippedBit(objects.get(`resume/${IDS[1]}`)!, 60));
  await assertRejects(() => readCheckpoints(repository), DamagedError);
  const told: string[] = [];
  const headers = await readCheckpoints(repository, ({ message }) => told.push(message));
  assert.equal(
    headers.map(({ backupId }) => backupId),
    [IDS[0], IDS[2]],
  );
  assert.is(told.length, 1);
  assert.match(told.join(), new RegExp(`resume/${IDS[1]}`));
});

checkpoints.run();
