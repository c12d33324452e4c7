import { existsSync } from 'node:fs';
import { lstat, mkdir, open, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError } from '../../lib/errors.ts';
import { localFailure } from '../../lib/remote/local/failure.ts';
import { openLocal } from '../../lib/remote/local.ts';
import { MAX_GET_BYTES, type Remote } from '../../lib/remote/remote.ts';
import { withFolder } from '../helpers/temporary.ts';
import { remoteContract } from './contract.ts';
import { failure } from './failure.ts';

const settings = { temporaryToken: 'spec' };

remoteContract('a local folder', (run) =>
  withFolder(async (folder) => run(await openLocal(join(folder, 'not/there/yet'), settings))),
);

const withLocal = (use: (remote: Remote, root: string) => Promise<void>) =>
  withFolder(async (folder) =>
    use(await openLocal(join(folder, 'repository'), settings), join(folder, 'repository')),
  );

const local = suite('a local folder on a real disk');

local('folders are for their owner alone, and so are files', () =>
  withLocal(async (remote, root) => {
    await remote.put('packs/ab/one', Buffer.from('x'));
    for (const path of ['', 'packs', 'packs/ab', 'tmp']) {
      assert.is((await lstat(join(root, path))).mode & 0o777, 0o700, path);
    }
    assert.is((await lstat(join(root, 'packs/ab/one'))).mode & 0o777, 0o600);
  }),
);

local('the bytes are synced before the object has its name, and its folder after', () =>
  withLocal(async (remote, root) => {
    await remote.put('packs/ab/before', Buffer.from('x'));
    const hadName: boolean[] = [];
    const restore = await onSync(() => hadName.push(existsSync(join(root, 'packs/ab/one'))));
    try {
      await remote.put('packs/ab/one', Buffer.from('x'));
    } finally {
      restore();
    }
    assert.equal(hadName, [false, true]);
  }),
);

local('a folder made for an object is synced into the one above it', () =>
  withLocal(async (remote) => {
    let syncs = 0;
    const restore = await onSync(() => {
      syncs += 1;
    });
    try {
      await remote.put('packs/ab/one', Buffer.from('x'));
    } finally {
      restore();
    }
    assert.is(syncs, 6, 'root, tmp, packs, ab, each in its parent; the file; its folder');
  }),
);

local('a temporary object begins with the token of its process and is gone after a failure', () =>
  withLocal(async (remote, root) => {
    const stop = new AbortController();
    let seen: string[] = [];
    const putting = remote.put('x', Buffer.alloc(20_000_000), {
      signal: stop.signal,
      onSent: () => stop.abort(),
    });
    while (seen.length === 0 && !stop.signal.aborted) seen = await readdir(join(root, 'tmp')).catch(() => []);
    await putting.catch(() => {});
    assert.ok(seen.every((name) => name.startsWith('spec-')));
    assert.equal(await readdir(join(root, 'tmp')), []);
  }),
);

local('what a killed process left in the temporary folder is listed there and nowhere else', () =>
  withLocal(async (remote, root) => {
    await remote.put('x', Buffer.from('x'));
    await writeFile(join(root, 'tmp/other-7'), 'half');
    const found: string[] = [];
    for await (const { name } of remote.list('')) found.push(name);
    for await (const { name } of remote.list('tmp/')) found.push(name);
    assert.equal(found, ['x', 'tmp/other-7']);
  }),
);

local('a symlink below the root is never followed', () =>
  withLocal(async (remote, root) => {
    await remote.put('packs/ab/one', Buffer.from('x'));
    const outside = join(root, '../outside');
    await mkdir(outside);
    await writeFile(join(outside, 'secret'), 'secret');
    await symlink(outside, join(root, 'packs/cd'));
    await symlink(join(outside, 'secret'), join(root, 'link'));
    for (const call of [
      () => remote.put('packs/cd/new', Buffer.from('x')),
      () => remote.get('packs/cd/secret'),
      () => remote.stat('packs/cd/secret'),
      () => remote.remove('packs/cd/secret'),
      () => remote.get('link'),
    ]) {
      assert.match((await failure(call())).message, /symlink/);
    }
    assert.equal(await readdir(outside), ['secret']);
    const found: string[] = [];
    for await (const { name } of remote.list('')) found.push(name);
    assert.equal(found, ['packs/ab/one']);
    await remote.put('link', Buffer.from('mine'));
    assert.is(
      await readFile(join(outside, 'secret'), 'utf8'),
      'secret',
      'the link is replaced, not its target',
    );
  }),
);

local('the root itself may be reached through a symlink', () =>
  withLocal(async (_, root) => {
    await mkdir(root);
    await symlink(root, `${root}-link`);
    const remote = await openLocal(`${root}-link`, settings);
    await remote.put('packs/x', Buffer.from('x'));
    assert.is((await remote.get('packs/x'))?.toString(), 'x');
  }),
);

local('a root that vanishes in the middle of a run is not begun anew', () =>
  withLocal(async (remote, root) => {
    await remote.put('packs/x', Buffer.from('x'));
    await rm(root, { recursive: true });
    const error = await failure(remote.put('packs/y', Buffer.from('y')));
    assert.is(error.retryable, false);
    assert.match(error.message, /the folder of the repository is gone \(ENOENT\)/);
    assert.not.ok(existsSync(root));
  }),
);

local('an answer that no memory should hold is refused before it is read', () =>
  withLocal(async (remote, root) => {
    await mkdir(root);
    const file = await open(join(root, 'huge'), 'w');
    await file.truncate(MAX_GET_BYTES + 1);
    await file.close();
    assert.match((await failure(remote.get('huge'))).message, /larger than any object/);
    assert.is((await remote.get('huge', { offset: 5, length: 10 }))?.length, 10);
    assert.is((await remote.get('huge', { offset: 1, length: MAX_GET_BYTES }))?.length, MAX_GET_BYTES);
  }),
);

local('a file where a folder has to be is told with its name', () =>
  withLocal(async (remote) => {
    await remote.put('packs', Buffer.from('a file'));
    const error = await failure(remote.put('packs/ab', Buffer.from('x')));
    assert.is(error.retryable, false);
    assert.match(
      error.message,
      /^put packs\/ab into .*: a file stands where a folder should be \(ENOTDIR\)$/,
    );
  }),
);

for (const code of ['ENOSPC', 'EDQUOT', 'EACCES', 'EPERM', 'EROFS', 'EIO', 'ENODEV']) {
  local(`${code} is final and says what to do`, () => {
    const error = localFailure(
      'put x into /r',
      Object.assign(new Error('low level'), { code }),
    ) as RemoteError;
    assert.instance(error, RemoteError);
    assert.is(error.retryable, false);
    assert.ok(error.hints.length > 0);
    assert.match(error.message, new RegExp(`^put x into /r: .* \\(${code}\\)$`));
  });
}

for (const code of ['ESTALE', 'ETIMEDOUT', 'EMFILE', 'EBUSY']) {
  local(`${code} may be different a little later`, () => {
    const error = localFailure('get x', Object.assign(new Error('low level'), { code }));
    assert.is((error as RemoteError).retryable, true);
  });
}

local('that is gone meanwhile is not begun anew', async () => {
  await withFolder(async (folder) => {
    const root = join(folder, 'root');
    const remote = await openLocal(root, settings);
    await remote.put('there', Buffer.from('1'));
    await remote.close();
    const again = await openLocal(root, settings);
    assert.ok(await again.stat('there'));
    await rename(root, `${root} elsewhere`);
    for (const call of [() => again.put('packs/ab/x', Buffer.from('1')), () => again.get('there')]) {
      const error = await failure(call());
      assert.match(error.message, /the folder of the repository is gone/);
      assert.ok(error.hints.length > 0);
    }
    assert.equal(await readdir(folder), ['root elsewhere']);
  });
});

local('stray files, such as file managers leave, are no objects', () =>
  withLocal(async (remote, root) => {
    await remote.put('index/one', Buffer.from('x'));
    for (const stray of ['index/.DS_Store', 'index/._one', '.Trash-0', 'index/a name']) {
      await writeFile(join(root, stray), 'y');
    }
    const names = (await Array.fromAsync(remote.list(''))).map(({ name }) => name);
    assert.equal(names, ['index/one']);
  }),
);

local('what is no answer of the file system passes as it is', () => {
  for (const error of [
    new Error('bug'),
    new RemoteError('put x: y', { retryable: true }),
    AbortSignal.abort().reason,
  ]) {
    assert.is(localFailure('put x', error), error);
  }
});

local.run();

/** Calls `note` at every fsync of this process, until the function it returns is called. */
async function onSync(note: () => void): Promise<() => void> {
  const handle = await open('/dev/null');
  const prototype = Object.getPrototypeOf(handle);
  await handle.close();
  const { sync } = prototype;
  prototype.sync = function (this: unknown) {
    note();
    return sync.call(this);
  };
  return () => {
    prototype.sync = sync;
  };
}
