/** @returns what to type to go on with a backup of these sources */
export function backupCommandLine(sourcePaths: readonly Buffer[]): string {
  return ['skylock backup --direct', ...sourcePaths.map((path) => quoteForShell(path.toString()))].join(' ');
}

function quoteForShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
