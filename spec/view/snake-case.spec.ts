import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { toSnakeCase } from '../../lib/view/snake-case.ts';

const json = suite('a value for JSON');

json('has names in snake_case, at every depth', () => {
  assert.equal(toSnakeCase({ backupId: 'x', pack: { sentBytes: 1, sizeBytes: 2 }, lanes: [{ aB: null }] }), {
    backup_id: 'x',
    pack: { sent_bytes: 1, size_bytes: 2 },
    lanes: [{ a_b: null }],
  });
  assert.equal(toSnakeCase({ sha256: 1, backup_id: 2, x1Y: 3 }), { sha256: 1, backup_id: 2, x1_y: 3 });
});

json('has instants in RFC 3339 and integers that survive', () => {
  assert.equal(toSnakeCase([new Date('2025-11-07T14:20:30.5Z'), 12n, 2n ** 60n, 'text', true, null]), [
    '2025-11-07T14:20:30Z',
    12,
    '1152921504606846976',
    'text',
    true,
    null,
  ]);
});

json.run();
