/**
 * The real program on a line with faults that are noticed at once: it goes on by itself, and sends nothing again but what was
 * in flight. A remote that stays away is in `remote-trouble.spec.ts`.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Remote } from '../../lib/remote/remote.ts';
import { withRetry } from '../../lib/remote/retry.ts';
import { openSftp } from '../../lib/remote/sftp.ts';
import { openWebdav } from '../../lib/remote/webdav.ts';
import {
  type FarPlace,
  packsAt,
  type SftpPlace,
  type WebdavPlace,
  withSftp,
  withWebdav,
} from '../helpers/cli-places.ts';
import { writeNoise } from '../helpers/cli-trees.ts';
import type { FaultProxy, Lane } from '../helpers/fault-proxy.ts';
import { newRepository, repositoryAt } from '../helpers/kill-cases.ts';
import { assertStatus, type Running, summaryOf, withMachine } from '../helpers/program.ts';
import { remoteSettings } from '../helpers/remote-settings.ts';
import { assertHolds } from '../helpers/scenario.ts';
import { sshSettings } from '../helpers/sshd.ts';

const FILES = 8;
const FILE_BYTES = 1_000_000;
const BYTES = FILES * FILE_BYTES;
/** Two connections: on SFTP four lanes share them, on WebDAV each is a lane. */
const CONNECTIONS = 2;
/** What SSH and HTTP add, and what is asked before the first pack. */
const OVERHEAD = 1.05;

interface Fault {
  readonly name: string;
  /** @param lane on which a pack is on its way */
  readonly strike: (line: FaultProxy, lane: Lane, run: Running) => void | Promise<void>;
  readonly hitsAll?: boolean;
}

const FAULTS: readonly Fault[] = [
  { name: 'one lane is cut in the middle of a pack', strike: (_, lane) => lane.cut(300_000) },
  { name: 'one lane is reset', strike: (_, lane) => lane.reset() },
  {
    name: 'all lanes are reset',
    strike(line) {
      for (const lane of line.lanes()) lane.reset();
    },
    hitsAll: true,
  },
  { name: 'one lane is half-closed towards the server', strike: (_, lane) => lane.endTowards('server') },
  { name: 'one lane is half-closed towards the program', strike: (_, lane) => lane.endTowards('program') },
  {
    name: 'one lane is cut while nobody is let in for a while',
    async strike(line, lane, run) {
      line.refuse();
      lane.cut();
      const before = sentBy(run);
      // The others go on meanwhile.
      await run.waitFor('another pack', () => sentBy(run) > before);
      await line.mend();
    },
  },
];

/** @param lanesAConnection that may be hit at once */
async function assertGoesOn(place: FarPlace, fault: Fault, lanesAConnection: number): Promise<void> {
  await withMachine(async (machine) => {
    const source = join(machine.folder, 'source');
    writeNoise(source, FILES, FILE_BYTES);
    place.line.limit(6_000_000);
    const before = place.line.sentBytes();
    const command = ['backup', '--direct', '--json', '--connections', String(CONNECTIONS), source];
    const run = machine.start(command);
    await run.waitFor('the first pack', () => sentBy(run) > 0);
    await fault.strike(place.line, await sendingLane(place.line), run);
    const outcome = await run.ended;
    place.line.limit(Number.POSITIVE_INFINITY);
    assertStatus(outcome, 0);
    assert.ok(
      run.events().some(({ type }) => type === 'retrying'),
      'the fault was noticed',
    );

    const { sent_bytes, backup_id } = summaryOf(outcome);
    const packs = [...packsAt(place).values()];
    const stored = packs.reduce((sum, size) => sum + size, 0);
    assert.ok(Number(sent_bytes) <= BYTES * 1.01 && stored <= BYTES * 1.01, 'no chunk was sent twice');
    // A lane that dies takes no other with it.
    const hit = fault.hitsAll ? CONNECTIONS * lanesAConnection : lanesAConnection;
    const sent = place.line.sentBytes() - before;
    const bound = (BYTES + hit * Math.max(...packs)) * OVERHEAD;
    assert.ok(sent <= bound, `${sent} bytes went over the line, at most ${bound} were to`);
    await assertHolds(await repositoryAt(place), String(backup_id), [source]);
  }, place.env);
}

/** @returns a lane on which a pack is on its way */
async function sendingLane(line: FaultProxy): Promise<Lane> {
  const before = new Map(line.lanes().map((lane) => [lane, lane.sentBytes()]));
  for (;;) {
    const sending = line.lanes().find((lane) => lane.sentBytes() > (before.get(lane) ?? 0) + 150_000);
    if (sending !== undefined) return sending;
    await sleep(1);
  }
}

function sentBy(run: Running): number {
  return Number(run.events().findLast(({ type }) => type === 'uploaded')?.sent_bytes ?? 0);
}

const faults = suite('a backup on a line with faults');

for (const [kind, withPlace, lanesAConnection] of [
  ['SFTP', withSftp, 2],
  ['WebDAV', withWebdav, 1],
] as const) {
  faults(`to ${kind} goes on by itself, and sends nothing again but what was in flight`, () =>
    withPlace(async (place: FarPlace) => {
      const wrong: string[] = [];
      for (const [index, fault] of FAULTS.entries()) {
        const own = { ...(await newRepository(place, `fault-${index}`)), line: place.line };
        await assertGoesOn(own, fault, lanesAConnection).catch((error: Error) =>
          wrong.push(`${fault.name}: ${error.message}`),
        );
      }
      assert.equal(wrong, []);
    }),
  );
}

faults.run();

const stalled = suite('a lane that stalls');

/** As the program waits for a minute, so long. */
const SILENCE_MS = 300;

/** Puts two objects at once, the lane of one of which stalls for good. */
async function assertStallIsSurvived(line: FaultProxy, remote: Remote): Promise<void> {
  const reasons: string[] = [];
  const retrying = withRetry(remote, {
    retryForMs: 60_000,
    random: () => 0,
    onRetry: (reason) => reasons.push(reason),
  });
  try {
    await retrying.put('tmp-warm', Buffer.from('connected'));
    line.limit(10_000_000);
    const puts = ['one', 'two'].map((name) => retrying.put(name, Buffer.alloc(2_000_000, name)));
    (await sendingLane(line)).stall();
    await Promise.all(puts);
    assert.ok(
      reasons.length > 0 && reasons.every((reason) => /no answer|silent/.test(reason)),
      reasons.join(),
    );
    for (const name of ['one', 'two']) assert.is((await retrying.stat(name))?.sizeBytes, 2_000_000);
  } finally {
    line.limit(Number.POSITIVE_INFINITY);
    await retrying.close();
  }
}

stalled('on SFTP: is given up after a silence, and what it carried is sent on another', () =>
  withSftp(async ({ server, line }: SftpPlace) => {
    const location = {
      kind: 'sftp',
      user: server.user,
      host: server.host,
      port: line.port,
      path: server.root,
    } as const;
    await assertStallIsSurvived(
      line,
      await openSftp(location, sshSettings(server), { silenceMs: SILENCE_MS }),
    );
  }),
);

stalled('on WebDAV: is given up after a silence, and what it carried is sent on another', () =>
  withWebdav(async ({ server, line, url }: WebdavPlace) => {
    const settings = remoteSettings({ password: async () => server.password });
    await assertStallIsSurvived(
      line,
      await openWebdav({ kind: 'webdav', url }, settings, { silenceMs: SILENCE_MS }),
    );
  }),
);

stalled.run();
