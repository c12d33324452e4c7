import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createTally } from '../../lib/restore/tally.ts';

const tally = suite("a restore's tally");

tally('does not add up when a file is neither in place nor told', () => {
  const counts = createTally(() => {});
  counts.present(1);
  counts.planned({ files: 3, bytes: 6 });
  counts.placed(2);
  counts.failed('/a', 'its owner could not be set'); // which is in place all the same
  assert.throws(() => counts.summary(), '1 of 3 files are neither restored nor told');
  counts.missed('/b', 'its pack is lost');
  const { files, bytes, failures } = counts.summary();
  assert.equal([files, bytes, failures], [2, 3, 2]);
});

tally.run();
