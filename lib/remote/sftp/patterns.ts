/**
 * Does `text` match OpenSSH's pattern (`*` any run of characters, `?` one)?
 * @see ssh_config(5), PATTERNS
 */
export function matchesPattern(pattern: string, text: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 's').test(text);
}

/** Does `text` match one of the patterns, and none of those that begin with `!`? */
export function matchesPatternList(patterns: readonly string[], text: string): boolean {
  const negated = patterns.filter((pattern) => pattern.startsWith('!'));
  if (negated.some((pattern) => matchesPattern(pattern.slice(1), text))) return false;
  return patterns.some((pattern) => !pattern.startsWith('!') && matchesPattern(pattern, text));
}
