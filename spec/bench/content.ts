/** What the data sets are made of: bytes that are the same each time they are made. */
import { createCipheriv, hash } from 'node:crypto';

export interface Random {
  /** Bytes that do not shrink. */
  bytes(length: number): Buffer;
  /** @returns a whole number from 0 to `limit` - 1. @param limit 2^32 at most */
  below(limit: number): number;
}

const DRAWN_AT_ONCE = 64 * 1024;

/** A keystream of AES-128-CTR whose key is the hash of `seed`: quick, and the same everywhere. */
export function seeded(seed: string): Random {
  const key = hash('sha256', seed, 'buffer').subarray(0, 16);
  const stream = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  let drawn = Buffer.alloc(0);
  let used = 0;
  return {
    bytes: (length) => stream.update(Buffer.alloc(length)),
    below(limit) {
      if (used === drawn.length) {
        drawn = stream.update(Buffer.alloc(DRAWN_AT_ONCE));
        used = 0;
      }
      used += 4;
      return Math.floor((drawn.readUInt32LE(used - 4) / 2 ** 32) * limit);
    },
  };
}

const SYLLABLES = [
  'ba',
  'con',
  'der',
  'en',
  'fo',
  'gra',
  'ing',
  'ka',
  'lo',
  'men',
  'no',
  'pre',
  'ri',
  'sta',
  'tu',
];
const MARKS = [' ', ' ', ' ', ' ', ' ', ' ', ', ', '(', ') ', '.', ' = ', ';\n', ';\n  ', ' {\n    ', '\n'];

/** Some thousand words, from one to four syllables. */
const WORDS: readonly Buffer[] = Array.from({ length: 4096 }, (_, number) => {
  let [rest, word] = [number, ''];
  do {
    word += SYLLABLES[rest % SYLLABLES.length];
    rest = Math.floor(rest / SYLLABLES.length);
  } while (rest > 0);
  return Buffer.from(word);
});
const MARK_BYTES: readonly Buffer[] = MARKS.map((mark) => Buffer.from(mark));

/** Text as sources are: few words often, many seldom, in lines. It shrinks to about a third. */
export function text(random: Random, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let end = 0; end < length; ) {
    const often = random.below(WORDS.length);
    const word = WORDS[Math.floor((often * often) / WORDS.length)]!;
    end += word.copy(bytes, end);
    end += MARK_BYTES[random.below(MARK_BYTES.length)]!.copy(bytes, end);
  }
  return bytes;
}

const RECORD_BYTES = 64;

/** Records as programs and databases hold them: counters, small numbers, names out of a few. It shrinks to about a half. */
export function records(random: Random, length: number): Buffer {
  const bytes = Buffer.alloc(length + RECORD_BYTES);
  let time = 1_700_000_000 + random.below(1_000_000);
  for (let at = 0; at < length; at += RECORD_BYTES) {
    time += random.below(600);
    bytes.writeUInt32LE(at / RECORD_BYTES, at);
    bytes.writeUInt32LE(time, at + 4);
    for (let field = 8; field < 24; field += 4) bytes.writeUInt32LE(random.below(500), at + field);
    WORDS[random.below(200)]!.copy(bytes, at + 24);
    bytes.writeDoubleLE(random.below(2 ** 32) / 1000, at + 40);
    bytes.writeUInt32LE(random.below(2 ** 32), at + 48);
  }
  return bytes.subarray(0, length);
}
