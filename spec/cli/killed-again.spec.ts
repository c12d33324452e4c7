/** The real program, killed again and again, and killed and robbed of its journal: what goes over the line is bounded. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type FarPlace,
  largestPackAt,
  packsAt,
  type SftpPlace,
  withSftp,
  withWebdav,
} from '../helpers/cli-places.ts';
import { assertRestored, writeNoise } from '../helpers/cli-trees.ts';
import { assertTidy, namesIn, newRepository, repositoryAt, watchedProgram } from '../helpers/kill-cases.ts';
import { type Machine, type Running, summaryOf, withMachine } from '../helpers/program.ts';
import { assertHolds } from '../helpers/scenario.ts';

const KILLS = 20;
/** On one connection they stay as many. */
const LANES = 4;
const FILES = 6;
const BYTES = FILES * 4_000_000;
/** What is in flight then must not be all the rest. */
const LAST_KILL_AT = 0.6;
/** To connect, to log in, and to look at what is there. */
const RUN_BYTES = 50_000;

const again = suite('a backup that is killed twenty times');

again('sends in all no more than one run and what was in flight at each kill', () =>
  withSftp(async (server: SftpPlace) => {
    const place = { ...(await newRepository(server, 'twenty')), line: server.line };
    await withMachine(async (machine) => {
      const source = join(machine.folder, 'source');
      writeNoise(source, FILES, BYTES / FILES);
      const command = ['backup', '--direct', '--json', '--connections', '1', source];
      place.line.limit(8_000_000);
      const ids = new Set<unknown>();
      for (let kill = 1; kill <= KILLS; kill += 1) {
        const before = place.line.sentBytes();
        const run = machine.start(command);
        await run.waitFor(`kill ${kill}`, () => {
          const isOnItsWay = place.line.sentBytes() > before + 300_000;
          return isOnItsWay && uploadedOf(run) >= (kill / KILLS) * LAST_KILL_AT * BYTES;
        });
        run.kill('SIGKILL');
        assert.is((await run.ended).signal, 'SIGKILL');
        ids.add(idOf(run));
      }
      const last = machine.start(command);
      const summary = summaryOf(await last.ended);
      assert.equal([...ids], [summary.backup_id], 'one backup');

      const sent = place.line.sentBytes();
      const inFlight = KILLS * LANES * largestPackAt(place);
      const bound = (BYTES + inFlight) * 1.05 + (KILLS + 1) * RUN_BYTES;
      assert.ok(sent <= bound, `${sent} bytes went over the line, at most ${bound} were to`);
      const stored = packBytes(place);
      assert.ok(stored <= BYTES * 1.01, `${stored} bytes of packs: no chunk lies there twice`);
      await assertTidy(machine, place);
      await assertHolds(await repositoryAt(place), String(summary.backup_id), [source]);
    }, place.env);
  }),
);

again.run();

const robbed = suite('a backup that is killed at 40 %, and whose journal is gone');

/** Runs until the condition holds, kills it and takes the journal away. @returns what the remote holds by then */
async function killAndRob(
  machine: Machine,
  place: FarPlace,
  run: Running,
  condition: () => boolean,
): Promise<number> {
  await run.waitFor('the kill', condition);
  run.kill('SIGKILL');
  assert.is((await run.ended).signal, 'SIGKILL');
  place.line.limit(Number.POSITIVE_INFINITY);
  rmSync(machine.dataFolder, { recursive: true });
  return packBytes(place);
}

for (const [name, withPlace, isCheckpointed] of [
  ['SFTP, with a checkpoint', withSftp, true],
  ['WebDAV, before the first checkpoint', withWebdav, false],
] as const) {
  robbed(`to ${name}: sends nothing again that had arrived`, () =>
    withPlace((place: FarPlace) =>
      withMachine(async (machine) => {
        const source = join(machine.folder, 'source');
        const bytes = writeNoise(source, 60, 200_000);
        const command = ['backup', '--direct', '--json', source];
        await machine.succeeds(['init']);
        place.line.limit(6_000_000);
        const env = isCheckpointed ? watchedProgram(join(machine.folder, 'moments')) : {};
        const first = machine.start(command, { env });
        const durable = await killAndRob(machine, place, first, () => {
          const isFarEnough = uploadedOf(first) >= 0.4 * bytes;
          return isFarEnough && (!isCheckpointed || namesIn(place, 'resume').length > 0);
        });

        const second = machine.start(command);
        const summary = summaryOf(await second.ended);
        assert.is(summary.resumed, isCheckpointed, 'the checkpoint is gone on with');
        if (isCheckpointed) assert.is(summary.backup_id, idOf(first));
        const planned = second.events().find(({ type }) => type === 'planned');
        assert.is(
          Number(planned?.uploaded_files) > 0,
          isCheckpointed,
          'what it lists is not even read again',
        );
        const sent = Number(summary.sent_bytes);
        assert.ok(sent <= bytes - durable + bytes / 100, `${sent} bytes, of which ${durable} had arrived`);

        const target = join(machine.folder, 'restored');
        await machine.succeeds(['restore', 'latest', '--target', target]);
        assertRestored(target, [source]);
      }, place.env),
    ),
  );
}

robbed.run();

function idOf(run: Running): unknown {
  return run.events().find(({ type }) => type === 'backup_started')?.backup_id;
}

/** As the run itself tells it. */
function uploadedOf(run: Running): number {
  const counts = run.events().filter(({ type }) => type === 'planned' || type === 'uploaded');
  return Number(counts.at(-1)?.uploaded_bytes ?? 0);
}

function packBytes(place: FarPlace): number {
  return [...packsAt(place).values()].reduce((sum, size) => sum + size, 0);
}
