/** What a run has to be gone on with. */
export interface UnfinishedBackup {
  readonly backupId: string;
  readonly host: string;
  readonly remote: string;
  readonly sourcePaths: readonly Buffer[];
}

/**
 * @param here what holds where the command is typed: another machine's backup, and another remote than the configured
 * one, have to be named
 * @returns what to type to go on
 */
export function backupCommandLine(
  { backupId, host, remote, sourcePaths }: UnfinishedBackup,
  here: { readonly host: string; readonly remote: string },
): string {
  return [
    'skylock backup --direct',
    ...(host === here.host ? [] : ['--adopt', backupId]),
    ...(remote === here.remote ? [] : ['--remote', quoteForShell(remote)]),
    ...sourcePaths.map((path) => quoteForShell(path.toString())),
  ].join(' ');
}

function quoteForShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
