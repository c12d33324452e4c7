import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { seededBytes } from '../format/fixtures.ts';
import {
  assertClearError,
  assertStatus,
  jsonLines,
  type Machine,
  summaryOf,
  withMachine,
} from '../helpers/program.ts';
import { writeTree } from '../helpers/tree.ts';

const program = suite('skylock verify and skylock repair');

interface World {
  readonly machine: Machine;
  readonly source: string;
  readonly root: string;
  readonly backupId: string;
  /** Paths of the objects below this folder. */
  readonly objects: (folder: string) => string[];
}

async function withBackup(use: (world: World) => Promise<void>): Promise<void> {
  await withMachine(
    async (machine) => {
      const source = join(machine.folder, 'source');
      const root = join(machine.folder, 'repository');
      const files = Array.from(
        { length: 30 },
        (_, index) => [`${index}`, seededBytes(30_000, `${index}`)] as const,
      );
      writeTree(source, files);
      await machine.succeeds(['init', root]);
      const { stdout } = await machine.succeeds(['backup', '--direct', source]);
      const objects = (folder: string) =>
        readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name));
      await use({ machine, source, root, backupId: stdout.trim(), objects });
    },
    { SKYLOCK_PASSWORD: 'correct horse 31ab' },
  );
}

/** The pack of the files is by far the largest. */
function largest(paths: readonly string[]): string {
  return paths.toSorted((a, b) => readFileSync(b).length - readFileSync(a).length)[0]!;
}

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(path, bytes);
}

program('end with 0 while all is well, and print nothing', async () => {
  await withBackup(async ({ machine, backupId }) => {
    for (const args of [
      [],
      [backupId],
      ['latest'],
      ['--read-data'],
      ['--read-data=5%'],
      ['--read-data', backupId],
    ]) {
      const { stdout, stderr } = await machine.succeeds(['verify', ...args]);
      assert.is(stdout, '');
      assert.match(stderr, /No damage found: checked 1 backup/);
    }
    const repaired = await machine.succeeds(['repair']);
    assert.is(repaired.stdout, '');
  });
});

program(
  'end with 1 at damage, name it and its files, and bring it to an end with the next backup',
  async () => {
    await withBackup(async ({ machine, source, root, backupId, objects }) => {
      flip(largest(objects('packs')));
      assertStatus(await machine.run(['verify']), 0);
      const found = await machine.run(['verify', '--read-data', '--json']);
      assertStatus(found, 1);
      const lines = jsonLines(found.stdout);
      const finding = lines.find(({ type }) => type === 'finding')!;
      assert.equal([finding.backups, finding.files], [[backupId], 1]);
      const affected = lines.filter(({ type }) => type === 'affected');
      assert.equal(affected.length, 1);
      assert.match(String(affected[0]!.path), new RegExp(`^${source}/\\d+$`));
      assert.is(summaryOf(found).findings, 1);
      const shown = await machine.run(['verify', '--read-data']);
      assertStatus(shown, 1);
      assert.match(
        shown.stdout,
        new RegExp(`affects 1 backup: ${backupId}\n  ${backupId} ${source}/\\d+\n$`),
      );

      const before = objects('.').toSorted();
      assertStatus(await machine.run(['repair', '--read-data', '--dry-run']), 3);
      assert.equal(objects('.').toSorted(), before);
      const repaired = await machine.run(['repair', '--read-data', '--json']);
      assertStatus(repaired, 3);
      assert.is(summaryOf(repaired).lost_chunks, 1);
      await machine.succeeds(['backup', '--direct', source]);
      await machine.succeeds(['verify', '--read-data']);
      await machine.succeeds(['restore', backupId, '--target', join(root, '../restored')]);
    });
  },
);

program('list twenty files of a finding and count the others, all of them with --json', async () => {
  await withBackup(async ({ machine, objects }) => {
    rmSync(largest(objects('packs')));
    const shown = await machine.run(['verify']);
    assertStatus(shown, 1);
    assert.is(shown.stdout.match(/\/source\/\d+/g)?.length, 20);
    assert.match(shown.stdout, /and 10 more of 30 files/);
    const { stdout } = await machine.run(['verify', '--json']);
    assert.is(jsonLines(stdout).filter(({ type }) => type === 'affected').length, 30);
  });
});

program('make deleted indexes anew', async () => {
  await withBackup(async ({ machine, source, objects }) => {
    for (const path of objects('index')) rmSync(path);
    assertStatus(await machine.run(['verify']), 1);
    await machine.succeeds(['repair']);
    await machine.succeeds(['verify', '--read-data']);
    const { sent_bytes: sent } = summaryOf(await machine.succeeds(['backup', '--direct', '--json', source]));
    assert.is(sent, 0);
  });
});

program('refuse what makes no sense', async () => {
  await withBackup(async ({ machine }) => {
    for (const share of ['0%', '101%', 'x', '5']) {
      assertClearError(await machine.run(['verify', `--read-data=${share}`]), 2, /is not a share/);
    }
    assertClearError(await machine.run(['verify', '20000101_000000']), 1, /20000101_000000/);
    assertClearError(await machine.run(['verify', 'nonsense']), 2, /nonsense/);
  });
});

program.run();
