import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  largestPackAt,
  objectsAt,
  PLACES,
  type Place,
  packBytesAt,
  withSftp,
  withWebdav,
} from '../helpers/cli-places.ts';
import { assertRestored, writeNoise, writePersonsFolder } from '../helpers/cli-trees.ts';
import { type Machine, type Running, summaryOf, withMachine } from '../helpers/program.ts';

const interrupted = suite('an interrupted backup');

/** Moments of a run, in the order in which they come. */
const MOMENTS: readonly [string, (run: Running, place: Place) => boolean][] = [
  ['has begun', (run) => run.events().some(({ type }) => type === 'backup_started')],
  ['has its plan', (run) => run.events().some(({ type }) => type === 'planned')],
  ['has sent a pack', (_, place) => [...objectsAt(place).keys()].some((name) => name.startsWith('packs/'))],
  ['publishes', (run) => run.events().some(({ type }) => type === 'publishing')],
  // The program itself comes to know of it when the answer has come back.
  ['has published', (_, place) => publishedAt(place).length > 0],
];

for (const [name, withPlace] of Object.entries(PLACES)) {
  interrupted(`to ${name}: killed at every moment, and gone on with in other words each time`, async () => {
    await withPlace((place) =>
      withMachine(async (machine) => {
        const [first, second] = [join(machine.folder, 'one'), join(machine.folder, 'two')];
        writePersonsFolder(first);
        mkdirSync(second);
        writeNoise(second, 6, 1_500_000);
        symlinkSync(machine.folder, join(machine.home, 'link'));
        const spellings = [
          [first, second],
          [second, first],
          ['../one/', '../two/'],
          ['link/two', 'link/one/notes/..'],
          [`${first}//`, second, join(first, 'notes'), first],
        ];
        await machine.succeeds(['init']);

        let backupId: unknown;
        const seen = new Set<unknown>();
        for (const [index, [moment, isReached]] of MOMENTS.entries()) {
          const spelling = spellings[index % spellings.length]!;
          const run = machine.start(['backup', '--direct', '--json', ...spelling]);
          await run.waitFor(moment, () => isReached(run, place));
          run.kill('SIGKILL');
          const { stdout } = await run.ended;
          const started = run.events().find(({ type }) => type === 'backup_started');
          assert.ok(started, stdout);
          backupId = started.backup_id;
          seen.add(backupId);
          assert.is(started.resumed === null, index === 0, `killed when it ${moment}`);
          if (moment === 'publishes') place.line?.delay(50);
          if (index === 1) changeBetweenRuns(first, second);
        }
        assert.is(seen.size, 1, 'one backup id');
        const unfinished = await unfinishedOf(machine);
        // In a folder, where nothing delays the answer, the last kill may have come too late.
        if (place.line !== null) assert.equal(unfinished, [backupId]);

        const summary = summaryOf(await machine.succeeds(['backup', '--direct', '--json', ...spellings[1]!]));
        if (unfinished.length > 0) {
          assert.is(summary.backup_id, backupId);
          assert.is(summary.resumed, true);
          assert.equal(publishedAt(place), [backupId]);
        }
        assert.equal(machine.stateFiles(), []);

        const target = join(machine.folder, 'restored');
        await machine.succeeds(['restore', String(backupId), '--target', target]);
        assertRestored(target, [first, second]);
      }, place.env),
    );
  });
}

function publishedAt(place: Place): string[] {
  const folder = join(place.root, 'backups');
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** Between two runs a person goes on working. */
function changeBetweenRuns(first: string, second: string): void {
  writeFileSync(join(first, 'notes/today.txt'), 'milk, wine!\n'); // as long as before
  appendFileSync(join(second, 'noise-1'), randomBytes(500_000));
  rmSync(join(second, 'noise-2'));
  renameSync(join(second, 'noise-3'), join(second, 'moved'));
  rmSync(join(first, 'a'));
  mkdirSync(join(first, 'a/now a folder'), { recursive: true });
  writeFileSync(join(first, 'a/now a folder/new'), 'new');
}

const inOneFile = suite('a backup killed in the middle of one big file');

/** Large enough that some of it is durable while all lanes have something in flight, and some not even read. */
const CASES = [
  { name: 'SFTP', withPlace: withSftp, lanes: 4, bytes: 60_000_000, kills: [0.2, 0.4] },
  { name: 'WebDAV', withPlace: withWebdav, lanes: 2, bytes: 40_000_000, kills: [0.4] },
] as const;

for (const { name, withPlace, lanes, bytes, kills } of CASES) {
  inOneFile(`to ${name}: sends nothing again but the packs that were in flight`, async () => {
    await withPlace((place) =>
      withMachine(async (machine) => {
        const source = join(machine.folder, 'big');
        writeNoise(source, 1, bytes);
        await machine.succeeds(['init']);
        place.line.limit(4_000_000);
        const before = place.line.sentBytes();

        let durable = 0;
        const command = ['backup', '--direct', '--json', '--connections', String(lanes), source];
        for (const share of kills) {
          const run = machine.start(command);
          await run.waitFor(`${share} of the file`, () => uploadedOf(run) >= share * bytes);
          run.kill('SIGKILL');
          assert.is((await run.ended).signal, 'SIGKILL');

          const [status] = await statusOf(machine);
          const uploaded = Number(status?.uploaded_bytes);
          assert.ok(uploaded >= uploadedOf(run), 'what was told to be uploaded is known to be');
          assert.ok(uploaded >= durable, 'what was uploaded once stays so');
          assert.is(status?.uploaded_files, 0, 'half a file is no file');
          durable = uploaded;
        }
        place.line.limit(Number.POSITIVE_INFINITY);
        const summary = summaryOf(await machine.succeeds(command));

        // Frames and directories of packs, index and manifest: far below a hundredth.
        const overhead = bytes / 100;
        const inFlight = kills.length * lanes * largestPackAt(place);
        assert.ok(Number(summary.sent_bytes) <= bytes - durable + overhead, 'only the rest was sent');
        assert.ok(packBytesAt(place) <= bytes + inFlight + overhead, 'what lies on the server');
        // SSH and HTTP add their own: some percent.
        const sent = place.line.sentBytes() - before;
        assert.ok(sent <= (bytes + inFlight) * 1.05, `${sent} bytes went over the line`);

        const target = join(machine.folder, 'restored');
        await machine.succeeds(['restore', 'latest', '--target', target]);
        assertRestored(target, [source]);
      }, place.env),
    );
  });
}

/** As the run itself tells it. */
function uploadedOf(run: Running): number {
  return Number(run.events().findLast(({ type }) => type === 'uploaded')?.uploaded_bytes ?? 0);
}

async function statusOf(machine: Machine): Promise<Record<string, unknown>[]> {
  const { stdout } = await machine.succeeds(['resume-status', '--json']);
  return JSON.parse(stdout) as Record<string, unknown>[];
}

async function unfinishedOf(machine: Machine): Promise<unknown[]> {
  return (await statusOf(machine)).map(({ backup_id }) => backup_id);
}

interrupted.run();
inOneFile.run();
