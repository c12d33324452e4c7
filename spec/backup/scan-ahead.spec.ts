import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Found } from '../../lib/backup/scan.ts';
import { scanAhead } from '../../lib/backup/scan-ahead.ts';

/** A scan that finds `count` sources, and how many it was asked for. */
function scanOf(count: number): { found: Generator<Found>; asked: () => number } {
  let asked = 0;
  const found = (function* (): Generator<Found> {
    for (; asked < count; ) {
      asked += 1;
      yield { type: 'source_end', source: asked - 1 };
    }
  })();
  return { found, asked: () => asked };
}

function sourcesOf(found: Iterable<Found>): number[] {
  return [...found].map((one) => (one.type === 'source_end' ? one.source : -1));
}

const NEVER = new Promise<never>(() => {});
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

const test = suite('scanning ahead');

for (const count of [0, 1, 99, 100, 101, 250]) {
  test(`gives ${count} entries once and in their order when there is time for all of them`, async () => {
    const { found, asked } = scanOf(count);
    const ahead = await scanAhead(found, NEVER);
    assert.is(asked(), count);
    assert.equal(sourcesOf(ahead), numbers(count));
  });
}

for (const [how, until] of [
  ['is there', () => Promise.resolve()],
  ['has failed', () => Promise.reject(new Error('no'))],
] as const) {
  test(`does not begin when what it waits for ${how}, and loses nothing`, async () => {
    const { found, asked } = scanOf(250);
    const ahead = await scanAhead(found, until());
    assert.is(asked(), 0);
    assert.equal(sourcesOf(ahead), numbers(250));
  });
}

test('ends when what it waits for comes, and loses nothing', async () => {
  const waited = Promise.withResolvers<void>();
  const { found, asked } = scanOf(100_000);
  const ahead = scanAhead(
    (function* () {
      for (const one of found) {
        if (asked() === 150) waited.resolve();
        yield one;
      }
    })(),
    waited.promise,
  );
  const all = await ahead;
  assert.is(asked(), 200);
  assert.equal(sourcesOf(all), numbers(100_000));
});

test('holds a bounded number of them', async () => {
  const { found, asked } = scanOf(100_000);
  const ahead = await scanAhead(found, NEVER);
  assert.is(asked(), 20_000);
  assert.equal(sourcesOf(ahead), numbers(100_000));
});

test.run();
