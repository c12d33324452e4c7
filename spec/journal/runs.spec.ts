import { randomUUID } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LockedError } from '../../lib/errors.ts';
import { isBackupId } from '../../lib/journal/backup-ids.ts';
import { rememberRepository } from '../../lib/journal/repositories.ts';
import { claimRun, completeRun, interruptRun } from '../../lib/journal/runs.ts';
import { recordTotals, totalsOf } from '../../lib/journal/totals.ts';
import { unfinishedRuns } from '../../lib/journal/unfinished.ts';
import { formatInstant } from '../../lib/units.ts';
import { claim, HERE, hash, NOBODY, NOW, withJournal } from './fixture.ts';

const LATER = new Date(NOW.getTime() + 60_000);
const TOTALS = { totalFiles: 10, totalBytes: 1000, uploadedFiles: 3, uploadedBytes: 300 };

const claiming = suite('claiming a run');

claiming('begins one under the id of the second', async () => {
  await withJournal((lent) => {
    const run = claim(lent);
    assert.is(run.backupId, '20251107_142030');
    assert.ok(isBackupId(run.backupId));
    assert.equal(run.startedAt, new Date('2025-11-07T14:20:30Z'));
    assert.not(run.resumed);
    assert.is(run.totalFiles, null);
  });
});

claiming('goes on with the one of the same match key whose owner is dead', async () => {
  await withJournal((lent) => {
    const first = claim(lent, { owner: NOBODY });
    recordTotals(lent.journal, first, TOTALS, NOW);
    const second = claim(lent, { now: LATER });
    assert.is(second.claims[0], first.claims[0]);
    assert.is(second.claims.length, 2);
    const { claims } = second;
    assert.equal(second, { ...first, claims, resumed: true, totalFiles: 10, uploadedFiles: 3 });
    const [unfinished] = unfinishedRuns(lent.journal);
    assert.is(unfinished!.runningPid, HERE.pid);
    assert.equal(unfinished!.updatedAt, LATER);
  });
});

for (const [title, owner] of [
  ['whose number went to another process', { ...HERE, startedAt: '1' }],
  ['of another boot', { ...HERE, bootId: 'another boot' }],
] as const) {
  claiming(`goes on with the one of an owner ${title}`, async () => {
    await withJournal((lent) => {
      claim(lent, { owner });
      assert.ok(claim(lent).resumed);
    });
  });
}

claiming('is refused while the owner lives, and changes nothing', async () => {
  await withJournal((lent) => {
    claim(lent);
    const before = unfinishedRuns(lent.journal);
    assert.throws(
      () => claim(lent, { owner: NOBODY, now: LATER }),
      (error: unknown) =>
        error instanceof LockedError &&
        error.exitStatus === 11 &&
        error.message === `back up: process ${HERE.pid} is backing these sources up already`,
    );
    assert.equal(unfinishedRuns(lent.journal), before);
  });
});

claiming('of other sources, or in another repository, is another run', async () => {
  await withJournal((lent) => {
    const other = { ...lent, journalRepository: rememberRepository(lent.journal, 'second', 'file:///other') };
    const runs = [claim(lent), claim(lent, { name: 'pictures' }), claim(other)];
    assert.is(new Set(runs.map(({ id }) => id)).size, 3);
    assert.equal(
      runs.map(({ backupId }) => backupId),
      ['20251107_142030', '20251107_142031', '20251107_142032'],
    );
  });
});

claiming('passes over the ids that are taken on the remote', async () => {
  await withJournal((lent) => {
    const takenIds = new Set(['20251107_142030', '20251107_142031']);
    assert.is(claim(lent, { takenIds }).backupId, '20251107_142032');
  });
});

claiming('keeps the sources as they are, bytes that are not UTF-8 included', async () => {
  await withJournal(({ journal, journalRepository }) => {
    const sourcePaths = [Buffer.from([0x2f, 0xff, 0xfe]), Buffer.from('/häuser')];
    const rest = {
      journalRepository,
      matchKey: hash('x'),
      host: 'here',
      owner: HERE,
      now: NOW,
      takenIds: new Set<string>(),
      uuid: randomUUID(),
    };
    claimRun(journal, { ...rest, sourcePaths });
    assert.equal(unfinishedRuns(journal)[0]!.sourcePaths, sourcePaths);
  });
});

claiming.run();

const ending = suite('a run');

ending('that was interrupted belongs to nobody and is found again', async () => {
  await withJournal((lent) => {
    const run = claim(lent);
    interruptRun(lent.journal, run);
    assert.is(unfinishedRuns(lent.journal)[0]!.runningPid, null);
    assert.is(claim(lent).id, run.id);
  });
});

ending('that is complete is not found again, and cannot be interrupted any more', async () => {
  await withJournal((lent) => {
    const run = claim(lent);
    completeRun(lent.journal, run);
    interruptRun(lent.journal, run);
    assert.equal(unfinishedRuns(lent.journal), []);
    const next = claim(lent);
    assert.not(next.resumed);
    assert.is(next.sourceSet, run.sourceSet);
    assert.is(next.backupId, '20251107_142031');
  });
});

ending('has totals once its first scan is through', async () => {
  await withJournal((lent) => {
    const run = claim(lent);
    const { updatedAt, ...none } = totalsOf(lent.journal, run);
    assert.equal(none, { planned: false, totalFiles: 0, totalBytes: 0, uploadedFiles: 0, uploadedBytes: 0 });
    assert.is(formatInstant(updatedAt), '2025-11-07T14:20:30Z');
    recordTotals(lent.journal, run, TOTALS, LATER);
    assert.equal(totalsOf(lent.journal, run), { planned: true, ...TOTALS, updatedAt: LATER });
  });
});

ending('is of a repository that may be reached by another URL later', async () => {
  await withJournal((lent) => {
    claim(lent);
    assert.is(rememberRepository(lent.journal, 'first', 'sftp://elsewhere/backups'), lent.journalRepository);
    assert.is(unfinishedRuns(lent.journal)[0]!.remote, 'sftp://elsewhere/backups');
  });
});

ending.run();
