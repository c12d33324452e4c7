/**
 * What every parser of bytes from outside is held to: whatever comes, it gives a value or the error that is documented,
 * and nothing else. `FUZZ_RUNS=5000` tries fifty times as much as CI does, `FUZZ_SEED` repeats what a failure printed.
 */
import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { SkylockError } from '../../lib/errors.ts';

/** In hundredths of what CI takes. */
const SHARE = Number(process.env.FUZZ_RUNS ?? 100) / 100;
const SEED = process.env.FUZZ_SEED === undefined ? {} : { seed: Number(process.env.FUZZ_SEED) };
const REPORT = { ...SEED, includeErrorInReport: true };

/** @param quick how often in CI */
export function times(quick: number): number {
  return Math.max(1, Math.round(quick * SHARE));
}

export function holds<Values extends [unknown, ...unknown[]]>(
  property: fc.IProperty<Values>,
  quick = 300,
): void {
  fc.assert(property, { numRuns: times(quick), ...REPORT });
}

export async function holdsInTime<Values extends [unknown, ...unknown[]]>(
  property: fc.IAsyncProperty<Values>,
  quick = 300,
): Promise<void> {
  await fc.assert(property, { numRuns: times(quick), ...REPORT });
}

/** A number generator for loops in which every step costs too much to be shrunk: the same for the same seed. */
export function createRandom(seed = Number(process.env.FUZZ_SEED ?? 1)): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Any error but this one, or one of its subclasses, is a crash. @returns what was read, `null` when it was refused */
export function readOrRefuse<Value>(
  read: () => Value,
  refusal: abstract new (...args: never[]) => SkylockError = SkylockError,
): Value | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof refusal) {
      assert.match(error.message, /^[a-z].*[^.]$/s, 'a message as all others');
      return null;
    }
    throw error;
  }
}

/** Bytes that mean something to one parser or another. */
const TELLING = [
  'SKYLOCK1',
  '{',
  '}',
  '[',
  '"',
  '\\',
  '\\u0000',
  '\n',
  '\0',
  '/',
  '..',
  '%',
  '=',
  '#',
  '-1',
  '1e999',
];

/** Bytes at random, and such that a parser may take for a beginning. */
export function anyBytes(beginnings: readonly (string | Uint8Array)[] = []): fc.Arbitrary<Buffer> {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.string({ unit: 'grapheme', maxLength: 50 }).map((text) => Buffer.from(text)),
    fc.constantFrom(...TELLING, ...beginnings).map((known) => Buffer.from(known as string)),
    fc.json({ maxDepth: 3 }).map((text) => Buffer.from(text)),
  );
  return fc.array(piece, { maxLength: 8 }).map((pieces) => Buffer.concat(pieces));
}

const anyNumber = fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xff);

type Change = (bytes: Buffer) => Buffer;

/** What may become of bytes on a disk, on a line, or in somebody's hands: each is a change to whatever it is given. */
const anyChange: fc.Arbitrary<Change> = fc.oneof<fc.Arbitrary<Change>[]>(
  fc.tuple(fc.nat(), fc.nat(7)).map(
    ([at, bit]): Change =>
      (bytes) => {
        const copy = Buffer.from(bytes);
        if (copy.length > 0) copy[at % copy.length]! ^= 1 << bit;
        return copy;
      },
  ),
  fc.tuple(fc.nat(), fc.array(anyNumber, { minLength: 1, maxLength: 8 })).map(
    ([at, run]): Change =>
      (bytes) => {
        const copy = Buffer.from(bytes);
        if (copy.length > 0) copy.set(run.slice(0, copy.length - (at % copy.length)), at % copy.length);
        return copy;
      },
  ),
  fc.nat().map(
    (at): Change =>
      (bytes) =>
        bytes.subarray(0, at % (bytes.length + 1)),
  ),
  fc.nat().map(
    (at): Change =>
      (bytes) =>
        bytes.subarray(at % (bytes.length + 1)),
  ),
  fc.tuple(fc.nat(), fc.nat(100)).map(
    ([at, length]): Change =>
      (bytes) => {
        const from = at % (bytes.length + 1);
        return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + length)]);
      },
  ),
  fc.tuple(fc.nat(), fc.nat(100)).map(
    ([at, length]): Change =>
      (bytes) => {
        const from = at % (bytes.length + 1);
        return Buffer.concat([bytes.subarray(0, from + length), bytes.subarray(from)]);
      },
  ),
  fc.tuple(fc.nat(), anyBytes()).map(
    ([at, more]): Change =>
      (bytes) => {
        const from = at % (bytes.length + 1);
        return Buffer.concat([bytes.subarray(0, from), more, bytes.subarray(from)]);
      },
  ),
);

/** One valid thing, changed once or a few times; it may come out as it was. */
export function anyChangeOf(valid: Uint8Array): fc.Arbitrary<Buffer> {
  return fc
    .array(anyChange, { minLength: 1, maxLength: 4 })
    .map((changes) => changes.reduce<Buffer>((bytes, change) => change(bytes), Buffer.from(valid)));
}

/** A JSON object of which one field, however deep, is something else, is gone, or has company. */
export function anyChangeOfJson(valid: object): fc.Arbitrary<Buffer> {
  const paths = pathsIn(valid);
  return fc
    .tuple(
      fc.constantFrom(...paths),
      fc.oneof(fc.jsonValue(), fc.constantFrom(undefined, 2 ** 53, -1, 0.5, '', '\ud800')),
    )
    .map(([path, value]) => {
      const copy = structuredClone(valid) as Record<string, unknown>;
      const holder = path
        .slice(0, -1)
        .reduce<Record<string, unknown>>((at, name) => at[name] as typeof at, copy);
      holder[path.at(-1)!] = value;
      return Buffer.from(JSON.stringify(copy));
    });
}

function pathsIn(value: object): string[][] {
  return Object.entries(value).flatMap(([name, inner]) => [
    [name],
    ...(typeof inner === 'object' && inner !== null ? pathsIn(inner).map((path) => [name, ...path]) : []),
  ]);
}
