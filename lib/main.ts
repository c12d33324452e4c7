import yargs from 'yargs';
import packageJson from '../package.json' with { type: 'json' };
import { backupCommand } from './commands/backup.ts';
import { cleanupCommand } from './commands/cleanup.ts';
import type { Cli, World } from './commands/cli.ts';
import { initCommand } from './commands/init.ts';
import { listCommand } from './commands/list.ts';
import { lsCommand } from './commands/ls.ts';
import { misuse, NO_COMMAND } from './commands/misuse.ts';
import { repairCommand } from './commands/repair.ts';
import { restoreCommand } from './commands/restore.ts';
import { resumeStatusCommand } from './commands/resume-status.ts';
import { verifyCommand } from './commands/verify.ts';
import { FLAGS } from './config/options.ts';
import { EXIT, type ExitStatus, InterruptedError, SkylockError } from './errors.ts';
import { createTerminal } from './view/terminal.ts';

const COMMANDS = [
  initCommand,
  backupCommand,
  restoreCommand,
  resumeStatusCommand,
  cleanupCommand,
  listCommand,
  lsCommand,
  verifyCommand,
  repairCommand,
];

/** Command line in, exit status out; the only place where errors become words. */
export async function main(world: World): Promise<ExitStatus> {
  const { argv, stdout, stderr, stdin, env } = world;
  const terminal = createTerminal({
    stdout,
    stderr,
    stdin,
    env,
    // Looked for by hand, since what yargs has to say of the other words must be said the same way.
    quiet: argv.includes('--quiet') || argv.includes('-q'),
    json: argv.includes('--json'),
  });
  try {
    return await run({ ...world, terminal, program: `skylock ${packageJson.version}` });
  } catch (thrown) {
    const error = world.signal.aborted ? interruption(thrown) : thrown;
    terminal.error(error);
    return error instanceof SkylockError ? error.exitStatus : EXIT.failed;
  }
}

/** Once the person has asked to stop, whatever fails (a connection that was closed under a call) fails because of that. */
function interruption(cause: unknown): InterruptedError {
  return new InterruptedError('interrupted', {
    hints: ['Run the same command again: it goes on where it was.'],
    cause,
  });
}

async function run(cli: Cli): Promise<ExitStatus> {
  let status: ExitStatus | null = null;
  const commands = COMMANDS.map((register) => register(cli, (given) => (status = given)));
  const parser = yargs()
    .scriptName('skylock')
    .detectLocale(false) // what we say ourselves is English too
    .usage('$0 <command>\n\nEncrypted backup to storage you rent. Killed anywhere, it goes on where it was.')
    .options(FLAGS)
    .strict()
    .parserConfiguration({ 'populate--': true })
    .demandCommand(1, NO_COMMAND)
    .version(packageJson.version)
    .wrap(Math.min(100, cli.terminal.width()))
    .exitProcess(false)
    .fail((message, error) => {
      // A YError is what yargs throws of its own, a flag without its value for one; all others come from a command.
      if (error && error.name !== 'YError') throw error;
      throw misuse(message ?? error.message, cli.argv, commands);
    });
  for (const command of commands) parser.command(command);
  // yargs hands what it would print (help, version) to the callback; errors come as a rejection as well.
  let output = '';
  await parser.parseAsync([...cli.argv], {}, (_error: unknown, _argv: unknown, printed: string) => {
    output = printed;
  });
  if (status !== null) return status;
  // Behind `--` yargs takes a command for an argument, runs nothing and is content.
  if (output === '') throw misuse(NO_COMMAND, cli.argv, commands);
  await cli.terminal.result(output);
  return EXIT.done;
}
