import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DamagedError } from '../../lib/errors.ts';
import { type BackupHeader, decodeBackupHeader, encodeBackupHeader } from '../../lib/format/backup-header.ts';
import { assertOnlySkylockErrors, assertThrows, type Json, seededBytes, withFlippedBit } from './fixtures.ts';

const COMPLETE: BackupHeader = {
  backupId: '20251107_142030',
  state: 'complete',
  startedAt: new Date('2025-11-07T14:20:30Z'),
  finishedAt: new Date('2025-11-07T15:00:00Z'),
  host: 'annas-notebook',
  sourcePaths: [Buffer.from('/home/anna'), Buffer.from('/caf\xe9', 'latin1')],
  matchKey: 'ab'.repeat(32),
  files: 12,
  folders: 3,
  bytes: 123_456,
  unreadable: 1,
  program: 'skylock 0.1.0',
  manifest: { sizeBytes: 2345, chunks: seededBytes(64, 'manifest') },
  claims: ['3e1f7a52-9c0d-4b6e-8a21-5d4c3b2a1f00', '5b0e7c1a-0000-4000-8000-000000000001'],
  progress: null,
};
const PROGRESS = {
  totalFiles: 150,
  totalBytes: 2_340_000_000,
  updatedAt: new Date('2025-11-07T14:25:15Z'),
  owner: { pid: 4711, startedAt: '123456', bootId: '6a1b0b8e-0000-4000-8000-000000000000' },
};
const UNFINISHED: BackupHeader = {
  ...COMPLETE,
  state: 'unfinished',
  finishedAt: null,
  progress: PROGRESS,
};

function changed(change: (json: Json) => void, header = COMPLETE): Buffer {
  const json = JSON.parse(encodeBackupHeader(header).toString());
  change(json);
  return Buffer.from(JSON.stringify(json));
}

const headers = suite('a backup header');

headers('comes back as it was, complete, unfinished and empty', () => {
  const empty = {
    ...COMPLETE,
    sourcePaths: [Buffer.from('/')],
    manifest: { sizeBytes: 0, chunks: Buffer.alloc(0) },
  };
  for (const header of [COMPLETE, UNFINISHED, empty, { ...COMPLETE, claims: [] }]) {
    assert.equal(decodeBackupHeader(encodeBackupHeader(header)), header);
  }
});

headers('keeps its instants to the second', () => {
  const header = { ...COMPLETE, startedAt: new Date('2025-11-07T14:20:30.999Z') };
  assert.equal(decodeBackupHeader(encodeBackupHeader(header)).startedAt, COMPLETE.startedAt);
});

headers('may have fields that a later Skylock adds', () => {
  assert.equal(decodeBackupHeader(changed((json) => (json.later = 1))), COMPLETE);
});

headers('with a value that makes no sense is damaged', () => {
  for (const change of [
    (json: Json) => (json.backup_id = '2025-11-07'),
    (json: Json) => (json.backup_id = '../20251107_142030'),
    (json: Json) => (json.state = 'done'),
    (json: Json) => (json.state = 'unfinished'), // and finished_at is set
    (json: Json) => (json.started_at = '2025-11-07'),
    (json: Json) => (json.started_at = '2025-13-07T14:20:30Z'),
    (json: Json) => (json.finished_at = null),
    (json: Json) => delete json.finished_at,
    (json: Json) => (json.host = null),
    (json: Json) => (json.sources = '/home/anna'),
    (json: Json) => (json.sources = ['/home/anna']),
    (json: Json) => (json.sources = [{ path: 'home/anna' }]),
    (json: Json) => (json.sources = [{ path: '/home/../anna' }]),
    (json: Json) => (json.sources = [{}]),
    (json: Json) => (json.match_key = 'AB'.repeat(32)),
    (json: Json) => (json.match_key = 'ab'),
    (json: Json) => (json.files = -1),
    (json: Json) => (json.folders = 0.5),
    (json: Json) => (json.bytes = 2 ** 53),
    (json: Json) => delete json.unreadable,
    (json: Json) => (json.program = 1),
    (json: Json) => (json.claims = json.claims[0]),
    (json: Json) => (json.claims = ['AB']),
    (json: Json) => delete json.manifest,
    (json: Json) => (json.manifest.size = 0),
    (json: Json) => (json.manifest.size = 1),
    (json: Json) => (json.manifest.chunks = ''),
    (json: Json) => (json.manifest.chunks = 'AAAA'),
  ]) {
    assertThrows(() => decodeBackupHeader(changed(change), 'backups/x'), DamagedError, /^open backups\/x: /);
  }
});

headers('out of any bytes is damaged and nothing worse', () => {
  const bytes = encodeBackupHeader(COMPLETE);
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    assertOnlySkylockErrors(() => decodeBackupHeader(withFlippedBit(bytes, bit >> 3, bit % 8)));
  }
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((json) => Buffer.from(json)),
      ),
      (random) => assertThrows(() => decodeBackupHeader(random), DamagedError),
    ),
  );
});

headers.run();
