/** One gibibyte to sshd, killed at 40 %: what the second run sends, and how soon it begins. */
import { closeSync, mkdirSync, openSync, readdirSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { formatBytes } from '../../lib/units.ts';
import { seeded } from '../bench/content.ts';
import { largestPackAt, packsAt, type SftpPlace, withSftp } from '../helpers/cli-places.ts';
import { assertRestored } from '../helpers/cli-trees.ts';
import { namesIn } from '../helpers/kill-cases.ts';
import { type Machine, type Running, summaryOf, withMachine } from '../helpers/program.ts';

const MIB = 1024 * 1024;
const BYTES = 1024 * MIB;
const FILES = 4;
const KILLED_AT = 0.4;
/** Frames, directories, indexes and the manifest. */
const OVERHEAD = 1.01;

/** @returns what was measured, a line each */
export async function killInGibibyte(seed: string): Promise<string[]> {
  const told: string[] = [];
  await withSftp((place: SftpPlace) =>
    withMachine(async (machine) => {
      const source = writeGibibyte(machine, seed);
      await machine.succeeds(['init']);
      const command = ['backup', '--direct', '--json', source];
      const first = machine.start(command);
      await first.waitFor('40 %', () => uploadedOf(first) >= KILLED_AT * BYTES);
      first.kill('SIGKILL');
      await first.ended;
      while (place.line.lanes().length > 0) await sleep(5); // what was handed to the system still goes
      const durable = [...packsAt(place).values()].reduce((sum, size) => sum + size, 0);
      const inFlight = lanesOf(first) * largestPackAt(place);
      const untilKill = place.line.sentBytes();

      const startedAt = performance.now();
      const dead = new Set(namesIn(place, 'tmp'));
      const second = machine.start(command);
      await second.waitFor('the first byte', () => isSending(place, dead));
      const firstByteMs = performance.now() - startedAt;
      const summary = summaryOf(await second.ended);
      const sent = place.line.sentBytes() - untilKill;
      assert.is(summary.resumed, true);
      assert.ok(Number(summary.sent_bytes) <= (BYTES - durable) * OVERHEAD, 'nothing that was durable');
      const bound = ((1 - KILLED_AT) * BYTES + inFlight) * OVERHEAD;
      assert.ok(Number(summary.sent_bytes) <= bound, `${summary.sent_bytes} bytes, at most ${bound}`);
      const target = join(machine.folder, 'restored');
      await machine.succeeds(['restore', 'latest', '--target', target]);
      assertRestored(target, [source]);
      told.push(
        `killed: ${formatBytes(untilKill)} over the line, ${formatBytes(durable)} of packs durable`,
        `second run: ${formatBytes(sent)} over the line, ${formatBytes(Number(summary.sent_bytes))} of packs`,
        `both together ${percent(untilKill + sent)} of the data; lost in flight ${formatBytes(untilKill - durable)} of at most ${formatBytes(inFlight)}`,
        `the second run sent its first byte of a pack ${Math.round(firstByteMs)} ms after it was started`,
      );
    }, place.env),
  );
  return told;
}

function writeGibibyte({ folder }: Machine, seed: string): string {
  const source = join(folder, 'source');
  mkdirSync(source);
  const random = seeded(`${seed} gibibyte`);
  for (let number = 0; number < FILES; number += 1) {
    const file = openSync(join(source, `disk-${number}`), 'w');
    for (let mebibyte = 0; mebibyte < BYTES / FILES / MIB; mebibyte += 1) writeSync(file, random.bytes(MIB));
    closeSync(file);
  }
  return source;
}

/** Has any of a pack arrived that a living process sends? */
function isSending(place: SftpPlace, dead: ReadonlySet<string>): boolean {
  const folder = join(place.root, 'tmp');
  return readdirSync(folder).some((name) => {
    const found = dead.has(name) ? undefined : statSync(join(folder, name), { throwIfNoEntry: false });
    return found !== undefined && found.size > 0;
  });
}

function uploadedOf(run: Running): number {
  return Number(run.events().findLast(({ type }) => type === 'uploaded')?.uploaded_bytes ?? 0);
}

function lanesOf(run: Running): number {
  return Math.max(...run.events().flatMap(({ lanes }) => (typeof lanes === 'number' ? [lanes] : [])));
}

function percent(bytes: number): string {
  return `${((100 * bytes) / BYTES).toFixed(1)} %`;
}
