import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ProgressEvent } from '../../lib/progress.ts';
import {
  chooseProgressFormat,
  createProgress,
  type ProgressFormat,
  type ProgressView,
} from '../../lib/view/progress.ts';
import { createTerminal } from '../../lib/view/terminal.ts';
import { FIRST_RUN, RESTORE, RESUMED_RUN } from './events.ts';
import { fakeKeyboard, fakeStream, handClock, screenOf } from './fakes.ts';

const WINDOW = { columns: 80, rows: 24 };

function viewing(format: ProgressFormat, { quiet = false, window = WINDOW } = {}) {
  const clock = handClock();
  const stdout = fakeStream();
  const stderr = fakeStream(format === 'terminal' ? window : undefined);
  const { keyboard } = fakeKeyboard(false);
  const env = { NO_COLOR: '1' };
  const terminal = createTerminal({ stdout, stderr, stdin: keyboard, env, quiet, json: format === 'json' });
  const progress = createProgress(terminal, { format, now: clock.now, every: clock.every });
  return {
    clock,
    terminal,
    progress,
    stdout,
    stderr,
    screen: () => screenOf(stderr.text(), window.columns, window.rows),
    lines: () => stderr.text().split('\n').slice(0, -1),
    values: () =>
      stdout
        .text()
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
  };
}

/** listr2 is loaded when the first window is opened. */
const drawn = () => import('../../lib/view/stages.ts').then(() => new Promise((done) => setImmediate(done)));

function tell(progress: ProgressView, events: readonly ProgressEvent[]): void {
  for (const event of events) progress.report(event);
}

function lane(number: number, sentBytes: number): ProgressEvent {
  return {
    type: 'lane',
    lane: number,
    pack: { file: `/data/${number}.bin`, sentBytes, sizeBytes: 1_000_000 },
  };
}

const window = suite('a flow in a window');

window('of a first run looks as the seed document says', async () => {
  const { progress, screen, clock } = viewing('terminal');
  tell(progress, FIRST_RUN);
  tell(progress, [lane(0, 100), lane(1, 200)]);
  await drawn();
  clock.turn(100);
  assert.equal(screen(), [
    '🚀 Starting direct upload backup: 20251107_142030',
    '   📍 Remote: sftp://user@host/backup',
    '   📁 Using 4-thread parallel uploads',
    '   🔐 AES-256-GCM encryption enabled',
    '   🗜️  Smart compression (files >10MB)',
    '',
    '📂 Scanning: /home/user/Documents',
    '   Found 150 files (2.34 GB)',
    '',
    '📊 Total: 150 files, 2.34 GB',
    '',
    '📦 Overall Progress',
    '█████░░░░░░░░░░░░░░░░░░░░░░░░░░░ 25/150 files (16%)',
    '380 MB of 2.34 GB · time left unknown',
    '   ↑ /data/0.bin                                        0.00/1.00 MB',
    '   ↑ /data/1.bin                                        0.00/1.00 MB',
    '',
  ]);
  await progress.close();
});

window('of a resumed run looks as the seed document says', async () => {
  const { progress, screen, clock } = viewing('terminal');
  tell(progress, RESUMED_RUN);
  await drawn();
  clock.turn(100);
  assert.equal(screen(), [
    '🔄 Resuming interrupted backup: 20251107_142030',
    '   ⏱️  Started: 2025-11-07 14:20:30 UTC',
    '   ✅ Already uploaded: 25/150 files (16.7%)',
    '',
    '   📍 Remote: sftp://user@host/backup',
    '   📁 Using 4-thread parallel uploads',
    '   🔐 AES-256-GCM encryption enabled',
    '   🗜️  Smart compression (files >10MB)',
    '',
    '📂 Scanning: /home/user/Documents',
    '   Found 150 files (2.34 GB)',
    '',
    '   📊 125 files remaining to upload (1.96 GB)',
    '',
    '📦 Overall Progress',
    '█████░░░░░░░░░░░░░░░░░░░░░░░░░░░ 25/150 files (16%) [RESUMED]',
    '380 MB of 2.34 GB · time left unknown',
    '',
  ]);
  await progress.close();
});

window('of a restore says where to, and what is there already', async () => {
  const { progress, screen } = viewing('terminal');
  tell(progress, RESTORE);
  await progress.close();
  assert.equal(screen(), [
    '📥 Restoring backup: 20251107_142030',
    '   📍 From: sftp://user@host/backup',
    '   📂 Into: /tmp/restored',
    '',
    '📊 Total: 150 files, 2.34 GB',
    '   ✅ Already restored: 25/150 files (16.7%)',
    '',
    '📦 Overall Progress',
    '██████████░░░░░░░░░░░░░░░░░░░░░░ 50/150 files (33%) [RESUMED]',
    '760 MB of 2.34 GB · 0s',
    '',
  ]);
});

window('keeps failures and notices above the bars, and the bars once', async () => {
  const { progress, screen } = viewing('terminal');
  tell(progress, FIRST_RUN);
  await drawn();
  tell(progress, [
    { type: 'entry_failed', path: '/home/a\x1b[2J\nb', reason: 'permission denied' },
    { type: 'notice', text: 'A notice.', hints: ['What to do.'] },
  ]);
  await progress.close();
  assert.equal(screen().slice(9), [
    '📊 Total: 150 files, 2.34 GB',
    '✖ /home/a\\e[2J\\nb: permission denied',
    'A notice.',
    '  What to do.',
    '',
    '📦 Overall Progress',
    '█████░░░░░░░░░░░░░░░░░░░░░░░░░░░ 25/150 files (16%)',
    '380 MB of 2.34 GB · 0s',
    '',
  ]);
});

window('is drawn ten times a second at most, and as told last', async () => {
  const { progress, clock, stderr, screen } = viewing('terminal');
  tell(progress, FIRST_RUN);
  await drawn();
  const pictures = () => stderr.text().split('📦 Overall Progress').length - 1;
  const before = pictures();
  for (let event = 0; event < 10_000; event += 1) {
    tell(progress, [
      lane(0, event),
      { type: 'uploaded', uploadedFiles: 100, uploadedBytes: 1e9 + event, sentBytes: event },
    ]);
    if (event % 1_000 === 999) clock.turn(100);
  }
  assert.ok(pictures() - before <= 10, `${pictures() - before} pictures in a second`);
  assert.match(screen().join('\n'), /100\/150 files \(66%\)\n1\.00 GB of 2\.34 GB/);
  await progress.close();
});

window('tells how the look at the files goes, and that the backup is published', async () => {
  const { progress, clock, screen } = viewing('terminal');
  tell(progress, [
    { type: 'source_scanning', path: '/a' },
    { type: 'source_scanning', path: '/a', files: 1_200, bytes: 5_000_000 },
  ]);
  await drawn();
  clock.turn(100);
  assert.equal(screen(), ['', '📂 Scanning: /a', '   ⠙ Found 1200 files so far (5.00 MB)', '']);
  tell(progress, FIRST_RUN.slice(2));
  tell(progress, [{ type: 'publishing' }]);
  clock.turn(100);
  assert.is(screen().at(-2), '   ⠹ Publishing the backup');
  await progress.close();
});

window('leaves nothing running behind it, and standard output alone', async () => {
  const { progress, clock, stdout, stderr } = viewing('terminal');
  const listeners = () => [
    process.listenerCount('SIGINT'),
    process.listenerCount('exit'),
    stderr.listenerCount('resize'),
  ];
  const before = listeners();
  tell(progress, FIRST_RUN);
  await drawn();
  assert.is(clock.alarms(), 1);
  // A second Ctrl-C must find what bin has set up, and nobody else.
  assert.equal(listeners().slice(0, 2), before.slice(0, 2));
  await progress.close();
  assert.is(clock.alarms(), 0);
  assert.equal(listeners(), before);
  assert.is(stdout.text(), '');
  assert.not.match(stderr.text(), '\x1b[?25l');
});

window('that is closed stays as it is, and what is said later comes below', async () => {
  const { progress, terminal, screen } = viewing('terminal');
  tell(progress, FIRST_RUN);
  await drawn();
  await progress.close();
  terminal.message('said later');
  assert.equal(screen().slice(-3), ['380 MB of 2.34 GB · 0s', 'said later', '']);
});

window('that is closed before anything happened shows nothing', async () => {
  const { progress, screen } = viewing('terminal');
  await progress.close();
  assert.equal(screen(), ['']);
});

window('of forty columns wraps no line', async () => {
  const { progress, clock, stderr } = viewing('terminal', { window: { columns: 40, rows: 24 } });
  tell(progress, RESUMED_RUN);
  tell(progress, [
    lane(0, 500_000),
    { type: 'retrying', reason: 'connection reset by peer, and more words', delayMs: 5_000 },
  ]);
  await drawn();
  clock.turn(3_000);
  const wide = screenOf(stderr.text(), 1_000, 100);
  assert.equal(screenOf(stderr.text(), 40, 100), wide);
  await progress.close();
});

window.run();

const log = suite('a flow in a log');

log('leaves its lines, and now and then how far it is', async () => {
  const { progress, clock, lines, stdout } = viewing('plain');
  tell(progress, RESUMED_RUN);
  clock.turn(10_000);
  clock.turn(10_000);
  tell(progress, [{ type: 'uploaded', uploadedFiles: 75, uploadedBytes: 1_140_000_000, sentBytes: 1 }]);
  clock.turn(10_000);
  tell(progress, [
    { type: 'entry_failed', path: '/home/user/Documents/x\n', reason: 'permission denied' },
    { type: 'uploaded', uploadedFiles: 150, uploadedBytes: 2_340_000_000, sentBytes: 2 },
    { type: 'publishing' },
  ]);
  await progress.close();
  assert.equal(lines(), [
    '🔄 Resuming interrupted backup: 20251107_142030',
    '   ⏱️  Started: 2025-11-07 14:20:30 UTC',
    '   ✅ Already uploaded: 25/150 files (16.7%)',
    '   📍 Remote: sftp://user@host/backup',
    '   📁 Using 4-thread parallel uploads',
    '   🔐 AES-256-GCM encryption enabled',
    '   🗜️  Smart compression (files >10MB)',
    '📂 Scanning: /home/user/Documents',
    '   Found 150 files (2.34 GB)',
    '   📊 125 files remaining to upload (1.96 GB)',
    '📦 25/150 files (16%) [RESUMED], 380 MB of 2.34 GB, 0 B/s, time left unknown',
    '📦 75/150 files (50%) [RESUMED], 1.14 GB of 2.34 GB, 76.0 MB/s, 16s left',
    '✖ /home/user/Documents/x\\n: permission denied',
    '📦 150/150 files (100%) [RESUMED], 2.34 GB of 2.34 GB',
    '📋 Publishing the backup',
  ]);
  assert.is(stdout.text(), '');
});

log('names a line that is down once in ten seconds', async () => {
  const { progress, clock, lines } = viewing('plain');
  for (let second = 0; second <= 20; second += 1) {
    tell(progress, [{ type: 'retrying', reason: `reset ${second}`, delayMs: 500 }]);
    clock.turn(1_000);
  }
  assert.equal(lines(), [
    '⏳ Trying again: reset 0',
    '⏳ Trying again: reset 10',
    '⏳ Trying again: reset 20',
  ]);
  await progress.close();
});

log.run();

const stream = suite('a flow as JSON');

stream('is one object a line, in snake_case, with its type and RFC 3339 instants', async () => {
  const { progress, values, stderr } = viewing('json');
  tell(progress, RESUMED_RUN.slice(0, 2));
  await progress.close();
  assert.equal(values(), [
    {
      type: 'backup_started',
      backup_id: '20251107_142030',
      remote: 'sftp://user@host/backup',
      lanes: 4,
      compress_over_bytes: 10_000_000,
      resumed: { started_at: '2025-11-07T14:20:30Z', uploaded_files: 25, total_files: 150 },
    },
    { type: 'source_scanning', path: '/home/user/Documents' },
  ]);
  assert.is(stderr.text(), '');
});

stream(
  'has ten a second of what happens by the thousand, and always the last before what follows',
  async () => {
    const { progress, clock, values } = viewing('json');
    for (let event = 1; event <= 1_000; event += 1) {
      tell(progress, [{ type: 'uploaded', uploadedFiles: event, uploadedBytes: event, sentBytes: event }]);
      tell(progress, [lane(0, event), lane(1, event)]);
      clock.turn(1);
    }
    assert.is(values().length, 30);
    tell(progress, [
      { type: 'uploaded', uploadedFiles: 1_001, uploadedBytes: 1, sentBytes: 1 },
      { type: 'publishing' },
      { type: 'lane', lane: 0, pack: null },
    ]);
    await progress.close();
    const last = values().slice(-3);
    assert.equal(
      last.map(({ type, uploaded_files }) => [type, uploaded_files]),
      [
        ['uploaded', 1_001],
        ['publishing', undefined],
        ['lane', undefined],
      ],
    );
  },
);

stream('tells of each pack at once when a lane begins it', async () => {
  const { progress, values } = viewing('json');
  tell(progress, [lane(0, 10), lane(0, 0), lane(0, 20), lane(1, 0)]);
  const told = values().map(({ lane, pack }) => [lane, (pack as { sent_bytes: number }).sent_bytes]);
  assert.equal(told, [
    [0, 10],
    [0, 0],
    [0, 20],
    [1, 0],
  ]);
  await progress.close();
});

stream('drops no failure, however many', async () => {
  const { progress, values } = viewing('json');
  for (let entry = 0; entry < 100; entry += 1) {
    tell(progress, [{ type: 'entry_failed', path: `/x/${entry}`, reason: 'gone' }]);
  }
  await progress.close();
  assert.is(values().length, 100);
});

stream.run();

const silence = suite('a flow that is to be silent');

silence('still names what failed', async () => {
  const { progress, lines, stdout } = viewing('silent', { quiet: true });
  tell(progress, FIRST_RUN);
  tell(progress, [
    { type: 'notice', text: 'A notice.' },
    { type: 'retrying', reason: 'reset', delayMs: 1 },
    { type: 'entry_failed', path: '/x', reason: 'gone' },
  ]);
  await progress.close();
  assert.equal(lines(), ['✖ /x: gone']);
  assert.is(stdout.text(), '');
});

silence.run();

const choice = suite('the format of a flow');

choice('follows what the person asked for and where it is seen', () => {
  const format = (columns: number | null, options: { quiet?: boolean; json?: boolean; TERM?: string }) => {
    const { keyboard } = fakeKeyboard(false);
    return chooseProgressFormat(
      createTerminal({
        stdout: fakeStream(),
        stderr: fakeStream(columns === null ? undefined : { columns, rows: 24 }),
        stdin: keyboard,
        env: { TERM: options.TERM },
        quiet: options.quiet ?? false,
        json: options.json ?? false,
      }),
    );
  };
  assert.is(format(80, {}), 'terminal');
  assert.is(format(80, { TERM: 'dumb' }), 'plain');
  assert.is(format(null, {}), 'plain');
  assert.is(format(80, { json: true }), 'json');
  assert.is(format(80, { quiet: true }), 'silent');
  assert.is(format(80, { quiet: true, json: true }), 'silent');
});

choice.run();
