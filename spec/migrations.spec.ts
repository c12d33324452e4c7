import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { Kysely, SqliteDialect } from 'kysely';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { schemaSha256 } from '../lib/journal/database.ts';
import { MIGRATIONS, SCHEMA_SHA256 } from '../migrations/index.ts';

const FOLDER = join(import.meta.dirname, '../migrations');
/** What the schema is after each migration, for ever. */
const FROZEN = join(import.meta.dirname, 'journal/schema');

/** Reads from a database that is as it is after the migrations up to `last`. */
async function after<Result>(last: string, read: (sqlite: Database.Database) => Result): Promise<Result> {
  const sqlite = new Database(':memory:');
  try {
    const db = new Kysely<unknown>({ dialect: new SqliteDialect({ database: sqlite }) });
    for (const [name, { up }] of Object.entries(MIGRATIONS)) {
      await up(db);
      if (name === last) break;
    }
    return read(sqlite);
  } finally {
    sqlite.close();
  }
}

/** @returns the statements that make the schema */
function schemaOf(sqlite: Database.Database): string {
  const rows = sqlite.prepare('SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name');
  return (rows.pluck().all() as string[]).map((statement) => `${statement};\n`).join('\n');
}

const migrations = suite('migrations');

migrations('the list names every file of the folder, in order', () => {
  const files = readdirSync(FOLDER)
    .filter((file) => file !== 'index.ts')
    .map((file) => file.replace(/\.ts$/, ''));
  assert.equal(Object.keys(MIGRATIONS), files.sort());
});

for (const name of Object.keys(MIGRATIONS)) {
  migrations(`the schema after ${name} is the one that was released`, async () => {
    const frozen = readFileSync(join(FROZEN, `${name}.sql`), 'utf8');
    assert.fixture(await after(name, schemaOf), frozen);
  });
}

migrations('the schema they all make is the one that a journal is held against', async () => {
  assert.is(await after(Object.keys(MIGRATIONS).at(-1)!, schemaSha256), SCHEMA_SHA256);
});

migrations('no schema is frozen that no migration makes', () => {
  assert.equal(
    readdirSync(FROZEN).sort(),
    Object.keys(MIGRATIONS).map((name) => `${name}.sql`),
  );
});

migrations.run();
