/** What a person may have in two folders: about 60 MB, the same at every run. */
import { createCipheriv, createHash } from 'node:crypto';
import { chmodSync, linkSync, lutimesSync } from 'node:fs';
import { join } from 'node:path';
import { type Content, factsOf, writeTree } from '../helpers/tree.ts';

const WORDS =
  `the of and to in a is that for it was on are as with his they at be this from have or by one had not but
what all were when we there can an your which their said if do will each about how up out them then she many some so
backup folder letter invoice garden holiday recipe meeting report photo song bicycle river window bread train`.split(
    /\s+/,
  );

/** Makes `home`/Documents and `home`/Pictures; @returns both paths */
export function makeSample(home: string): [string, string] {
  const [documents, pictures] = [join(home, 'Documents'), join(home, 'Pictures')];
  writeTree(documents, [...texts(), ...oddities()]);
  writeTree(pictures, [...photos()]);
  linkSync(join(pictures, '2025/0001.jpg'), join(pictures, 'best of 2025.jpg'));
  linkSync(join(documents, 'letters/0001.txt'), join(documents, 'first letter.txt'));
  chmodSync(join(documents, 'scripts/run me'), 0o755);
  chmodSync(join(documents, 'private'), 0o700);
  chmodSync(join(documents, 'private/keys.txt'), 0o400);
  setTimes(documents, pictures);
  return [documents, pictures];
}

function* texts(): Generator<[string, Content]> {
  for (const [folder, count, words] of [
    ['letters', 300, 600],
    ['notes', 800, 120],
    ['accounts', 24, 40_000],
  ] as const) {
    for (let n = 1; n <= count; n += 1) {
      yield [`${folder}/${String(n).padStart(4, '0')}.txt`, text(`${folder}/${n}`, words)];
    }
  }
}

function* photos(): Generator<[string, Content]> {
  yield ['2024 summer film.mp4', bytes('film', 20_000_000)];
  for (let n = 1; n <= 26; n += 1) {
    yield [`2025/${String(n).padStart(4, '0')}.jpg`, bytes(`photo ${n}`, 700_000 + n * 30_000)];
  }
}

function* oddities(): Generator<[string | Buffer, Content]> {
  yield ['odd names/two\nlines', 'a name may hold a newline'];
  yield ['odd names/"quotes" and \'more\' $HOME `x`', 'and what shells care for'];
  yield ['odd names/-rf', 'or look like an option'];
  yield ['odd names/ blanks at both ends ', ''];
  yield ['odd names/\u001b[31mred', 'or like a command to the terminal'];
  yield ['odd names/Zürich 東京 🚲', 'or be of any script'];
  yield ['odd names/Zu\u0308rich 東京 🚲', 'written in two ways'];
  yield ['odd names/'.concat('long '.repeat(51)), 'or be 255 bytes long'];
  yield [Buffer.from('odd names/latin-1 \xfcberall \xff', 'latin1'), 'or not be UTF-8 at all'];
  yield ['empty file', ''];
  yield ['empty folder/', ''];
  yield ['empty folders/in/empty folders/', ''];
  yield ['zeros', Buffer.alloc(3_000_000)];
  yield ['scripts/run me', '#!/bin/sh\necho hello\n'];
  yield ['private/keys.txt', 'for my eyes only\n'];
  yield ['link to a folder', { linkTo: 'letters' }];
  yield ['link to a file', { linkTo: 'letters/0002.txt' }];
  yield ['link to nothing', { linkTo: Buffer.from('no such \xff', 'latin1') }];
}

/** Bytes that nothing can compress, as a photo's: the key stream of AES under a key made from `seed`. */
function bytes(seed: string, size: number): Buffer {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

function text(seed: string, words: number): string {
  const dice = bytes(seed, words);
  return `${Array.from(dice, (die, n) => WORDS[die % WORDS.length] + (n % 12 === 11 ? '\n' : ' ')).join('')}\n`;
}

/** Each entry gets a time of its own, folders last; with microseconds that no float holds exactly. */
function setTimes(...roots: string[]): void {
  const paths = roots
    .flatMap((root) => [...factsOf(root).keys()])
    .sort()
    .reverse();
  for (const [n, path] of paths.entries()) {
    const seconds = 1_600_000_000 + n * 4321.000_123;
    lutimesSync(Buffer.from(path, 'latin1'), seconds, seconds);
  }
}
