import fs, { closeSync, readdirSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createPartFiles } from '../../lib/restore/part-files.ts';
import { openTarget } from '../../lib/restore/target.ts';
import { withFolder } from '../helpers/temporary.ts';

const partFiles = suite('a part file');

partFiles('that cannot be made as long as it is to be is closed, and removed where it is new', () =>
  withFolder(async (path) => {
    const target = openTarget(path);
    const files = createPartFiles({ target, overwrite: 'never', asRoot: false, tag: '1-0123abcd' });
    const left = { path: Buffer.from('/left'), size: 1_000_000 };
    closeSync(files.create(left));
    const { ftruncateSync } = fs;
    const full = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
    fs.ftruncateSync = () => {
      throw full;
    };
    syncBuiltinESMExports();
    const open = () => readdirSync('/proc/self/fd').length;
    const before = open();
    try {
      for (const open of [
        () => files.create({ ...left, path: Buffer.from('/new') }),
        () => files.reopen(left),
      ]) {
        assert.throws(open, (error: unknown) => error === full);
      }
    } finally {
      fs.ftruncateSync = ftruncateSync;
      syncBuiltinESMExports();
    }
    assert.equal([open(), readdirSync(path)], [before, [files.nameOf(left.path)]]);
    target.close();
  }),
);

partFiles.run();
