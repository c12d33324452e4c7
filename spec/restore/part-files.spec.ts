import fs, { readdirSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createPartFiles } from '../../lib/restore/part-files.ts';
import { openTarget } from '../../lib/restore/target.ts';
import { withFolder } from '../helpers/temporary.ts';

const partFiles = suite('a part file');

partFiles('that cannot be made as long as it is to be is closed and removed', () =>
  withFolder(async (path) => {
    const target = openTarget(path);
    const files = createPartFiles({ target, overwrite: 'never', asRoot: false, tag: '1-0123abcd' });
    const { ftruncateSync } = fs;
    const full = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
    fs.ftruncateSync = () => {
      throw full;
    };
    syncBuiltinESMExports();
    const open = () => readdirSync('/proc/self/fd').length;
    const before = open();
    try {
      assert.throws(
        () => files.create({ path: Buffer.from('/a'), size: 1_000_000 }),
        (error: unknown) => error === full,
      );
    } finally {
      fs.ftruncateSync = ftruncateSync;
      syncBuiltinESMExports();
    }
    assert.equal([open(), readdirSync(path)], [before, []]);
    target.close();
  }),
);

partFiles.run();
