import { EXIT, UsageError } from '../errors.ts';
import { BACKUP_ID } from '../format/backup-header.ts';
import { formatBytes, formatCount, formatDuration } from '../units.ts';
import type { Finding, VerifySummary } from '../upkeep/verify.ts';
import { chooseProgressFormat, createProgress } from '../view/progress.ts';
import { type Cli, defineCommand } from './cli.ts';
import { findBackup, requireBackupName } from './find-backup.ts';
import { withSession } from './session.ts';

export const verifyCommand = defineCommand({
  command: 'verify [id]',
  describe: 'prove that the backups on the remote can be restored',
  builder: (argv) =>
    argv
      .positional('id', { type: 'string', describe: 'one backup and what it needs; all of them without it' })
      .option('read-data', {
        type: 'string',
        describe: 'fetch every pack, or with --read-data=5% so many of them, and look at every byte',
      })
      .option('server-hash', {
        type: 'boolean',
        default: false,
        describe: 'have the server compute the hash of every pack; nothing is fetched for that',
      })
      .example('$0 verify --read-data=5%', 'read a twentieth of the packs, others each time'),

  async run(cli, options) {
    const { terminal } = cli;
    const { id, share } = readRequest(options.id, options.readData);
    const startedAt = performance.now();
    const view = createProgress(terminal, {
      format: chooseProgressFormat(terminal),
      now: () => performance.now(),
    });
    // Results go to the window as well: nothing may be drawn there any more when the first one comes.
    let closed: Promise<void> | null = null;
    const closeView = () => (closed ??= view.close());
    let summary: VerifySummary;
    const shown: Finding['kind'][] = [];
    try {
      summary = await withSession(cli, options, { progress: view.report }, async (session) => {
        const { verify } = await import('../upkeep/verify.ts');
        const backupId = id === 'latest' ? (await findBackup(session.repository, id)).backupId : id;
        return verify(
          { backupId, readShare: share, serverHash: options.serverHash },
          {
            ...session,
            progress: view.report,
            signal: cli.signal,
            random: Math.random,
            onFinding: async (finding) => {
              await closeView();
              await showFinding(cli, finding, shown);
            },
          },
        );
      });
    } finally {
      await closeView();
    }
    await showSummary(cli, summary, performance.now() - startedAt);
    return summary.findings > 0 ? EXIT.failed : EXIT.done;
  },
});

/** @param readData what follows `--read-data`: nothing, a share, or by mistake the id */
function readRequest(
  id: string | undefined,
  readData: string | undefined,
): { readonly id: string | null; readonly share: number } {
  const isId = id === undefined && (readData === 'latest' || BACKUP_ID.test(readData ?? ''));
  const name = isId ? readData : id;
  return {
    id: name === undefined ? null : requireBackupName(name),
    share: readData === undefined ? 0 : isId || readData === '' ? 1 : parseShare(readData),
  };
}

function parseShare(text: string): number {
  const percent = Number(/^(\d+(?:\.\d+)?)%$/.exec(text)?.[1] ?? Number.NaN);
  if (percent > 0 && percent <= 100) return percent / 100;
  throw new UsageError(`read --read-data: '${text}' is not a share`, {
    hints: ['Write a share of the packs, such as --read-data=5%, or --read-data alone for all of them.'],
  });
}

const SHOWN_FILES = 20;
/** Of things nobody needs, a few are enough. */
const SHOWN_NOTES = 20;

async function showFinding(
  { terminal }: Cli,
  { affected, ...finding }: Finding,
  shown: Finding['kind'][],
): Promise<void> {
  const { kind, object, reason, backups, files } = finding;
  if (terminal.json) {
    const { kind: type, ...rest } = finding;
    await terminal.resultJson({ type, ...rest });
    for (const { backupId, path } of affected()) {
      await terminal.resultJson({ type: 'affected', object, backupId, path: path.toString() });
    }
    return;
  }
  if (kind === 'note') {
    shown.push(kind);
    if (shown.length <= SHOWN_NOTES) terminal.message(`note: ${object}: ${reason}`);
    if (shown.length === SHOWN_NOTES + 1) terminal.message('note: there is more of that; --json lists all');
    return;
  }
  const lines = [`${object}: ${reason}`];
  if (backups.length > 0)
    lines.push(`  affects ${formatCount(backups.length, 'backup')}: ${backups.join(', ')}`);
  for (const { backupId, path } of affected()) {
    if (lines.length > SHOWN_FILES + 1) break;
    lines.push(`  ${backupId} ${path}`);
  }
  if (files > SHOWN_FILES)
    lines.push(`  and ${files - SHOWN_FILES} more of ${files} files; --json lists all`);
  await terminal.result(lines.join('\n'));
}

async function showSummary({ terminal }: Cli, summary: VerifySummary, durationMs: number): Promise<void> {
  if (terminal.json) {
    await terminal.resultJson({ type: 'summary', ...summary, durationSeconds: durationMs / 1000 });
    return;
  }
  const { findings, backups, indexes, packs, bytes, readPacks, readBytes, chosenPacks, affectedFiles } =
    summary;
  const { hashedPacks, hashedBytes } = summary;
  const hashed =
    hashedPacks > 0
      ? `; the server hashed ${formatCount(hashedPacks, 'pack')} (${formatBytes(hashedBytes)})`
      : '';
  const share = chosenPacks.length > 0 ? `, chosen at random of ${packs}` : '';
  const read =
    readPacks > 0 ? `; read ${formatCount(readPacks, 'pack')} (${formatBytes(readBytes)})${share}` : '';
  terminal.message(
    `${findings === 0 ? '✅ No damage found' : '❌ Damage found'}: checked ${formatCount(backups, 'backup')}, ` +
      `${indexes} ${indexes === 1 ? 'index' : 'indexes'}, ${formatCount(packs, 'pack')} (${formatBytes(bytes)})${hashed}${read}; ` +
      `took ${formatDuration(durationMs)}`,
  );
  if (findings === 0) return;
  terminal.warning(
    `${formatCount(findings, 'finding')}; ${formatCount(affectedFiles, 'file')} cannot be restored whole`,
  );
  const flag = readPacks > 0 || hashedPacks > 0 ? ' --read-data' : '';
  terminal.hint(
    `'skylock repair${flag}' mends what can be; the next backup then sends what the sources still have.`,
  );
}
