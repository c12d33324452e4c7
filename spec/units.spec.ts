import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { UsageError } from '../lib/errors.ts';
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatInstant,
  formatInstantForPeople,
  formatPartOfBytes,
  formatPercent,
  formatRate,
  formatTenthsOfPercent,
  parseBytes,
  parseDuration,
} from '../lib/units.ts';

const formatting = suite('a figure for people');

formatting('a size has three significant digits and a decimal unit', () => {
  for (const [bytes, text] of [
    [0, '0 B'],
    [1, '1 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [1005, '1.00 kB'],
    [9994, '9.99 kB'],
    [9995, '10.0 kB'],
    [99_949, '99.9 kB'],
    [99_950, '100 kB'],
    [999_499, '999 kB'],
    [999_500, '1.00 MB'],
    [16 * 2 ** 20, '16.8 MB'],
    [2_340_000_000, '2.34 GB'],
    [1e12, '1.00 TB'],
    [1e15, '1.00 PB'],
    [5e18, '5000 PB'],
  ] as const) {
    assert.is(formatBytes(bytes), text);
  }
});

formatting('no size below a petabyte takes more than seven columns', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999_499_999_999_999 }), (bytes) => formatBytes(bytes).length <= 7),
  );
});

formatting('a part of a size has the unit and the digits of the whole', () => {
  assert.is(formatPartOfBytes(0, 0), '0/0 B');
  assert.is(formatPartOfBytes(0, 16_777_216), '0.0/16.8 MB');
  assert.is(formatPartOfBytes(8_200_000, 16_777_216), '8.2/16.8 MB');
  assert.is(formatPartOfBytes(512, 1048), '0.51/1.05 kB');
});

formatting('a rate is a size a second, also when it is no whole number', () => {
  assert.is(formatRate(12_400_000), '12.4 MB/s');
  assert.is(formatRate(0.4), '0 B/s');
  assert.is(formatRate(1234.567), '1.23 kB/s');
});

formatting('a count has its noun in the right number', () => {
  assert.equal(
    [0, 1, 2, 12_345].map((count) => formatCount(count, 'file')),
    ['0 files', '1 file', '2 files', '12345 files'],
  );
});

formatting('a percentage is never ahead of what is done', () => {
  for (const [part, whole, text, tenths] of [
    [0, 150, '0%', '0.0%'],
    [25, 150, '16%', '16.7%'],
    [29, 100, '29%', '29.0%'],
    [149, 150, '99%', '99.3%'],
    [999_999, 1_000_000, '99%', '99.9%'],
    [150, 150, '100%', '100.0%'],
    [151, 150, '100%', '100.0%'],
    [0, 0, '100%', '100.0%'],
  ] as const) {
    assert.is(formatPercent(part, whole), text);
    assert.is(formatTenthsOfPercent(part, whole), tenths);
  }
});

formatting('a duration has the two largest units that matter', () => {
  const [second, minute, hour, day] = [1000, 60_000, 3_600_000, 86_400_000];
  for (const [ms, text] of [
    [-1, '0s'],
    [0, '0s'],
    [499, '0s'],
    [500, '1s'],
    [59.4 * second, '59s'],
    [59.6 * second, '1m 00s'],
    [200 * second, '3m 20s'],
    [hour - 600, '59m 59s'],
    [hour - 400, '1h 00m'],
    [2 * hour + 5 * minute + 59 * second, '2h 05m'],
    [day - 400, '1d'],
    [4 * day + 3 * hour + 59 * minute, '4d 3h'],
  ] as const) {
    assert.is(formatDuration(ms), text);
  }
});

formatting('an instant is RFC 3339 for programs, and readable for people, without fractions', () => {
  const instant = new Date('2025-11-07T14:20:30.987Z');
  assert.is(formatInstant(instant), '2025-11-07T14:20:30Z');
  assert.is(formatInstantForPeople(instant), '2025-11-07 14:20:30 UTC');
});

formatting.run();

const reading = suite('a figure from people');

reading('a size is a number with a unit, decimal or binary, or bytes', () => {
  for (const [text, bytes] of [
    ['0', 0],
    ['4096', 4096],
    ['4096B', 4096],
    ['10MB', 10_000_000],
    ['10 mb', 10_000_000],
    ['10M', 10_000_000],
    [' 1.5 GiB ', 1.5 * 2 ** 30],
    ['500kB', 500_000],
    ['2TiB', 2 * 2 ** 40],
    ['0.1kB', 100],
  ] as const) {
    assert.is(parseBytes(text, '--compress-over'), bytes);
  }
});

reading('what is no size is a usage error that names the option and the text', () => {
  for (const text of ['', ' ', 'banana', '-1', '1,5MB', '10XB', '1e3', '5constructor', '1.5.2', '9999TiB9']) {
    assert.throws(
      () => parseBytes(text, '--compress-over'),
      (error: unknown) =>
        error instanceof UsageError &&
        error.message === `read --compress-over: '${text}' is not a size` &&
        error.hints.length === 1,
      text,
    );
  }
  assert.throws(() => parseBytes('9007199254740993', 'x'), /is not a size/);
});

reading('a duration is one or more numbers with a unit each', () => {
  for (const [text, ms] of [
    ['0s', 0],
    ['250ms', 250],
    ['90s', 90_000],
    ['10m', 600_000],
    ['10min', 600_000],
    ['1h30m', 5_400_000],
    [' 1h 30m ', 5_400_000],
    ['1.5h', 5_400_000],
    ['7d', 7 * 86_400_000],
    ['2W', 14 * 86_400_000],
  ] as const) {
    assert.is(parseDuration(text, '--older-than'), ms);
  }
});

reading('what is no duration is a usage error that names the option and the text', () => {
  for (const text of [
    '',
    ' ',
    'banana',
    '7',
    '-7d',
    '7 days',
    '1h30',
    '5constructor',
    'd7',
    '7d, 3h',
    '1e99d',
  ]) {
    assert.throws(
      () => parseDuration(text, '--older-than'),
      (error: unknown) =>
        error instanceof UsageError &&
        error.message === `read --older-than: '${text}' is not a duration` &&
        error.hints.length === 1,
      text,
    );
  }
});

reading('what is printed can be read back, to three digits', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 52 }), (bytes) => {
      const back = parseBytes(formatBytes(bytes), 'size');
      return Math.abs(back - bytes) <= bytes * 0.0051 + 1;
    }),
  );
});

reading.run();
