import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Cli, RegisterCommand } from '../lib/commands/cli.ts';
import { CONFIG_OPTIONS, FLAGS } from '../lib/config/options.ts';
import { EXIT } from '../lib/errors.ts';
import { skipTest } from './helpers/skip.ts';

const root = resolve(import.meta.dirname, '..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');
const filesUnder = (folder: string, ending: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending))
    .map((file) => join(folder, file));

const PAGES = ['README.md', 'CHANGELOG.md', ...filesUnder('docs', '.md')];
const cliPage = read('docs/cli.md');

/** yargs' own. */
const USUAL_FLAGS = ['--help', '--version'];
/** What the examples call beside skylock, with flags of its own. */
const OTHER_PROGRAMS = /\b(?:ssh|ssh-\w+|openssl|jq|npm|crontab|systemctl|curl)\b[^`\n]*/g;

interface Command {
  /** As yargs writes it: `ls <id> [path]`. */
  readonly synopsis: string;
  /** With the aliases. */
  readonly names: readonly string[];
  /** `--direct`, `-t`. */
  readonly flags: readonly string[];
}

/** Every command of the program, asked for its flags as yargs asks. */
async function commandsOfTheCode(): Promise<Command[]> {
  const commands: Command[] = [];
  for (const file of filesUnder('lib/commands', '.ts')) {
    const exported: Record<string, unknown> = await import(join(root, file));
    for (const [name, register] of Object.entries(exported)) {
      const isCommand = name.endsWith('Command') && name !== 'defineCommand';
      if (isCommand) commands.push(describe(register as RegisterCommand));
    }
  }
  return commands;
}

function describe(register: RegisterCommand): Command {
  const { command, aliases, builder } = register({} as Cli, () => {});
  const flags: string[] = [];
  const recorder = {
    positional: () => recorder,
    example: () => recorder,
    option(name: string, { alias }: { alias?: string }) {
      flags.push(`--${name}`, ...(alias === undefined ? [] : [`-${alias}`]));
      return recorder;
    },
  };
  (builder as unknown as (argv: typeof recorder) => unknown)(recorder);
  const synopsis = String(command);
  return { synopsis, names: [synopsis.split(' ')[0] ?? '', ...(aliases ?? [])], flags };
}

async function flagsOfTheCode(): Promise<Set<string>> {
  const common = Object.entries(FLAGS).flatMap(([name, { alias }]) => [
    `--${name}`,
    ...(alias === undefined ? [] : [`-${alias}`]),
  ]);
  return new Set([...common, ...USUAL_FLAGS, ...(await commandsOfTheCode()).flatMap(({ flags }) => flags)]);
}

/** What the product's source reads from the environment. */
function variablesOfTheCode(): Set<string> {
  const found = new Set<string>();
  for (const file of filesUnder('lib', '.ts')) {
    for (const [, name] of read(file).matchAll(/\benv\.([A-Z][A-Z_]+)/g)) found.add(name ?? '');
  }
  for (const { env } of Object.values(CONFIG_OPTIONS)) if (env !== undefined) found.add(env);
  // Secrets are no options: their variables are named where they are read.
  for (const [, name] of read('lib/config/config.ts').matchAll(/'(SKYLOCK_[A-Z_]+)'/g)) found.add(name ?? '');
  return found;
}

/** The part of a page below a heading of the second level. */
function section(page: string, heading: string): string {
  const [, part] = page.split(new RegExp(`^## ${heading}$`, 'm'));
  assert.ok(part, `no section '${heading}'`);
  return part.split(/^## /m)[0] ?? '';
}

/** The first column of a section's tables, headings left out. */
function firstColumn(part: string): string[] {
  return [...part.matchAll(/^\| (.+?) \|/gm)]
    .map(([, cell]) => cell ?? '')
    .filter((cell, index, cells) => !cell.startsWith('---') && !cells[index + 1]?.startsWith('---'));
}

const unquoted = (cell: string) => cell.replaceAll('`', '');
const sorted = (items: Iterable<string>) => [...new Set(items)].sort();

/** Inline code and code blocks: where a page shows what to type. */
function codeOf(page: string): string[] {
  const blocks = [...page.matchAll(/^```\w*\n([\s\S]*?)^```/gm)].flatMap(
    ([, text]) => text?.split('\n') ?? [],
  );
  const inline = [...page.replace(/^```[\s\S]*?^```/gm, '').matchAll(/`([^`]+)`/g)].map(
    ([, text]) => text ?? '',
  );
  return [...blocks, ...inline].map((code) => code.replaceAll('\n', ' '));
}

const interfaceOf = suite('docs/cli.md and the code');

interfaceOf('have the same commands', async () => {
  const documented = [...cliPage.matchAll(/^### `skylock ([^`]+)`$/gm)].map(([, synopsis]) => synopsis ?? '');
  const commands = await commandsOfTheCode();
  assert.equal(sorted(documented), sorted(commands.map(({ synopsis }) => synopsis)));
  for (const name of commands.flatMap(({ names }) => names)) assert.match(cliPage, `\`skylock ${name}`);
});

interfaceOf('register in main what the page describes', async () => {
  const [, list = ''] = /const COMMANDS = \[([^\]]+)\]/.exec(read('lib/main.ts')) ?? [];
  assert.is(list.match(/\w+Command/g)?.length, (await commandsOfTheCode()).length);
});

interfaceOf('have the same flags', async () => {
  const own = codeOf(cliPage).map((code) => code.replace(OTHER_PROGRAMS, ''));
  const documented = own.flatMap((code) => code.match(/(?<![\w-])(--[a-z][a-z-]+|-[a-z](?![\w-]))/g) ?? []);
  assert.equal(sorted(documented), sorted(await flagsOfTheCode()));
});

interfaceOf('have the same settings, with the same defaults of numbers', () => {
  const rows = [...section(cliPage, 'Settings').matchAll(/^\| `(\w+)` \| `--([\w-]+)[^`]*` \| (.*?) \|/gm)];
  const documented = rows.map(([, key, flag]) => `${key} --${flag}`);
  const options = Object.values(CONFIG_OPTIONS);
  assert.equal(sorted(documented), sorted(options.map(({ key }) => `${key} --${key.replaceAll('_', '-')}`)));
  for (const [, key, , shown] of rows) {
    const [, told] = /\[(\S+)\]$/.exec(options.find((option) => option.key === key)?.help ?? '') ?? [];
    if (told !== undefined) assert.is(shown, told, key);
  }
});

interfaceOf('have the same environment variables', () => {
  const documented = firstColumn(section(cliPage, 'Environment variables')).map(unquoted);
  assert.equal(sorted(documented), sorted(variablesOfTheCode()));
});

interfaceOf('have the same exit statuses, and so has the README', () => {
  const statuses = sorted(Object.values(EXIT).map(String));
  for (const page of ['docs/cli.md', 'README.md']) {
    assert.equal(sorted(firstColumn(section(read(page), 'Exit statuses'))), statuses, page);
  }
});

interfaceOf('have the same events in the JSON streams', () => {
  const union = read('lib/progress.ts').matchAll(/readonly type: '(\w+)'/g);
  const told = [...union].map(([, type]) => type ?? '');
  assert.equal(sorted(firstColumn(section(cliPage, 'JSON')).map(unquoted)), sorted([...told, 'summary']));
});

interfaceOf('have the same fields in the state file', () => {
  const written = read('lib/journal/state-file.ts').matchAll(/"(\w+)":/g);
  const documented = firstColumn(section(cliPage, 'The state file')).map(unquoted);
  assert.equal(sorted(documented), sorted([...written].map(([, field]) => field ?? '')));
  assert.is(documented.length, 6);
});
interfaceOf.run();

const pages = suite('the pages');

pages('name no command, flag or variable that the program does not have', async () => {
  const names = (await commandsOfTheCode()).flatMap((command) => command.names);
  const flags = await flagsOfTheCode();
  const variables = variablesOfTheCode();
  const unknown: string[] = [];
  // In the format's page `skylock key file` and its like are bytes that are hashed.
  for (const file of PAGES.filter((page) => page !== 'docs/format.md')) {
    const page = read(file);
    for (const code of codeOf(page)) {
      for (const [whole, command] of code.matchAll(/(?<![\w/.-])skylock ([a-z][\w-]*)(?![\w/.])/g)) {
        if (!names.includes(command ?? '')) unknown.push(`${file}: ${whole}`);
      }
      const ours = /(?<![\w/.-])skylock /.test(code) ? code.replace(OTHER_PROGRAMS, '') : '';
      for (const flag of ours.match(/(?<![\w-])--[a-z][a-z-]+/g) ?? []) {
        if (!flags.has(flag)) unknown.push(`${file}: ${flag}`);
      }
    }
    for (const variable of page.match(/\bSKYLOCK_[A-Z_]*[A-Z]/g) ?? []) {
      if (!variables.has(variable)) unknown.push(`${file}: ${variable}`);
    }
  }
  assert.equal(unknown, []);
});

/** As GitHub makes anchors of headings. */
function anchorsOf(page: string): Set<string> {
  const headings = page.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.+)$/gm);
  return new Set(
    [...headings].map(([, heading = '']) =>
      heading
        .replace(/\[([^\]]+)\]\([^)]*\)/g, '$1')
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

pages('link to what is there', () => {
  const broken: string[] = [];
  for (const file of PAGES) {
    const text = read(file).replace(/^```[\s\S]*?^```/gm, '');
    for (const [, link = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link)) continue;
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? file : join(dirname(file), path);
      const there = existsSync(join(root, target));
      const anchored =
        anchor === undefined || !target.endsWith('.md') || anchorsOf(there ? read(target) : '').has(anchor);
      if (!there || !anchored) broken.push(`${file}: ${link}`);
    }
  }
  assert.equal(broken, []);
});

pages('name files and functions of the sources that are there', () => {
  const wrong: string[] = [];
  for (const file of PAGES) {
    const named = read(file).matchAll(/`((?:lib|spec|bin|migrations)\/[\w/.-]+\.(?:ts|sh))(?::(\w+))?`/g);
    for (const [whole, source = '', name] of named) {
      const there = existsSync(join(root, source));
      if (!there || (name !== undefined && !new RegExp(`\\b${name}\\b`).test(read(source)))) {
        wrong.push(`${file}: ${whole}`);
      }
    }
  }
  assert.equal(wrong, []);
});

pages('of reliability name the spec that shows it for each fault', () => {
  const rows = [...read('docs/reliability.md').matchAll(/^\| (?!fault |---)(.+)\|$/gm)].map(
    ([, row = '']) => row,
  );
  assert.ok(rows.length > 40);
  const without = rows.filter((row) => !/\|[^|]*`spec\/[\w/.-]+\.ts`[^|]*$/.test(row));
  assert.equal(without, []);
});

pages('explain messages that the program prints', () => {
  const sources = [...filesUnder('lib', '.ts'), 'bin/skylock'].map(read).join('\n');
  const quoted = [...read('docs/troubleshooting.md').matchAll(/^### `([^`]+)`$/gm)].map(
    ([, text]) => text ?? '',
  );
  assert.ok(quoted.length > 0);
  // A message may be put together from pieces: what stands between two values is in the source.
  assert.equal(
    quoted.filter((text) => !sources.includes(text)),
    [],
  );
});

pages('of decisions are all in their index', () => {
  const index = read('docs/decisions/index.md');
  const missing = readdirSync(join(root, 'docs/decisions')).filter(
    (file) => file !== 'index.md' && !index.includes(`](${file})`),
  );
  assert.equal(missing, []);
});

pages('tell to make what the Makefile makes, the tests first of all', () => {
  const targets = [...read('Makefile').matchAll(/^([a-z-]+):/gm)].map(([, target]) => target);
  const calls = PAGES.flatMap((file) =>
    codeOf(read(file)).flatMap((code) => [...code.matchAll(/^(?:\$ )?make ((?:[a-z-]+ ?)+)/g)]),
  );
  const missing = calls
    .flatMap(([, words = '']) => words.trim().split(' '))
    .filter((target) => !targets.includes(target));
  assert.equal(missing, []);
  const [, inCi] = /^(make .+)$/m.exec(read('.ci/run')) ?? [];
  assert.ok(
    inCi && codeOf(read('README.md')).some((code) => code.startsWith(inCi)),
    `README names '${inCi}'`,
  );
});
pages.run();

const repository = suite('the files git keeps');

repository('name no path of the machine they were written on, and no place packages are fetched from', () => {
  if (!existsSync(join(root, '.git')))
    return skipTest('a look at the files git keeps', 'this is no checkout');
  const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0');
  // What stands in braces is put together only now: this file is one of those looked at.
  const places = [root, homedir(), `/${'work'}`, `/${'root'}`].filter((path) => path !== '/');
  const machine = new RegExp(`(?<![\\w.~})-])(?:${places.join('|')})/`);
  const registry = new RegExp(`\\b${'registry'}\\.[a-z0-9-]+\\.[a-z]|"${'resolved'}": "http`);
  const breaches = files
    .filter((file) => file !== '' && existsSync(join(root, file)))
    .filter((file) => {
      const text = read(file);
      return machine.test(text) || registry.test(text);
    });
  assert.equal(breaches, []);
});
repository.run();
