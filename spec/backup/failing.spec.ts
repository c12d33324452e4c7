import { setTimeout as sleep } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { InterruptedError, RemoteError } from '../../lib/errors.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { withRetry } from '../../lib/remote/retry.ts';
import { assertRejects, seededBytes } from '../format/fixtures.ts';
import { type FailingRemote, type Failure, failingRemote, type Verb } from '../helpers/failing-remote.ts';
import {
  assertHolds,
  assertHonest,
  LANES,
  type Machine,
  PACK_BYTES,
  repositoryAt,
  withMachine,
} from '../helpers/scenario.ts';
import { type Tree, writeTree } from '../helpers/tree.ts';

/** Small files, one that fills several packs, one that shares most of it, and all that has no content. */
const BIG = seededBytes(90_000, 'big');
const TREE: Tree = [
  ['big', BIG],
  ['most of big', Buffer.concat([Buffer.from('new beginning'), BIG.subarray(5000)])],
  ['docs/text', 'the same line again\n'.repeat(400)],
  ...Array.from(
    { length: 12 },
    (_, index) => [`docs/${index}`, seededBytes(700 * index, `${index}`)] as const,
  ),
  ['docs/none/', ''],
  ['link', { linkTo: 'docs/text' }],
  [Buffer.from('caf\xe9', 'latin1'), 'no text'],
];

/** A pack and what it is larger by than the target it has reached. */
const ONE_PACK = PACK_BYTES + 10_000;

interface Call {
  readonly verb: Verb;
  readonly name: string;
  /** From 1 on, counted by verb. */
  readonly call: number;
}

/** What an undisturbed backup asks of the remote, in order, and the bytes it puts. */
async function rehearse(): Promise<{ readonly calls: readonly Call[]; readonly putBytes: number }> {
  return withMachine(async (machine) => {
    writeTree(machine.source, TREE);
    const remote = failingRemote(memoryRemote(machine.objects), []);
    await machine.backUp({ remote });
    const counts: Partial<Record<Verb, number>> = {};
    const calls = remote.calls.map((line) => {
      const [verb, name] = line.split(' ') as [Verb, string];
      counts[verb] = (counts[verb] ?? 0) + 1;
      return { verb, name, call: counts[verb] };
    });
    return { calls, putBytes: remote.putBytes() };
  });
}

const whole = await rehearse();

/** The folder an object lies in. */
function kindOf(name: string): string {
  return name.split('/')[0] ?? '';
}

/** What must hold however a backup ended. @returns the id of the unfinished one */
async function assertNothingFalse(machine: Machine): Promise<string | null> {
  const backupId = await assertHonest(machine);
  const published = [...machine.objects.keys()].filter((name) => name.startsWith('backups/'));
  for (const name of published) {
    await assertHolds(repositoryAt(memoryRemote(machine.objects)), name.slice('backups/'.length), [
      machine.source,
    ]);
  }
  return backupId;
}

/** Backs up without any failure, and finishes what was begun. @returns the remote, to count what was put */
async function assertFinishes(machine: Machine, backupId: string | null): Promise<FailingRemote> {
  const remote = failingRemote(memoryRemote(machine.objects), []);
  const summary = await machine.backUp({ remote });
  if (backupId !== null) assert.is(summary.backupId, backupId, 'it is the same backup');
  assert.is(summary.resumed, backupId !== null);
  assert.is(summary.failures, 0);
  await assertHolds(repositoryAt(remote), summary.backupId, [machine.source]);
  assert.is(await assertHonest(machine), null);
  assert.ok([...machine.objects.keys()].every((name) => !name.startsWith('resume/') || backupId === null));
  return remote;
}

const failing = suite('a backup that fails');

for (const { verb, name, call } of whole.calls) {
  const changesNothing = verb === 'get' || verb === 'list';
  for (const when of changesNothing ? (['before'] as const) : (['before', 'after'] as const)) {
    failing(`${when} ${verb} ${call} (${kindOf(name)}) loses nothing, and the next one finishes it`, () =>
      withMachine(async (machine) => {
        writeTree(machine.source, TREE);
        const remote = failingRemote(memoryRemote(machine.objects), [{ verb, call, when }]);
        let error: unknown = null;
        await machine.backUp({ remote }).catch((thrown) => (error = thrown));
        // The checkpoint is looked for when the backup is complete already; and what died is only tidied up.
        const isComplete = (verb === 'get' && kindOf(name) === 'resume') || name === 'tmp/';
        if (isComplete) assert.is(error, null);
        else assert.instance(error, RemoteError);
        const backupId = await assertNothingFalse(machine);
        const isClaimed = remote.calls.includes('list index/');
        assert.is(backupId !== null, isClaimed && !isComplete, 'the run is there to be resumed');

        const next = await assertFinishes(machine, backupId);
        const putBytes = remote.putBytes() + next.putBytes();
        assert.ok(putBytes <= whole.putBytes + ONE_PACK, `${putBytes} bytes in place of ${whole.putBytes}`);
      }),
    );
  }
}

failing('again and again, two packs later each time, comes to its end and sends nothing twice', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, TREE);
    let putBytes = 0;
    let failures = 0;
    for (;;) {
      const failure: Failure = { verb: 'put', call: 3, times: Number.POSITIVE_INFINITY };
      const remote = failingRemote(memoryRemote(machine.objects), [failure]);
      const isThrough = await machine.backUp({ remote }).then(
        () => true,
        () => false,
      );
      putBytes += remote.putBytes();
      await assertNothingFalse(machine);
      if (isThrough) break;
      failures += 1;
      assert.ok(failures < 20, 'it gets on');
    }
    assert.ok(failures >= 3);
    // Each beginning closes a pack earlier than it would have been: some headers more.
    assert.ok(
      putBytes <= whole.putBytes + failures * 1000,
      `${putBytes} bytes in place of ${whole.putBytes}`,
    );
  }),
);

failing.run();

const interrupted = suite('a backup that is interrupted');

/** Every other one. */
const PUTS = whole.calls.filter(({ verb, call }) => verb === 'put' && call % 2 === 1);

for (const { call, name } of PUTS) {
  interrupted(
    `at put ${call} (${kindOf(name)}) is exact about what is done, and the next one finishes it`,
    () =>
      withMachine(async (machine) => {
        writeTree(machine.source, TREE);
        const abort = new AbortController();
        const remote = failingRemote(memoryRemote(machine.objects), []);
        let puts = 0;
        const put: typeof remote.put = (...given) => {
          puts += 1;
          if (puts === call) abort.abort();
          return remote.put(...given);
        };
        let error: unknown = null;
        await machine
          .backUp({ remote: { ...remote, put }, signal: abort.signal })
          .catch((thrown) => (error = thrown));
        assert.instance(error, InterruptedError);
        const backupId = await assertNothingFalse(machine);
        assert.ok(backupId);
        const next = await assertFinishes(machine, backupId);
        assert.ok(
          remote.putBytes() + next.putBytes() <= whole.putBytes + LANES * 1000,
          'nothing was sent twice',
        );
      }),
  );
}

interrupted('once its manifest is there is published all the same', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, TREE);
    const abort = new AbortController();
    const remote = failingRemote(memoryRemote(machine.objects), []);
    const put: typeof remote.put = async (name, ...rest) => {
      await remote.put(name, ...rest);
      if (name.startsWith('index/')) abort.abort();
    };
    const { failures } = await machine.backUp({ remote: { ...remote, put }, signal: abort.signal });
    assert.is(failures, 0);
    assert.is(await assertNothingFalse(machine), null);
  }),
);

interrupted.run();

const publishing = suite('a backup whose manifest, indexes and header are sent beside one another');

publishing('has all of them sent before the first gets its name', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, { text: 'text' });
    const remote = memoryRemote(machine.objects);
    const sent = new Set<string>();
    const allSent = Promise.withResolvers<void>();
    let isPublishing = false;
    const put: Remote['put'] = (name, bytes, options) =>
      remote.put(name, bytes, {
        ...options,
        async beforeNaming() {
          if (isPublishing) {
            sent.add(kindOf(name));
            if (sent.size === 3) allSent.resolve();
            await allSent.promise;
          }
          await options?.beforeNaming?.();
        },
      });
    await machine.backUp({
      remote: { ...remote, put },
      onEvent: ({ type }) => {
        isPublishing ||= type === 'publishing';
      },
    });
    assert.equal([...sent].sort(), ['backups', 'index', 'packs']);
  }),
);

publishing('puts nothing any more once it has failed', async () => {
  await withMachine(async (machine) => {
    writeTree(machine.source, { text: 'text' });
    const remote = memoryRemote(machine.objects);
    let indexes = 0;
    const slow: Remote = {
      ...remote,
      async put(name, ...rest) {
        if (name.startsWith('backups/')) throw new RemoteError(`put ${name}: no space`, { retryable: false });
        if (name.startsWith('index/')) await sleep(50);
        await remote.put(name, ...rest);
        if (name.startsWith('index/')) indexes += 1;
      },
    };
    await assertRejects(() => machine.backUp({ remote: slow }), RemoteError, /no space/);
    assert.is(indexes, 1, 'the index was there before the failure was told');
    const again = failingRemote(remote, []);
    await machine.backUp({ remote: again });
    assert.equal(
      again.calls.filter((call) => /^put (packs|index)/.test(call)),
      [],
      'it is known',
    );
  });
});

publishing('tells of an index that cannot be put when the manifest is there', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, { text: 'text' });
    const remote = memoryRemote(machine.objects);
    const refusing: Remote = {
      ...remote,
      async put(name, ...rest) {
        if (name.startsWith('index/')) throw new RemoteError(`put ${name}: no space`, { retryable: false });
        if (name.startsWith('packs/')) await sleep(1000); // longer than all the rest
        await remote.put(name, ...rest);
      },
    };
    await assertRejects(() => machine.backUp({ remote: refusing }), RemoteError, /no space/);
    const again = failingRemote(remote, []);
    await machine.backUp({ remote: again });
    const packs = again.calls.filter((call) => /^(put|get) packs/.test(call));
    assert.equal(packs, [], 'all of them are in the journal');
  }),
);

publishing('gives nothing a name when its manifest cannot be put, and tells why', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, { text: 'text' });
    const remote = memoryRemote(machine.objects);
    let packs = 0;
    const refusing: Remote = {
      ...remote,
      async put(name, ...rest) {
        if (name.startsWith('packs/')) packs += 1;
        if (packs === 2) {
          await sleep(20); // the others are sent by then
          if (name.startsWith('packs/')) throw new RemoteError(`put ${name}: no space`, { retryable: false });
        }
        await remote.put(name, ...rest);
      },
    };
    await assertRejects(() => machine.backUp({ remote: refusing }), RemoteError, /no space/);
    assert.equal([...machine.objects.keys()].map(kindOf), ['skylock.json', 'packs']);
    await assertNothingFalse(machine);
  }),
);

/** What is final is told, and what is tried again and again beside it is given up. */
async function assertToldSoon(machine: Machine, refusing: Remote): Promise<void> {
  const patient = withRetry(refusing, {
    retryForMs: 2000,
    sleep: (_ms, signal) => sleep(20, undefined, { signal }),
  });
  await assertRejects(() => machine.backUp({ remote: patient }), RemoteError, /no space/);
}

publishing('tells why its manifest cannot be put, and does not try to send the index any longer', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, { text: 'text' });
    const remote = memoryRemote(machine.objects);
    let [packs, tries] = [0, 0];
    const refusing: Remote = {
      ...remote,
      async put(name, bytes, options) {
        if (name.startsWith('packs/')) packs += 1;
        if (name.startsWith('packs/') && packs === 2) {
          while (tries === 0) await sleep(1);
          throw new RemoteError(`put ${name}: no space`, { retryable: false });
        }
        if (name.startsWith('index/')) {
          tries += 1;
          throw new RemoteError(`put ${name}: the line was cut`, { retryable: true });
        }
        await remote.put(name, bytes, options);
      },
    };
    await assertToldSoon(machine, refusing);
    assert.ok(tries < 10, `${tries} tries`);
  }),
);

publishing(
  'tells why its indexes cannot be put, and does not try to send the header any longer',
  async () => {
    await withMachine(async (machine) => {
      writeTree(machine.source, { text: 'text' });
      const remote = memoryRemote(machine.objects);
      let tries = 0;
      const refusing: Remote = {
        ...remote,
        async put(name, bytes, options) {
          if (name.startsWith('index/')) throw new RemoteError(`put ${name}: no space`, { retryable: false });
          if (name.startsWith('backups/')) {
            tries += 1;
            throw new RemoteError(`put ${name}: the line was cut`, { retryable: true });
          }
          await remote.put(name, bytes, options);
        },
      };
      await assertToldSoon(machine, refusing);
      assert.ok(tries < 10, `${tries} tries`);
    });
  },
);

publishing.run();
