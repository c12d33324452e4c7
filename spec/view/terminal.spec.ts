import { type PassThrough, Writable } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { InterruptedError, SkylockError } from '../../lib/errors.ts';
import { createTerminal, type TerminalOptions } from '../../lib/view/terminal.ts';
import { type FakeStream, fakeKeyboard, fakeStream } from './fakes.ts';

const WINDOW = { columns: 80, rows: 24 };

type Options = Partial<Omit<TerminalOptions, 'stdout' | 'stderr'>> & {
  stdout?: FakeStream;
  stderr?: FakeStream;
};

function terminalWith({ stdout = fakeStream(), stderr = fakeStream(), ...options }: Options = {}) {
  const { keyboard } = fakeKeyboard(false);
  const terminal = createTerminal({
    stdout,
    stderr,
    stdin: keyboard,
    env: {},
    quiet: false,
    json: false,
    ...options,
  });
  return { terminal, stdout, stderr };
}

/** A standard output whose reader has gone, or whose disk is full. */
function brokenOutput(code: string): FakeStream {
  const failure = Object.assign(new Error(`write ${code}`), { code });
  return new Writable({ write: (_chunk, _encoding, done) => done(failure) }) as never;
}

const output = suite('standard output');

output('carries results only', async () => {
  const { terminal, stdout, stderr } = terminalWith();
  await terminal.result('a result');
  await terminal.resultJson({ backupId: 'x', at: new Date(0), path: 'a\x1b\x9b\n' });
  terminal.message('a message');
  terminal.hint('a hint');
  terminal.warning('a warning');
  terminal.failure('a failure');
  terminal.error(new SkylockError('do it: no'));
  assert.is(
    stdout.text(),
    'a result\n{"backup_id":"x","at":"1970-01-01T00:00:00Z","path":"a\\u001b\\u009b\\n"}\n',
  );
  assert.is(stderr.text(), 'a message\n  a hint\nwarning: a warning\n✖ a failure\nskylock: do it: no\n');
});

output('is as fast as its reader', async () => {
  let read = () => {};
  const slow = new Writable({
    write: (_chunk, _encoding, done) => {
      read = done;
    },
  });
  const { terminal } = terminalWith({ stdout: slow as never });
  let taken = false;
  const written = terminal.result('a line').then(() => {
    taken = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.is(taken, false);
  read();
  await written;
  assert.is(taken, true);
});

output('whose reader has gone says so and is no error', async () => {
  const { terminal } = terminalWith({ stdout: brokenOutput('EPIPE') });
  assert.is(await terminal.result('one'), false);
  assert.is(await terminal.resultJson({ two: 2 }), false);
});

output('that cannot be written is an error', async () => {
  const { terminal } = terminalWith({ stdout: brokenOutput('ENOSPC') });
  for (let call = 0; call < 2; call += 1) {
    const error = await terminal.result('one').catch((reason: unknown) => reason);
    assert.instance(error, SkylockError);
    assert.match((error as Error).message, /^write output: .*ENOSPC/);
  }
});

output('holds nothing that could move the cursor', async () => {
  const { terminal, stdout, stderr } = terminalWith({
    stdout: fakeStream(WINDOW),
    stderr: fakeStream(WINDOW),
  });
  const hostile = 'a\x1b[2J\x9b\rb';
  await terminal.result(`${hostile}\nnext`);
  for (const say of [terminal.message, terminal.hint, terminal.warning, terminal.failure]) say(hostile);
  terminal.error(new SkylockError(hostile, { hints: [hostile] }));
  terminal.error(new Error(hostile));
  for (const stream of [stdout, stderr]) assert.not.match(stream.text(), /\x1b\[2J|\x9b|\r/);
});

output.run();

const quiet = suite('a quiet terminal');

quiet('still says what is wrong', () => {
  const { terminal, stderr } = terminalWith({ quiet: true });
  terminal.message('a message');
  terminal.hint('a hint');
  assert.is(stderr.text(), '');
  terminal.warning('w');
  terminal.failure('f');
  terminal.error(new SkylockError('e', { hints: ['what to do'] }));
  assert.is(stderr.text(), 'warning: w\n✖ f\nskylock: e\n  what to do\n');
});

quiet.run();

const errors = suite('an error');

errors('a person can act on is a line and its hints', () => {
  const { terminal, stderr } = terminalWith();
  terminal.error(new SkylockError('open key: wrong password', { hints: ['Try another.', 'Or ask.'] }));
  assert.is(stderr.text(), 'skylock: open key: wrong password\n  Try another.\n  Or ask.\n');
});

errors('that is a bug is printed as one, with its stack and its causes', () => {
  const { terminal, stderr } = terminalWith();
  terminal.error(new TypeError('x is not a function', { cause: new RangeError('deeper') }));
  assert.match(stderr.text(), /^skylock: this is a bug in skylock/);
  assert.match(stderr.text(), /\n {2}TypeError: x is not a function\n {6}at .*terminal\.spec/);
  assert.match(stderr.text(), /\n {2}caused by:\n {2}RangeError: deeper\n/);
});

errors('shows nothing a library has hung on it', () => {
  const { terminal, stderr } = terminalWith();
  terminal.error(Object.assign(new Error('request failed'), { config: { password: 'hunter2' } }));
  terminal.error({ password: 'hunter2' });
  assert.not.match(stderr.text(), 'hunter2');
});

errors.run();

const window = suite('a window');

window('has its lines broken between words, but for commands, which are to be copied', () => {
  const stderr = fakeStream({ columns: 20, rows: 24 });
  const { terminal } = terminalWith({ stderr, env: { NO_COLOR: '1' } });
  terminal.message('three words more than fit');
  terminal.failure('/a/b: permission denied');
  terminal.hint("Run 'skylock init sftp://user@host/folder' now");
  assert.is(
    stderr.text(),
    "three words more\n  than fit\n✖ /a/b: permission\n  denied\n  Run\n    'skylock init sftp://user@host/folder'\n    now\n",
  );
});

window('that cannot move its cursor gets no drawings', () => {
  assert.is(terminalWith().terminal.canvas, null);
  assert.is(terminalWith({ stderr: fakeStream(WINDOW), env: { TERM: 'dumb' } }).terminal.canvas, null);
  assert.is.not(terminalWith({ stderr: fakeStream(WINDOW) }).terminal.canvas, null);
});

window('makes a drawing give way to lines that stay', () => {
  const stderr = fakeStream(WINDOW);
  const { terminal } = terminalWith({ stderr });
  const detach = terminal.canvas?.attach({
    hide: () => stderr.write('<hide>'),
    show: () => stderr.write('<show>'),
  });
  terminal.message('stays');
  detach?.();
  terminal.message('after');
  assert.is(stderr.text(), '<hide>stays\n<show>after\n');
});

window('fits tables to itself, and leaves them whole for a file', () => {
  const columns = [{ title: 'path', shrinks: true }];
  const rows = [['/home/user/Documents/2024/holiday']];
  const narrow = terminalWith({ stdout: fakeStream({ columns: 20, rows: 24 }) });
  assert.is(narrow.terminal.table(columns, rows), 'path\n/home/…/2024/holiday');
  assert.is(terminalWith().terminal.table(columns, rows), 'path\n/home/user/Documents/2024/holiday');
});

window.run();

const question = suite('a question');

function asking() {
  const { keyboard, modes, type } = fakeKeyboard();
  const stderr = fakeStream(WINDOW);
  const { terminal, stdout } = terminalWith({ stdin: keyboard, stderr });
  return { terminal, stdout, stderr, keyboard, modes, type };
}

question('is not asked where nobody sits', async () => {
  const { terminal, stderr } = terminalWith();
  assert.is(await terminal.askSecret('Password:'), null);
  assert.is(await terminal.confirm('Really?'), false);
  assert.is(stderr.text(), '');
});

question('for a secret shows nothing of it, anywhere', async () => {
  const { terminal, stdout, stderr, modes, type } = asking();
  const answer = terminal.askSecret('Password:');
  type('hunter2é日本');
  type('\r');
  assert.is(await answer, 'hunter2é日本');
  assert.is(stderr.text(), 'Password: \n');
  assert.is(stdout.text(), '');
  assert.equal(modes, [true, false]);
});

question('takes keys that mend what was typed, and ignores those that do not type', async () => {
  const { terminal, type } = asking();
  for (const [keys, text] of [
    ['abc\x7f\x7fd\r', 'ad'],
    ['日本\x7f\r', '日'],
    ['wrong\x15right\r', 'right'],
    ['two words\x17\r', 'two '],
    ['a\x1b[A\x1b[3~\x1bOPb\x07\r', 'ab'],
    ['\x1b[200~pasted\x1b[201~\n', 'pasted'],
    ['a\x04b\r', 'ab'],
    ['\r', ''],
  ] as const) {
    const answer = terminal.askSecret('?');
    type(keys);
    assert.is(await answer, text, JSON.stringify(keys));
  }
});

question('leaves what was typed ahead to the next one', async () => {
  const { terminal, type } = asking();
  const first = terminal.askSecret('one:');
  type('a\r\nb\r');
  assert.is(await first, 'a');
  assert.is(await terminal.askSecret('two:'), 'b');
});

question('ends at Ctrl-C as at any interruption, and gives the keyboard back', async () => {
  const { terminal, stderr, modes, type } = asking();
  const answer = terminal.askSecret('Password:').catch((error: unknown) => error);
  type('hunter\x03');
  assert.instance(await answer, InterruptedError);
  assert.is(stderr.text(), 'Password: \n');
  assert.equal(modes, [true, false]);
});

question('ends when the program is told to stop', async () => {
  const { terminal, modes } = asking();
  const controller = new AbortController();
  const answer = terminal.askSecret('Password:', controller.signal).catch((error: unknown) => error);
  controller.abort();
  assert.instance(await answer, InterruptedError);
  assert.instance(await terminal.confirm('?', controller.signal).catch((e: unknown) => e), InterruptedError);
  assert.equal(modes, [true, false, true, false]);
});

question('without an answer has none', async () => {
  const { terminal, type, keyboard } = asking();
  const answer = terminal.askSecret('Password:');
  type('\x04');
  assert.is(await answer, null);
  const gone = terminal.askSecret('Password:');
  (keyboard as PassThrough).end('half');
  assert.is(await gone, null);
});

question('is answered with yes, or it is no', async () => {
  const { terminal, stderr, type } = asking();
  for (const [keys, yes] of [
    ['y\r', true],
    ['YES\r', true],
    [' yes \r', true],
    ['\r', false],
    ['n\r', false],
    ['yesterday\r', false],
  ] as const) {
    const answer = terminal.confirm('Trust this host?');
    type(keys);
    assert.is(await answer, yes, JSON.stringify(keys));
  }
  assert.match(stderr.text(), 'Trust this host? [y/N] YES\n');
});

question('shows the answer as it is mended', async () => {
  const { terminal, stderr, type } = asking();
  const answer = terminal.confirm('?');
  for (const key of ['n', 'o', '\x7f', '\x7f', 'y', '\r']) type(key);
  assert.is(await answer, true);
  assert.is(stderr.text(), '? [y/N] no\b \b\b \bn\b \by\n');
});

question.run();
