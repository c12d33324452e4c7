import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { Kysely, SqliteDialect } from 'kysely';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MIGRATIONS } from '../migrations/index.ts';

const FOLDER = join(import.meta.dirname, '../migrations');
/** What the schema is after each migration, for ever. */
const FROZEN = join(import.meta.dirname, 'journal/schema');

/** @returns the statements that make the schema as it is after the migrations up to `last` */
async function schemaAfter(last: string): Promise<string> {
  const sqlite = new Database(':memory:');
  try {
    const db = new Kysely<unknown>({ dialect: new SqliteDialect({ database: sqlite }) });
    for (const [name, { up }] of Object.entries(MIGRATIONS)) {
      await up(db);
      if (name === last) break;
    }
    const rows = sqlite.prepare(
      'SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name',
    );
    return (rows.pluck().all() as string[]).map((statement) => `${statement};\n`).join('\n');
  } finally {
    sqlite.close();
  }
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
    assert.fixture(await schemaAfter(name), frozen);
  });
}

migrations('no schema is frozen that no migration makes', () => {
  assert.equal(
    readdirSync(FROZEN).sort(),
    Object.keys(MIGRATIONS).map((name) => `${name}.sql`),
  );
});

migrations.run();
