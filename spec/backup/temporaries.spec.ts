import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { noteToken } from '../../lib/journal/temporaries.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import { temporaryName } from '../../lib/remote/temporary.ts';
import { failingRemote } from '../helpers/failing-remote.ts';
import { HERE, type Machine, withMachine } from '../helpers/scenario.ts';
import { writeTree } from '../helpers/tree.ts';

/** A process of this machine that has ended: another one has its number now. */
const DEAD = { ...HERE, startedAt: '1' };
const DAY_MS = 86_400_000;
const NOON = new Date('2026-03-04T12:00:00Z');
const after = (ms: number) => () => new Date(NOON.getTime() + ms);

/** Lends a machine on whose remote lie `left`, by name. */
function withLeft(left: Record<string, Buffer>, use: (machine: Machine) => Promise<void>): Promise<void> {
  return withMachine(async (machine) => {
    writeTree(machine.source, { file: 'text' });
    for (const [name, bytes] of Object.entries(left)) machine.objects.set(name, bytes);
    await use(machine);
  });
}

function temporariesOf({ objects }: Machine): string[] {
  return [...objects.keys()].filter((name) => name.startsWith('tmp/')).sort();
}

function tokensOf(machine: Machine): Promise<string[]> {
  return machine.withJournal((journal) => {
    const rows = journal.sqlite.prepare('SELECT token FROM temporary_token ORDER BY token').all();
    return (rows as { token: string }[]).map(({ token }) => token);
  });
}

function countStrange(machine: Machine): Promise<unknown> {
  return machine.withJournal(({ sqlite }) =>
    sqlite.prepare('SELECT count(*) FROM strange_temporary').pluck().get(),
  );
}

const left = suite('what uploads that died have left on the remote');

left('goes with the next backup; what a living process writes stays', async () => {
  const [dead, aside, living] = [temporaryName('aa'), `${temporaryName('aa')}-1`, temporaryName('bb')];
  const half = Buffer.from('half');
  await withLeft({ [dead]: half, [aside]: half, [living]: half }, async (machine) => {
    await machine.withJournal((journal, repository) => {
      noteToken(journal, repository, 'aa', DEAD);
      noteToken(journal, repository, 'bb', HERE);
      noteToken(journal, repository, 'cc', DEAD);
    });
    const { failures } = await machine.backUp();
    assert.is(failures, 0);
    assert.equal(temporariesOf(machine), [living]);
    assert.equal(await tokensOf(machine), ['aa', 'bb'], 'who has left nothing is forgotten');

    // The server was still busy with what it had got when its writer died.
    machine.objects.set(dead, half);
    await machine.backUp();
    assert.equal(temporariesOf(machine), [living]);
    await machine.backUp();
    assert.equal(await tokensOf(machine), ['bb']);
  });
});

left('by another repository of this machine is not looked at', () =>
  withLeft({}, async (machine) => {
    await machine.withJournal((journal, repository) => {
      journal.sqlite.exec(`INSERT INTO repository (uuid, url) VALUES ('another', 'elsewhere:')`);
      noteToken(journal, repository + 1, 'aa', DEAD);
    });
    await machine.backUp();
    assert.equal(await tokensOf(machine), ['aa']);
  }),
);

left('by nobody known here goes when a day has not changed its size', () => {
  const [still, growing] = [temporaryName('5a'), temporaryName('6a')];
  return withLeft({ [still]: Buffer.alloc(9), [growing]: Buffer.alloc(9) }, async (machine) => {
    await machine.backUp({ now: after(0) });
    await machine.backUp({ now: after(DAY_MS - 1000) });
    assert.equal(temporariesOf(machine), [still, growing].sort());
    machine.objects.set(growing, Buffer.alloc(10));
    await machine.backUp({ now: after(DAY_MS) });
    assert.equal(temporariesOf(machine), [growing]);
    await machine.backUp({ now: after(2 * DAY_MS - 1000) });
    assert.equal(temporariesOf(machine), [growing]);
    await machine.backUp({ now: after(2 * DAY_MS) });
    assert.equal(temporariesOf(machine), []);
    assert.is(await countStrange(machine), 1);
    await machine.backUp({ now: after(2 * DAY_MS) });
    assert.is(await countStrange(machine), 0, 'forgotten by the look that does not find it any more');
  });
});

left('is not kept for ever by a clock that was ahead', () => {
  const name = temporaryName('5a');
  return withLeft({ [name]: Buffer.alloc(9) }, async (machine) => {
    await machine.backUp({ now: after(400 * DAY_MS) });
    await machine.backUp({ now: after(0) });
    await machine.backUp({ now: after(DAY_MS) });
    assert.equal(temporariesOf(machine), []);
  });
});

left('is told apart from what a person has there', () => {
  const names = ['tmp/holiday.jpg', 'tmp/aa-1', 'tmp/deeper/aa-0123456789abcdef', 'tmp/AA-0123456789abcdef'];
  return withLeft(Object.fromEntries(names.map((name) => [name, Buffer.alloc(9)])), async (machine) => {
    await machine.withJournal((journal, repository) => noteToken(journal, repository, 'aa', DEAD));
    await machine.backUp({ now: after(0) });
    await machine.backUp({ now: after(7 * DAY_MS) });
    assert.equal(temporariesOf(machine), names.sort());
  });
});

for (const failure of [{ verb: 'list', call: 3 } as const, { verb: 'remove', call: 1 } as const]) {
  left(`is told of, and nothing more, when a ${failure.verb} for it fails`, () => {
    const name = temporaryName('aa');
    return withLeft({ [name]: Buffer.alloc(9) }, async (machine) => {
      await machine.withJournal((journal, repository) => noteToken(journal, repository, 'aa', DEAD));
      const remote = failingRemote(memoryRemote(machine.objects), [failure]);
      const { events, failures } = await machine.backUp({ remote });
      assert.ok(remote.calls.includes('list tmp/'));
      assert.is(failures, 0);
      const notices = events.flatMap((event) => (event.type === 'notice' ? [event.text] : []));
      assert.is(notices.length, 1);
      assert.match(notices[0]!, /^what earlier uploads left in tmp\/ could not be removed: /);
      assert.equal(temporariesOf(machine), [name]);
      await machine.backUp();
      assert.equal(temporariesOf(machine), []);
    });
  });
}

left.run();
