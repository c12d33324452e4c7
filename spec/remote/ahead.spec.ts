import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RemoteError } from '../../lib/errors.ts';
import { listAhead } from '../../lib/remote/ahead.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { remoteContract } from './contract.ts';

remoteContract('a remote that is listed ahead', (run) => run(listAhead(memoryRemote(), ['other/'])));

/** A remote that holds one object, and which of its folders were listed. */
async function withOne(): Promise<{ remote: Remote; listed: string[] }> {
  const memory = memoryRemote();
  await memory.put('packs/one', Buffer.from('1'));
  const listed: string[] = [];
  const list: Remote['list'] = (prefix) => {
    listed.push(prefix);
    return memory.list(prefix);
  };
  return { remote: { ...memory, list }, listed };
}

async function namesIn(remote: Remote, prefix: string): Promise<string[]> {
  return (await Array.fromAsync(remote.list(prefix))).map(({ name }) => name);
}

const test = suite('listing ahead');

test('begins before anybody asks, and lists no second time for who asks first', async () => {
  const { remote, listed } = await withOne();
  const ahead = listAhead(remote, ['packs/', 'index/']);
  assert.equal(listed, ['packs/', 'index/']);
  assert.equal(await namesIn(ahead, 'packs/'), ['packs/one']);
  assert.equal(await namesIn(ahead, 'index/'), []);
  assert.equal(listed, ['packs/', 'index/']);
});

test('lists anew for who asks again', async () => {
  const { remote } = await withOne();
  const ahead = listAhead(remote, ['packs/']);
  await namesIn(ahead, 'packs/');
  await remote.put('packs/two', Buffer.from('2'));
  assert.equal((await namesIn(ahead, 'packs/')).sort(), ['packs/one', 'packs/two']);
});

test('does not give what was found long ago', async () => {
  const { remote } = await withOne();
  let nowMs = 0;
  const ahead = listAhead(remote, ['packs/'], () => nowMs);
  await new Promise((resolve) => setTimeout(resolve)); // the listing is through
  nowMs = 10_001;
  await remote.put('packs/two', Buffer.from('2'));
  assert.equal((await namesIn(ahead, 'packs/')).sort(), ['packs/one', 'packs/two']);
});

test('a listing that fails fails for who asks, and for nobody else', async () => {
  const failure = new RemoteError('list packs/: no', { retryable: false });
  let failures = 1;
  const memory = memoryRemote();
  const list: Remote['list'] = async function* (prefix) {
    if (failures-- > 0) throw failure;
    yield* memory.list(prefix);
  };
  const ahead = listAhead({ ...memory, list }, ['packs/']);
  await new Promise((resolve) => setTimeout(resolve)); // nobody has asked yet, and the process lives
  const error = await namesIn(ahead, 'packs/').catch((thrown: unknown) => thrown);
  assert.is(error, failure);
  assert.equal(await namesIn(ahead, 'packs/'), []);
});

test.run();
