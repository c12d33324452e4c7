import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type BackupHeader, decodeBackupHeader, encodeBackupHeader } from '../../lib/format/backup-header.ts';
import { createChunker, DATA_CHUNK_SIZES, MANIFEST_CHUNK_SIZES } from '../../lib/format/chunker.ts';
import { contentName, openObject, sealObject } from '../../lib/format/envelope.ts';
import { parseKeyFile, unwrapMasterKey, wrapMasterKey } from '../../lib/format/key-file.ts';
import { chunkId, repositoryKeys } from '../../lib/format/keys.ts';
import { decodeManifest, type Entry, encodeEntry, splitChunkIds } from '../../lib/format/manifest.ts';
import { createPackBuilder, packKey } from '../../lib/format/pack.ts';
import { encodeDirectory } from '../../lib/format/pack-directory.ts';
import { decodePackIndex, encodePackIndex } from '../../lib/format/pack-index.ts';
import {
  encodeRepositoryConfig,
  parseRepositoryConfig,
  verifyRepositoryConfig,
} from '../../lib/format/repository-config.ts';
import { nonceOf, unseal } from '../../lib/format/seal.ts';
import { readPack, seededBytes, testKeys, testMaster } from './fixtures.ts';

const FOLDER = join(import.meta.dirname, 'vectors', 'format-1');
const BACKUP = 'backups/20251107_142030';
const CHECKPOINT = 'resume/20251108_090000';
/** The same with the claims of the run. */
const CLAIMED_BACKUP = 'backups/20251109_080000';
const CLAIMED_CHECKPOINT = 'resume/20251110_080000';

const keys = testKeys();
const expected = JSON.parse(readFileSync(join(FOLDER, 'expected.json'), 'utf8'));
const manifest = readFileSync(join(FOLDER, 'manifest.jsonl'));
const object = (name: string) => readFileSync(join(FOLDER, 'repository', name));

/** Names under a folder of the repository, as a remote would list them. */
function list(folder: string): string[] {
  return readdirSync(join(FOLDER, 'repository', folder), { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile())
    .map((file) => join(file.parentPath, file.name).slice(join(FOLDER, 'repository/').length))
    .sort();
}

/** Every chunk of every pack by its id in hexadecimal, read with nothing but the packs. */
function readChunks(): Map<string, Buffer> {
  const all = list('packs').flatMap((name) => readPack(keys, object(name)));
  return new Map(all.map(({ entry, chunk }) => [entry.id.toString('hex'), chunk]));
}

function assemble(ids: Buffer, chunks = readChunks()): Buffer {
  return Buffer.concat([...splitChunkIds(ids)].map((id) => chunks.get(id.toString('hex'))!));
}

function readHeader(kind: 'backup' | 'checkpoint', name: string): BackupHeader {
  return decodeBackupHeader(openObject(keys, kind, name, object(name)), name);
}

async function readEntries(header: BackupHeader): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const entry of decodeManifest([assemble(header.manifest.chunks)])) entries.push(entry);
  return entries;
}

const reading = suite('the frozen vectors of format 1, read');

reading('give the master key for the password, and the keys derived from it', async () => {
  const { repositoryId } = parseRepositoryConfig(object('skylock.json'));
  const [keyFile] = list('keys');
  const master = await unwrapMasterKey(object(keyFile!), expected.password, repositoryId);
  assert.is(master.export().toString('hex'), expected.master_key);
  const derived = repositoryKeys(master);
  assert.is(derived.chunkId.export().toString('hex'), expected.chunk_id_key);
  assert.equal([derived.gear[0], derived.gear[255]], expected.gear_first_and_last);
  verifyRepositoryConfig(parseRepositoryConfig(object('skylock.json')), derived);
});

reading('give chunks that have the ids they are stored under', () => {
  const chunks = readChunks();
  assert.is(chunks.size, expected.chunks);
  for (const [id, chunk] of chunks) assert.is(chunkId(keys, chunk).toString('hex'), id);
});

reading('give the index of the packs', () => {
  for (const name of list('packs')) assert.is(name, `packs/${name.slice(6, 8)}/${contentName(object(name))}`);
  const [name] = list('index');
  assert.is(name, `index/${contentName(object(name!))}`);
  const indexed = [...decodePackIndex(openObject(keys, 'index', name!, object(name!)))];
  assert.equal(indexed.map((pack) => `packs/${pack.name.slice(0, 2)}/${pack.name}`).sort(), list('packs'));
  for (const pack of indexed) {
    const bytes = object(`packs/${pack.name.slice(0, 2)}/${pack.name}`);
    assert.is(pack.sizeBytes, bytes.length);
    assert.equal(
      pack.entries,
      readPack(keys, bytes).map(({ entry }) => entry),
    );
  }
});

reading('give the backup, its manifest and the content of every file', async () => {
  const header = readHeader('backup', BACKUP);
  assert.is(header.state, 'complete');
  assert.is(header.host, 'annas-notebook');
  assert.equal(header.sourcePaths, [Buffer.from('/home/anna'), Buffer.from('/caf\xe9', 'latin1')]);
  assert.equal(assemble(header.manifest.chunks), manifest);
  assert.is(header.manifest.sizeBytes, manifest.length);

  const entries = await readEntries(header);
  assert.is(entries.length, expected.backups[BACKUP]);
  const files = entries.filter((entry) => entry.type === 'file');
  const contents = files.map(({ path, chunks }) => [path.toString('hex'), contentName(assemble(chunks))]);
  assert.equal(Object.fromEntries(contents), expected.contents_sha256_by_path_in_hex);
  assert.is(header.files, files.length);
});

reading('give the checkpoint and the part of the manifest it has', async () => {
  const header = readHeader('checkpoint', CHECKPOINT);
  assert.is(header.state, 'unfinished');
  assert.is(header.finishedAt, null);
  assert.is((await readEntries(header)).length, expected.backups[CHECKPOINT]);
});

reading('give the claims where there are any', async () => {
  assert.equal(readHeader('backup', BACKUP).claims, []);
  assert.equal(readHeader('checkpoint', CHECKPOINT).claims, []);
  for (const [kind, name] of [
    ['backup', CLAIMED_BACKUP],
    ['checkpoint', CLAIMED_CHECKPOINT],
  ] as const) {
    const header = readHeader(kind, name);
    assert.equal(header.claims, expected.claims);
    assert.is((await readEntries(header)).length, expected.backups[name]);
  }
});

reading.run();

const writing = suite('the frozen vectors of format 1, written again');

writing('are the same config and key file', async () => {
  const config = parseRepositoryConfig(object('skylock.json'));
  assert.equal(encodeRepositoryConfig(config, keys), object('skylock.json'));
  const [name] = list('keys');
  const keyFile = parseKeyFile(object(name!));
  assert.equal(await wrapMasterKey(testMaster(), expected.password, keyFile), object(name!));
});

writing('are the same packs', () => {
  for (const name of list('packs')) {
    const bytes = object(name);
    const key = packKey(keys, bytes);
    const builder = createPackBuilder(keys, Buffer.alloc(bytes.length), bytes.subarray(9, 41));
    readPack(keys, bytes).forEach(({ entry }, index) => {
      // What was stored, not compressed anew: another release of zstd may compress otherwise
      const frame = bytes.subarray(entry.offset, entry.offset + entry.storedSize);
      const aad = Buffer.concat([entry.id, Buffer.of(entry.compression)]);
      builder.add(entry.id, entry.compression, unseal(key, nonceOf(index), aad, frame)!, entry.size);
    });
    assert.equal(builder.seal().bytes, bytes);
  }
});

writing('are the same index, backup and checkpoint', () => {
  const [name] = list('index');
  const index = object(name!);
  const packs = [...decodePackIndex(openObject(keys, 'index', name!, index))].map((pack) => ({
    ...pack,
    directory: encodeDirectory(pack.entries),
  }));
  assert.equal(sealObject(keys, 'index', '', encodePackIndex(packs), index.subarray(9, 41)), index);
  for (const [kind, sealed] of [
    ['backup', BACKUP],
    ['checkpoint', CHECKPOINT],
    ['backup', CLAIMED_BACKUP],
    ['checkpoint', CLAIMED_CHECKPOINT],
  ] as const) {
    const plaintext = encodeBackupHeader(readHeader(kind, sealed));
    assert.equal(sealObject(keys, kind, sealed, plaintext, object(sealed).subarray(9, 41)), object(sealed));
  }
});

writing('are the same manifest', async () => {
  const entries = await readEntries(readHeader('backup', BACKUP));
  assert.equal(Buffer.concat(entries.map(encodeEntry)), manifest);
});

writing('have the same boundaries of chunks', () => {
  const stream = seededBytes(4 * 1024 * 1024, 'boundaries');
  assert.is(contentName(stream), expected.boundaries.stream_sha256);
  for (const [sizes, length, lengths] of [
    [DATA_CHUNK_SIZES, stream.length, expected.boundaries.data_chunk_lengths],
    [MANIFEST_CHUNK_SIZES, 1024 * 1024, expected.boundaries.manifest_chunk_lengths],
  ]) {
    const { nextCut } = createChunker(keys.gear, sizes);
    const found: number[] = [];
    for (let at = 0; at < length; at += found.at(-1)!) found.push(nextCut(stream, at, length, true));
    assert.equal(found, lengths);
  }
});

writing.run();
