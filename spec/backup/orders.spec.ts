/** The five orders: what is done before what, so that a kill between any two steps costs time and never data. */
import { hash } from 'node:crypto';
import fs, { readdirSync, readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { LockedError, RemoteError } from '../../lib/errors.ts';
import type { BackupHeader } from '../../lib/format/backup-header.ts';
import { openObject } from '../../lib/format/envelope.ts';
import { decodePackIndex } from '../../lib/format/pack-index.ts';
import { memoryRemote } from '../../lib/remote/memory.ts';
import type { Remote } from '../../lib/remote/remote.ts';
import { putCheckpoint } from '../../lib/repository/backups.ts';
import { packName } from '../../lib/repository/repository.ts';
import { assertRejects, seededBytes } from '../format/fixtures.ts';
import { failingRemote } from '../helpers/failing-remote.ts';
import {
  assertHolds,
  assertHonest,
  type Machine,
  readBack,
  repositoryAt,
  withMachine,
} from '../helpers/scenario.ts';
import { type Tree, writeTree } from '../helpers/tree.ts';

const TREE: Tree = { big: seededBytes(90_000, 'orders'), 'docs/text': 'text', 'docs/none/': '' };

/** A change of the remote that is about to be made, or was made a moment ago. */
interface Change {
  readonly verb: 'put' | 'remove';
  readonly name: string;
  readonly when: 'before' | 'after';
  readonly bytes: Uint8Array;
}

/** A memory remote whose every change is looked at. */
function watchedRemote({ objects }: Machine, look: (change: Change) => Promise<void>): Remote {
  const remote = memoryRemote(objects);
  return {
    ...remote,
    async put(name, bytes, options) {
      // What has no name yet is no object.
      const beforeNaming = async () => {
        await options?.beforeNaming?.();
        await look({ verb: 'put', name, when: 'before', bytes });
      };
      await remote.put(name, bytes, { ...options, beforeNaming });
      await look({ verb: 'put', name, when: 'after', bytes });
    },
    async remove(name) {
      await look({ verb: 'remove', name, when: 'before', bytes: Buffer.alloc(0) });
      await remote.remove(name);
    },
  };
}

/** The states of all runs, as another process sees them. */
function statesOf(machine: Machine): Promise<string[]> {
  return machine.withJournal((journal) =>
    (journal.sqlite.prepare('SELECT state FROM run').all() as { state: string }[]).map(({ state }) => state),
  );
}

/** The names of the packs that are recorded. */
function packsInJournal(machine: Machine): Promise<string[]> {
  return machine.withJournal((journal) =>
    (journal.sqlite.prepare('SELECT name FROM pack').all() as { name: Buffer }[]).map(({ name }) =>
      name.toString('hex'),
    ),
  );
}

function stateFilesOf({ stateFolder }: Machine): string[] {
  return fs.existsSync(stateFolder) ? readdirSync(stateFolder).filter((name) => name.endsWith('.json')) : [];
}

/** Everything the journal holds, all remote objects and all state files. */
async function everythingOf(machine: Machine): Promise<string[]> {
  const tables = await machine.withJournal((journal) => {
    const names = journal.sqlite.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table'`).all() as {
      name: string;
    }[];
    return names.map(
      ({ name }) => `${name}: ${JSON.stringify(journal.sqlite.prepare(`SELECT * FROM "${name}"`).all())}`,
    );
  });
  const files = stateFilesOf(machine).map((name) => readFileSync(join(machine.stateFolder, name), 'utf8'));
  const objects = [...machine.objects].map(([name, bytes]) => `${name}: ${hash('sha256', bytes)}`);
  return [...tables, ...files, ...objects];
}

const first = suite('order 1');

first('the run is claimed in the journal before the remote or the state folder changes', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, TREE);
    let looks = 0;
    const remote = watchedRemote(machine, async ({ name }) => {
      looks += 1;
      const [state, ...others] = await statesOf(machine);
      assert.equal(others, []);
      assert.ok(state === 'running' || name.startsWith('resume/'), `${name} while the run is ${state}`);
      if (state === 'running') assert.is(stateFilesOf(machine).length, 1);
    });
    const list = async function* (prefix: string) {
      if ((await statesOf(machine)).length === 0) assert.equal(stateFilesOf(machine), []);
      yield* remote.list(prefix);
    };
    await machine.backUp({ remote: { ...remote, list } });
    assert.ok(looks > 5);
  }),
);

first('a backup that is refused has changed nothing: no journal, no state file, no object', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, TREE);
    let refused = 0;
    const remote = watchedRemote(machine, async ({ when, name }) => {
      if (when === 'before' || refused > 0 || !name.startsWith('packs/')) return;
      // There is something to be found out and tidied up, by whoever owns a run: a pack nobody has recorded yet, and a
      // checkpoint whose backup is complete.
      machine.objects.set('backups/20200101_000000', Buffer.from('a backup'));
      await putCheckpoint(repositoryAt(memoryRemote(machine.objects)), leftOver('20200101_000000'));
      const before = await everythingOf(machine);
      await assertRejects(
        () => machine.backUp(),
        LockedError,
        new RegExp(`process ${process.pid} is backing`),
      );
      assert.equal(await everythingOf(machine), before);
      refused += 1;
    });
    const { failures } = await machine.backUp({ remote, request: { lanes: 1 } }); // nobody else changes anything
    assert.equal([failures, refused], [0, 1]);
  }),
);

function leftOver(backupId: string): BackupHeader {
  return {
    backupId,
    state: 'unfinished',
    startedAt: new Date(0),
    finishedAt: null,
    host: 'elsewhere',
    sourcePaths: [],
    matchKey: '0'.repeat(64),
    files: 0,
    folders: 0,
    bytes: 0,
    unreadable: 0,
    program: 'skylock 0.0.0',
    manifest: { sizeBytes: 0, chunks: Buffer.alloc(0) },
    claims: [],
    progress: null,
  };
}

first.run();

const third = suite('order 3');

third('a pack is on the remote before the journal says so, and before any file counts as uploaded', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, TREE);
    let looks = 0;
    const remote = watchedRemote(machine, async ({ name }) => {
      if (!name.startsWith('packs/')) return;
      looks += 1;
      assert.not(
        (await packsInJournal(machine)).includes(name.slice('packs/ab/'.length)),
        `${name} is recorded before it is put`,
      );
    });
    await machine.backUp({ remote });
    assert.ok(looks >= 6);
  }),
);

third('a pack whose put fails is not in the journal, nor is any file that needs it', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, TREE);
    const remote = failingRemote(memoryRemote(machine.objects), [{ verb: 'put', call: 2 }]);
    await assertRejects(() => machine.backUp({ remote }), RemoteError);
    assert.ok(await assertHonest(machine));
  }),
);

third.run();

const fourth = suite('order 4');

for (const [kind, folder] of [
  ['backup', 'backups/'],
  ['checkpoint', 'resume/'],
] as const) {
  fourth(`when a ${kind} is put, all it refers to can be read already`, () =>
    withMachine(async (machine) => {
      writeTree(machine.source, TREE);
      let looks = 0;
      const remote = watchedRemote(machine, async ({ verb, name, when, bytes }) => {
        // What a checkpoint has to say comes between the packs of the files.
        if (name.startsWith('packs/') && folder === 'resume/')
          await new Promise((wake) => setTimeout(wake, 20));
        if (verb !== 'put' || when !== 'before' || !name.startsWith(folder)) return;
        looks += 1;
        const objects = new Map(machine.objects).set(name, Buffer.from(bytes));
        await readBack(repositoryAt(memoryRemote(objects)), name.slice(folder.length), kind);
      });
      await machine.backUp({ remote, request: { checkpointEveryMs: kind === 'checkpoint' ? 1 : 60_000 } });
      assert.ok(looks >= 1);
      await assertHolds(repositoryAt(memoryRemote(machine.objects)), backupIdOf(machine), [machine.source]);
    }),
  );
}

fourth('when an index is put, every pack in it is there and recorded', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, TREE);
    const repository = repositoryAt(memoryRemote(machine.objects));
    let packs = 0;
    const remote = watchedRemote(machine, async ({ name, when, bytes }) => {
      if (when !== 'before') return;
      if (name.startsWith('packs/')) await new Promise((wake) => setTimeout(wake, 20)); // the index is ready first
      if (!name.startsWith('index/')) return;
      const known = await packsInJournal(machine);
      for (const pack of decodePackIndex(openObject(repository.keys, 'index', name, bytes))) {
        packs += 1;
        assert.ok(machine.objects.has(packName(pack.name)), `${name} refers to what is not there`);
        assert.ok(known.includes(pack.name), `${name} refers to what is not recorded`);
      }
    });
    await machine.backUp({ remote });
    assert.is(packs, [...machine.objects.keys()].filter((name) => name.startsWith('packs/')).length);
  }),
);

function backupIdOf({ objects }: Machine): string {
  return [...objects.keys()].find((name) => name.startsWith('backups/'))!.slice('backups/'.length);
}

fourth.run();

const fifth = suite('order 5');

fifth('the run is complete only after its backup is on the remote', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, TREE);
    let looks = 0;
    const remote = watchedRemote(machine, async ({ name }) => {
      if (!name.startsWith('backups/')) return;
      looks += 1;
      assert.equal(await statesOf(machine), ['running']);
      assert.is(stateFilesOf(machine).length, 1);
    });
    await machine.backUp({ remote });
    assert.is(looks, 2);
    assert.equal([await statesOf(machine), stateFilesOf(machine)], [['complete'], []]);
  }),
);

fifth('the state file and the checkpoint go only after the run is complete', () =>
  withMachine(async (machine) => {
    writeTree(machine.source, TREE);
    const now = () => new Date('2025-11-07T14:20:30Z');
    // One that cannot be read is replaced and removed as if it were the run's own.
    machine.objects.set('resume/20251107_142030', Buffer.from('a damaged checkpoint'));
    const seen: string[] = [];
    const remote = watchedRemote(machine, async ({ verb, name }) => {
      if (verb !== 'remove') return;
      assert.match(name, /^resume\//);
      seen.push(`checkpoint: ${await statesOf(machine)}`);
    });
    await withRm(
      async (path) => {
        if (path.startsWith(machine.stateFolder) && path.endsWith('.json') && fs.existsSync(path)) {
          seen.push(`state file: ${await statesOf(machine)}`);
        }
      },
      () => machine.backUp({ remote, now }),
    );
    assert.equal(seen, ['state file: complete', 'checkpoint: complete']);
  }),
);

/** Looks at each path that is about to be removed. */
async function withRm(look: (path: string) => Promise<void>, use: () => Promise<unknown>): Promise<void> {
  const { rm } = fs.promises;
  const watched: typeof rm = async (path, options) => {
    await look(String(path));
    await rm(path, options);
  };
  Object.assign(fs.promises, { rm: watched });
  syncBuiltinESMExports();
  try {
    await use();
  } finally {
    Object.assign(fs.promises, { rm });
    syncBuiltinESMExports();
  }
}

fifth.run();
