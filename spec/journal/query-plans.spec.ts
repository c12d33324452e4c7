import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { changesOf, rememberedManifest, rememberManifest } from '../../lib/journal/manifests.ts';
import * as packs from '../../lib/journal/packs.ts';
import { durablePrefix, partlyUploadedBytes } from '../../lib/journal/pieces.ts';
import { applyPlan } from '../../lib/journal/planned-entries.ts';
import { completeRun, interruptRun } from '../../lib/journal/runs.ts';
import { abandonRun, unfinishedRuns } from '../../lib/journal/unfinished.ts';
import { demoteBrokenFiles, uploadedEntries, uploadedPaths } from '../../lib/journal/uploaded-entries.ts';
import { markUnreadable, pendingFiles, recordUploaded } from '../../lib/journal/uploading.ts';
import {
  add,
  claim,
  entryAt,
  hash,
  type Lent,
  NOBODY,
  NOW,
  packOf,
  piecesOf,
  withJournal,
} from './fixture.ts';

interface QueryPlan {
  readonly query: string;
  /** How SQLite goes about it, a step a line. */
  readonly steps: readonly string[];
}

/** Does what a backup and those who look after it do, and collects every query they use. */
async function queryPlans(): Promise<QueryPlan[]> {
  const plans: QueryPlan[] = [];
  await withJournal((lent) => {
    const { sqlite } = lent.journal;
    const queries = new Set<string>();
    const prepare = sqlite.prepare.bind(sqlite);
    sqlite.prepare = ((query: string) => {
      queries.add(query);
      return prepare(query);
    }) as typeof prepare;
    backUp(lent);
    for (const query of queries) {
      const parameters = new Array(query.split('?').length - 1).fill(null);
      const rows = prepare(`EXPLAIN QUERY PLAN ${query}`).all(...parameters) as { detail: string }[];
      plans.push({ query, steps: rows.map(({ detail }) => detail) });
    }
  });
  return plans;
}

function backUp(lent: Lent): void {
  const { journal, journalRepository } = lent;
  const run = claim(lent, { owner: NOBODY });
  const [changed, gone, file] = add(journal, run, entryAt('/changed'), entryAt('/gone'), entryAt('/x'));
  const entry = entryAt('/changed', { size: 2n ** 40n });
  const moved = [{ id: file!.id, entry: entryAt('/x'), state: 'pending' as const }];
  applyPlan(journal, run, {
    added: [],
    changed: [{ id: changed!.id, entry }],
    moved,
    gone: [gone!.id],
  });
  for (const { id } of pendingFiles(journal, run.sourceSet)) durablePrefix(journal, journalRepository, id);
  partlyUploadedBytes(journal, run);
  packs.isKnownChunk(journal, journalRepository, hash('a'));
  const completed = [file!, changed!].map(({ id }) => ({ entry: id, chunks: 1, bytes: 3000, torn: true }));
  const pieces = [file!, changed!].flatMap(({ id }) => piecesOf(id, 0, 'a'));
  recordUploaded(journal, run, { pack: packOf('a'), pieces, completed, bytes: 3000 }, NOW);
  recordUploaded(journal, run, { pack: null, pieces, completed, bytes: 3000 }, NOW);
  markUnreadable(journal, file!.id);
  packs.packsWithoutIndex(journal, journalRepository).next();
  packs.recordIndex(journal, journalRepository, 'index/one', [packOf('b')]);
  packs.seenIndexes(journal, journalRepository);
  packs.chunkLocation(journal, journalRepository, hash('a'));
  packs.forgetPacks(
    journal,
    packs
      .knownPacks(journal, journalRepository)
      .map(({ id }) => id)
      .slice(1),
  );
  demoteBrokenFiles(journal, run, NOW);
  for (const _ of uploadedEntries(journal, run.sourceSet));
  for (const _ of uploadedPaths(journal, run.sourceSet));
  rememberManifest(
    journal,
    run,
    { sizeBytes: 1, chunks: hash('a'), files: 1, folders: 0, bytes: 1 },
    { changes: changesOf(journal, run), edition: 1 },
  );
  rememberedManifest(journal, run, 1);
  interruptRun(journal, run);
  for (const unfinished of unfinishedRuns(journal)) abandonRun(journal, unfinished);
  completeRun(journal, claim(lent));
}

const plans = await queryPlans();

function stepsOf(...parts: string[]): readonly string[] {
  const found = plans.filter(({ query }) => parts.every((part) => query.includes(part)));
  assert.is(found.length, 1, `${found.length} queries hold ${parts.join(' and ')}`);
  return found[0]!.steps;
}

const queries = suite('the queries of a backup');

queries('are all looked at', () => {
  assert.ok(plans.length >= 35, `${plans.length} queries`);
});

queries('never walk a whole table, nor sort', () => {
  const breaches = plans.flatMap(({ query, steps }) =>
    steps
      .filter((step) => /^SCAN|TEMP B-TREE/.test(step))
      .filter((step) => step !== 'SCAN run USING INDEX run_unfinished') // which holds the unfinished runs only
      .map((step) => `${step}: ${query}`),
  );
  assert.equal(breaches, []);
});

queries(
  'that join tables are asked once a run or once for a page of files, as SQLite plans them anew each time',
  () => {
    const joins = plans.flatMap(({ query }) => query.match(/"\w+" (?:inner|left) join "\w+"/) ?? []);
    assert.equal(joins.sort(), [
      '"entry" inner join "entry_chunk"', // a page's chunks
      '"entry" inner join "entry_chunk"', // the files that were begun
      '"run" inner join "source_set"',
    ]);
  },
);

queries('find the files that still wait without passing over the others', () => {
  assert.match(
    stepsOf(`"state" = 'pending'`, 'order by "path"').join(),
    'USING INDEX entry_pending (source_set=? AND path>? AND path<?)',
  );
  assert.match(
    stepsOf(`"entry"."state" = 'pending'`, 'inner join "entry_chunk"').join(),
    'INDEX entry_pending (source_set=?)',
  );
});

queries('find the unfinished runs without passing over the complete ones', () => {
  assert.match(stepsOf(`"run"."state" <> 'complete'`).join(), 'SCAN run USING INDEX run_unfinished');
  assert.match(
    stepsOf('from "run" where "source_set" = ? and').join(),
    'USING INDEX run_to_resume (source_set=?)',
  );
});

queries('find the packs no index holds without passing over the others', () => {
  assert.match(
    stepsOf('from "pack"', '"directory" is not null').join(),
    'INDEX pack_without_index (repository=? AND rowid>?)',
  );
});

queries.run();
