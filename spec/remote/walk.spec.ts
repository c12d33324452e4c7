import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MAX_NAME_LENGTH } from '../../lib/remote/name.ts';
import { MAX_LISTED, walk } from '../../lib/remote/walk.ts';
import { failure } from './failure.ts';

const walking = suite('a walk through folders');

for (const maxListed of [5, 6]) {
  walking(`of six names is ${maxListed < 6 ? 'refused' : 'done'} where ${maxListed} may be`, async () => {
    const inside: Record<string, string[]> = { '': ['a', 'b'], a: ['a/x', 'a/y'], b: ['b/x', 'b/y'] };
    const pages = walk('', {
      concurrency: 2,
      maxListed,
      readFolder: async (folder, count) => {
        const names = inside[folder] ?? [];
        count(names.length);
        const isTop = folder === '';
        return {
          folders: isTop ? names : [],
          objects: isTop ? [] : names.map((name) => ({ name, sizeBytes: 1 })),
        };
      },
    });
    if (maxListed === 6) {
      const found = (await Array.fromAsync(pages)).flatMap(({ objects }) => objects);
      assert.equal(
        found.map(({ name }) => name),
        ['a/x', 'a/y', 'b/x', 'b/y'],
      );
      return;
    }
    const error = await failure(Array.fromAsync(pages));
    assert.not.ok(error.retryable);
    assert.is(error.message, 'list the repository: there are more than 5 names');
  });
}

walking('takes a repository of 20 TB in ordinary packs, and ends before its names fill the memory', () => {
  assert.ok(MAX_LISTED * 16 * 1024 * 1024 > 20e12);
  assert.ok(MAX_LISTED * MAX_NAME_LENGTH <= 256 * 1024 * 1024);
});

walking.run();
