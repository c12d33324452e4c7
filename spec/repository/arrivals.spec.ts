import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bufferOf, ownCopy } from '../../lib/repository/arrivals.ts';

const test = suite('a short Buffer on its way to another thread');

test('takes nothing of the memory around it along when it was copied before', () => {
  const path = Buffer.from('/home/docs/letter.txt');
  assert.ok(path.buffer.byteLength > path.length, 'it lies in memory with others');
  const copy = ownCopy(path);
  assert.equal(copy, path);
  assert.is(structuredClone(copy).buffer.byteLength, path.length);
  assert.equal(bufferOf(structuredClone(copy)), path);
});

test.run();
