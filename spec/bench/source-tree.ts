import { type Random, records, seeded, text } from './content.ts';
import type { MadeFile } from './data.ts';

const KIB = 1024;
const FILES = 6500;

/**
 * About 6,500 files and 250 MB, as a checkout with its dependencies and what was built of them: mostly text, some binaries
 * that shrink, some media that do not, and copies.
 */
export function* sourceTree(): Generator<MadeFile> {
  const random = seeded('tree');
  const earlier: Buffer[] = [];
  for (let number = 0; number < FILES; number += 1) {
    const [content, ending] = fileOf(random, earlier);
    if (earlier.length < 1000) earlier.push(content);
    else earlier[random.below(1000)] = content;
    const [module, part] = [Math.floor(number / 130), Math.floor(number / 13) % 10];
    yield [`packages/module-${module}/src/part-${part}/file-${number}.${ending}`, [content]];
  }
}

function fileOf(random: Random, earlier: readonly Buffer[]): [content: Buffer, ending: string] {
  const kind = random.below(100);
  if (kind < 8 && earlier.length > 0) return [earlier[random.below(earlier.length)]!, 'copy'];
  if (kind < 13) return [records(random, skewed(random, 945 * KIB)), 'o'];
  if (kind < 16) return [random.bytes(skewed(random, 600 * KIB)), 'jpg'];
  return [text(random, skewed(random, 45 * KIB)), 'ts'];
}

/** Sizes as they are found: many small, few large. @returns a third of `largest` in the mean */
function skewed(random: Random, largest: number): number {
  const share = random.below(largest) / largest;
  return 200 + Math.floor(share * share * largest);
}
