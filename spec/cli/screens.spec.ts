import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { displayWidth } from '../../lib/view/width.ts';
import { type FarPlace, type Place, withLocal, withSftp, withWebdav } from '../helpers/cli-places.ts';
import { writeNoise } from '../helpers/cli-trees.ts';
import { type Machine, PROGRAM, withMachine } from '../helpers/program.ts';
import { skipTest } from '../helpers/skip.ts';

const SCRIPT = '/usr/bin/script';

interface Window {
  readonly columns: number;
  readonly rows?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** A program in a window of its own: a pseudo-terminal that `script` holds. */
interface Session {
  /** All that was written into the window. */
  written(): string;
  /** As somebody at the keyboard does. */
  type(keys: string): void;
  waitFor(what: string, condition: (written: string) => boolean): Promise<void>;
  /** The program's exit status. */
  readonly ended: Promise<number | null>;
}

async function inWindow(
  machine: Machine,
  args: readonly string[],
  { columns, rows = 24, env = {} }: Window,
  use: (session: Session) => Promise<void>,
): Promise<void> {
  const quoted = [PROGRAM, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  const child = spawn(
    SCRIPT,
    ['--quiet', '--return', '--command', `stty cols ${columns} rows ${rows}; exec ${quoted}`, '/dev/null'],
    { cwd: machine.home, env: { ...machine.env, TERM: 'xterm-256color', SHELL: '/bin/sh', ...env } },
  );
  let written = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    written += text;
  });
  const { promise: ended, resolve } = Promise.withResolvers<number | null>();
  child.on('close', (status) => resolve(status));
  let hasEnded = false;
  void ended.then(() => {
    hasEnded = true;
  });
  try {
    await use({
      written: () => written,
      type: (keys) => void child.stdin.write(keys),
      async waitFor(what, condition) {
        while (!condition(written)) {
          if (hasEnded) throw new Error(`ended before ${what}:\n${written}`);
          await sleep(5);
        }
      },
      ended,
    });
  } finally {
    child.stdin.end();
    if (!hasEnded) child.kill('SIGKILL');
  }
}

/** Without what moves the cursor and changes colours. */
function plain(written: string): string {
  return written.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, '').replaceAll('\r', '');
}

function assertFits(written: string, columns: number): void {
  for (const line of plain(written).split('\n')) {
    // A word that is longer than the window, such as a path, is left for copying, on a line of its own.
    if (!line.trim().includes(' ')) continue;
    assert.ok(displayWidth(line) <= columns, `${displayWidth(line)} columns, not ${columns}: '${line}'`);
  }
}

function assertInOrder(written: string, words: readonly string[]): void {
  const text = plain(written);
  let from = 0;
  for (const word of words) {
    const place = text.indexOf(word, from);
    assert.ok(place >= 0, `'${word}' in its place in:\n${text}`);
    from = place + word.length;
  }
}

const FIRST_RUN = [
  '🚀 Starting direct upload backup: ',
  '📁 Using 4-thread parallel uploads',
  '🔐 AES-256-GCM encryption enabled',
  '🗜️  Smart compression (files >10MB)',
  '📂 Scanning: ',
  'Found 12 files (12.0 MB)',
  '📊 Total: 12 files, 12.0 MB',
  '📦 Overall Progress',
  '/12 files (',
];
const RESUMED_RUN = [
  '🔄 Resuming interrupted backup: ',
  '⏱️  Started: ',
  '✅ Already uploaded: ',
  '/12 files (',
  '📁 Using 4-thread parallel uploads',
  '🔐 AES-256-GCM encryption enabled',
  '🗜️  Smart compression (files >10MB)',
  '📂 Scanning: ',
  'Found 12 files (12.0 MB)',
  'remaining to upload',
  '📦 Overall Progress',
  '[RESUMED]',
];

const screens = suite('the screen');

/** At 40 columns lines are folded: the words stay in their order. */
for (const columns of [80, 40]) {
  screens(`of ${columns} columns: a first run, Ctrl-C, and the run that goes on`, async () => {
    if (!existsSync(SCRIPT)) return skipTest('screens', `there is no ${SCRIPT}`);
    await withWebdav((place: FarPlace) =>
      withMachine(async (machine) => {
        const source = join(machine.home, 'Documents');
        writeNoise(source, 12, 1_000_000);
        await machine.succeeds(['init']);
        const command = ['backup', '--direct', '--compress-over', '10MB', source];
        place.line.limit(3_000_000);
        let id = '';
        await inWindow(machine, command, { columns }, async (session) => {
          await session.waitFor('a file that is uploaded', (text) => /[1-9]\d*\/12 files/.test(plain(text)));
          session.type('\x03');
          assert.is(await session.ended, 130, session.written());
          assertInOrder(unfolded(session.written()), FIRST_RUN);
          assert.match(plain(session.written()), /Run the same command again/);
          assert.match(plain(session.written()), /↑ .*noise-\d/, 'what the lanes carry');
          assert.match(plain(session.written()), / left\b/);
          assertFits(session.written(), columns);
          id = /\d{8}_\d{6}/.exec(session.written())?.[0] ?? '';
        });
        place.line.limit(Number.POSITIVE_INFINITY);
        await inWindow(machine, command, { columns }, async (session) => {
          assert.is(await session.ended, 0, session.written());
          assertInOrder(unfolded(session.written()), RESUMED_RUN);
          assert.match(plain(session.written()), /12\/12 files \(100%\) \[RESUMED\]/);
          assert.ok(plain(session.written()).endsWith(`${id}\n`), 'the id comes last');
          assertFits(session.written(), columns);
        });
      }, place.env),
    );
  });
}

/** Folded lines as one, with one blank between the words. */
function unfolded(written: string): string {
  return plain(written).replace(/\n? {2,}(?=\S)/g, (gap) => (gap.startsWith('\n') ? ' ' : '  '));
}

screens('NO_COLOR: no colours, but the bar moves', async () => {
  if (!existsSync(SCRIPT)) return skipTest('screens', `there is no ${SCRIPT}`);
  await withLocal((place: Place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'Documents');
      writeNoise(source, 3, 1_000_000);
      await machine.succeeds(['init']);
      const coloured = /\x1b\[[0-9;]*m/;
      await inWindow(machine, ['backup', '--direct', source], { columns: 80 }, async (session) => {
        assert.is(await session.ended, 0);
        assert.match(session.written(), coloured);
      });
      const env = { NO_COLOR: '1' };
      await inWindow(machine, ['backup', '--direct', source], { columns: 80, env }, async (session) => {
        assert.is(await session.ended, 0);
        assert.not.match(session.written(), coloured);
        assert.match(session.written(), /█/);
      });
      await inWindow(machine, ['list', '--banana'], { columns: 40, env }, async (session) => {
        assert.is(await session.ended, 2);
        assert.not.match(session.written(), coloured);
        assertFits(session.written(), 40);
      });
    }, place.env),
  );
});

screens('tables and help fit into a narrow window', async () => {
  if (!existsSync(SCRIPT)) return skipTest('screens', `there is no ${SCRIPT}`);
  await withLocal((place: Place) =>
    withMachine(async (machine) => {
      const source = join(machine.home, 'Documents of a person with long names');
      writeNoise(source, 1, 1_000);
      await machine.succeeds(['init']);
      await machine.succeeds(['backup', '--direct', source]);
      for (const args of [['list'], ['--help'], ['backup', '--help'], ['resume-status']]) {
        await inWindow(machine, args, { columns: 40 }, async (session) => {
          assert.is(await session.ended, 0);
          assertFits(session.written(), 40);
        });
      }
    }, place.env),
  );
});

screens('a password is asked for twice, unseen, and never echoed', async () => {
  if (!existsSync(SCRIPT)) return skipTest('screens', `there is no ${SCRIPT}`);
  await withLocal((place: Place) =>
    withMachine(async (machine) => {
      const url = place.root;
      await inWindow(machine, ['init', url], { columns: 80 }, async (session) => {
        await session.waitFor('the question', (text) => text.includes('New password of the repository:'));
        session.type('tr0ub4dor\r');
        await session.waitFor('the same again', (text) => text.includes('The same again:'));
        session.type('tr0ub4dor\r');
        assert.is(await session.ended, 0, session.written());
        assert.not.match(session.written(), /tr0ub4dor/);
      });
      assert.match(readFileSync(machine.configFile, 'utf8'), /^remote = /);
      await inWindow(machine, ['list'], { columns: 80 }, async (session) => {
        await session.waitFor('the question', (text) => text.includes('Password of the repository:'));
        session.type('wrong\r');
        assert.is(await session.ended, 12, session.written());
      });
      await inWindow(machine, ['list'], { columns: 80 }, async (session) => {
        await session.waitFor('the question', (text) => text.includes('Password of the repository:'));
        session.type('\x03');
        assert.is(await session.ended, 130, session.written());
      });
    }),
  );
});

screens(
  'an unknown host key is shown and asked about; the answer no is kept, the answer yes remembered',
  async () => {
    if (!existsSync(SCRIPT)) return skipTest('screens', `there is no ${SCRIPT}`);
    await withSftp((place) =>
      withMachine(async (machine) => {
        const known = join(machine.folder, 'known_hosts');
        writeFileSync(known, '');
        const env = { SKYLOCK_KNOWN_HOSTS: known };
        for (const [answer, status] of [
          ['n', 1],
          ['', 1],
          ['y', 0],
        ] as const) {
          await inWindow(machine, ['init'], { columns: 80, env }, async (session) => {
            await session.waitFor('the question', (text) => text.includes('Trust it? [y/N]'));
            assert.match(plain(session.written()), /is not known.*SHA256:/s);
            session.type(`${answer}\r`);
            assert.is(await session.ended, status, session.written());
          });
          const remembers = readFileSync(known, 'utf8').includes(
            `[127.0.0.1]:${place.line.port} ssh-ed25519 `,
          );
          assert.is(remembers, answer === 'y');
        }
        await machine.succeeds(['list'], { env });
      }, place.env),
    );
  },
);

screens.run();
