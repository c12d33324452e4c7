import type { ArgumentsCamelCase, Argv, CommandModule } from 'yargs';
import { type ExitStatus, UsageError } from '../errors.ts';
import type { Terminal } from '../view/terminal.ts';

/** All that comes in from the process; only `bin` takes it from there. */
export interface World {
  /** Without the program's own name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly home: string;
  readonly host: string;
  readonly pid: number;
  /** Of whoever runs it; 0 is root. */
  readonly userId: number;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Aborted at the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  readonly now: () => Date;
}

/** What a command has at hand beside its own options. */
export interface Cli extends World {
  /** `skylock 1.2.3` */
  readonly program: string;
  readonly terminal: Terminal;
}

export interface CommandDefinition<Options> {
  /** As yargs writes it: `ls <id> [path]`. */
  readonly command: string;
  readonly aliases?: readonly string[];
  readonly describe: string;
  readonly builder: (argv: Argv) => Argv<Options>;
  readonly run: (cli: Cli, options: ArgumentsCamelCase<Options> & Flags) => Promise<ExitStatus>;
}

/** Flags every command takes; which of them the configuration knows is `config/options.ts`'s business. */
export type Flags = Readonly<Record<string, unknown>>;

/** A command as `main` registers it. */
export type RegisterCommand = (cli: Cli, setStatus: (status: ExitStatus) => void) => CommandModule;

export function defineCommand<Options>(definition: CommandDefinition<Options>): RegisterCommand {
  const { command, aliases = [], describe, builder, run } = definition;
  return (cli, setStatus) => ({
    command,
    aliases,
    describe,
    builder: builder as CommandModule['builder'] & {},
    handler: async (argv) => {
      const options = withOperands(argv, command) as unknown as ArgumentsCamelCase<Options> & Flags;
      setStatus(await run(cli, options));
    },
  });
}

/** What stands after `--` is a path however it begins. yargs leaves it aside, and would not miss it. */
function withOperands(argv: ArgumentsCamelCase, command: string): ArgumentsCamelCase {
  const operands = (argv['--'] ?? []) as readonly string[];
  if (operands.length === 0) return argv;
  const list = /\[(\w+)\.\.\]$/.exec(command)?.[1];
  if (list !== undefined) return { ...argv, [list]: [...((argv[list] ?? []) as string[]), ...operands] };
  throw new UsageError(`read command line: '${operands[0]}' is one argument too many`);
}
