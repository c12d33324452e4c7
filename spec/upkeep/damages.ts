import { seededBytes } from '../format/fixtures.ts';

/** What a fault, or somebody, does to an object; where `null` is given back it is gone. */
export interface Damage {
  readonly name: string;
  /** @returns other bytes, or `null` */
  readonly apply: (bytes: Buffer) => Buffer | null;
  /** The offsets whose bytes are not what they were; all of them where it cannot be told. */
  readonly touches: (size: number) => readonly [from: number, to: number];
}

const ALL = (size: number) => [0, size] as const;

function flipAt(name: string, place: (size: number) => number): Damage {
  return {
    name: `a bit flipped ${name}`,
    apply(bytes) {
      const copy = Buffer.from(bytes);
      copy[place(copy.length)]! ^= 0x10;
      return copy;
    },
    touches: (size) => [place(size), place(size) + 1],
  };
}

export const DAMAGES: readonly Damage[] = [
  flipAt('in its first byte', () => 0),
  flipAt('in its salt', () => 12),
  flipAt('near its beginning', (size) => Math.min(size - 1, 60)),
  flipAt('in its middle', (size) => Math.floor(size / 2)),
  flipAt('near its end', (size) => size - 25),
  flipAt('in its last byte', (size) => size - 1),
  { name: 'cut by a byte', apply: (bytes) => Buffer.from(bytes.subarray(0, -1)), touches: ALL },
  { name: 'cut in half', apply: (bytes) => Buffer.from(bytes.subarray(0, bytes.length / 2)), touches: ALL },
  { name: 'emptied', apply: () => Buffer.alloc(0), touches: ALL },
  { name: 'a byte longer', apply: (bytes) => Buffer.concat([bytes, Buffer.of(0)]), touches: ALL },
  { name: 'random bytes', apply: (bytes) => seededBytes(bytes.length, 'noise'), touches: ALL },
  { name: 'deleted', apply: () => null, touches: ALL },
];

export function damage(objects: Map<string, Buffer>, name: string, { apply }: Damage): void {
  const bytes = apply(objects.get(name)!);
  if (bytes === null) objects.delete(name);
  else objects.set(name, bytes);
}

/** Each has the other's bytes. */
export function swap(objects: Map<string, Buffer>, a: string, b: string): void {
  const [first, second] = [objects.get(a)!, objects.get(b)!];
  objects.set(a, second);
  objects.set(b, first);
}
