/**
 * What could move the cursor, change colours, ring, hide text or turn its direction: control characters (C0, DEL, C1),
 * line and paragraph separators, bidirectional controls (CVE-2021-42574), interlinear annotation, lone surrogates.
 */
const HOSTILE = /[\p{Cc}\p{Cs}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb]/gu;

const NAMED: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\x1b': '\\e' };

/**
 * @param text from outside: a file name, a server's answer
 * @returns the same on one line that nothing in it can break out of; what is not harmless is shown as its escape
 */
export function harmless(text: string): string {
  return text.replace(HOSTILE, (character) => NAMED[character] ?? escapeOf(character.codePointAt(0) ?? 0));
}

/** As {@link harmless}, for text of ours that has lines. */
export function harmlessLines(text: string): string {
  return text.split('\n').map(harmless).join('\n');
}

/** @returns the value as JSON on one line; what is not harmless is escaped, so that a reader of JSON gets it as it was. */
export function harmlessJson(value: unknown): string {
  return JSON.stringify(value).replace(
    HOSTILE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function escapeOf(codePoint: number): string {
  const digits = codePoint.toString(16);
  return codePoint <= 0xff ? `\\x${digits.padStart(2, '0')}` : `\\u${digits.padStart(4, '0')}`;
}
