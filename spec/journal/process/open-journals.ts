/** Makes one new journal after another until it is killed: `open-journals.ts <folder>` */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { openJournal } from '../../../lib/journal/database.ts';
import { NOW } from '../fixture.ts';

const [folder = ''] = process.argv.slice(2);
for (let number = 0; ; number += 1) {
  writeSync(1, `${number}\n`);
  const { journal } = await openJournal(join(folder, String(number), 'journal.db'), { now: NOW });
  journal.close();
}
