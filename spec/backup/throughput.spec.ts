import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createThroughput } from '../../lib/backup/throughput.ts';

const window = suite('what lanes get through in a window');

function withClock() {
  const clock = { ms: 1000 };
  return { clock, throughput: createThroughput(() => clock.ms) };
}

window('is what was sent since it began', () => {
  const { clock, throughput } = withClock();
  throughput.sent(5);
  clock.ms += 100;
  throughput.sent(2);
  assert.equal(throughput.soFar(), { tookMs: 100, sentBytes: 7, waitedMs: 0 });
  throughput.begin();
  clock.ms += 10;
  throughput.sent(1);
  assert.equal(throughput.soFar(), { tookMs: 10, sentBytes: 1, waitedMs: 0 });
});

window('holds of a wait the part that lies in it', () => {
  const { clock, throughput } = withClock();
  const goesOn = throughput.waits();
  clock.ms += 1000;
  throughput.begin();
  clock.ms += 20;
  assert.is(throughput.soFar().waitedMs, 20, 'of one that has not ended what is over');
  clock.ms += 10;
  goesOn();
  clock.ms += 70;
  assert.equal(throughput.soFar(), { tookMs: 100, sentBytes: 0, waitedMs: 30 });
});

window('adds up what several lanes wait', () => {
  const { clock, throughput } = withClock();
  const first = throughput.waits();
  clock.ms += 10;
  const second = throughput.waits();
  clock.ms += 10;
  first();
  clock.ms += 10;
  second();
  assert.is(throughput.soFar().waitedMs, 40);
});

window.run();
