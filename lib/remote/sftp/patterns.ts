/**
 * Does `text` match OpenSSH's pattern (`*` any run of characters, `?` one)? In a time that grows with the product of both
 * lengths at most: as a regular expression, a pattern of many `*` would take for ever.
 * @see ssh_config(5), PATTERNS
 */
export function matchesPattern(pattern: string, text: string): boolean {
  let [p, t] = [0, 0];
  /** The last `*`, and where in the text what follows it was tried to match last. */
  let [star, triedAt] = [-1, 0];
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p;
      triedAt = t;
      p += 1;
    } else if (pattern[p] === '?' || pattern[p] === text[t]) {
      p += 1;
      t += 1;
    } else if (star >= 0) {
      triedAt += 1;
      t = triedAt;
      p = star + 1;
    } else return false;
  }
  while (pattern[p] === '*') p += 1;
  return p === pattern.length;
}

/** Does `text` match one of the patterns, and none of those that begin with `!`? */
export function matchesPatternList(patterns: readonly string[], text: string): boolean {
  const negated = patterns.filter((pattern) => pattern.startsWith('!'));
  if (negated.some((pattern) => matchesPattern(pattern.slice(1), text))) return false;
  return patterns.some((pattern) => !pattern.startsWith('!') && matchesPattern(pattern, text));
}
