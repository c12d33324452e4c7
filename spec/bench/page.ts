/** The part of a page that a program writes, between two comments that name it. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** @throws when the page has no such part */
export function replacePart(page: string, name: string, body: string): string {
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from === -1 || to < from) throw new Error(`the page has no part ${begin} … ${end}`);
  return `${page.slice(0, from + begin.length)}\n${body.trim()}\n${page.slice(to)}`;
}

/** Writes it into the first of the pages that has such a part. @returns that page */
export function writePart(pages: readonly string[], name: string, body: string): string {
  const page = pages.find(
    (one) => existsSync(one) && readFileSync(one, 'utf8').includes(`<!-- ${name}: begin -->`),
  );
  if (page === undefined) throw new Error(`no page has a part ${name}: ${pages.join(', ')}`);
  writeFileSync(page, replacePart(readFileSync(page, 'utf8'), name, body));
  return page;
}
