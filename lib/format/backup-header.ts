import { isUtf8 } from 'node:buffer';
import { DamagedError } from '../errors.ts';
import { formatInstant } from '../units.ts';
import { Fields, UUID } from './fields.ts';
import { CHUNK_ID_BYTES } from './keys.ts';
import { findPathFault } from './path.ts';

export const BACKUP_ID = /^\d{8}_\d{6}$/;

const MATCH_KEY = /^[0-9a-f]{64}$/;
const STATES = ['complete', 'unfinished'] as const;

/** What `backups/<backup_id>` and `resume/<backup_id>` say once opened. */
export interface BackupHeader {
  /** `YYYYMMDD_HHMMSS`, UTC. */
  readonly backupId: string;
  readonly state: 'complete' | 'unfinished';
  readonly startedAt: Date;
  /** `null` while it is unfinished. */
  readonly finishedAt: Date | null;
  readonly host: string;
  readonly sourcePaths: readonly Buffer[];
  /** 64 hexadecimal digits: by it an unfinished backup is found again. */
  readonly matchKey: string;
  readonly files: number;
  readonly folders: number;
  /** Of the files' content. */
  readonly bytes: number;
  /** Entries that could not be read. */
  readonly unreadable: number;
  /** What wrote it: `skylock 1.2.3`. */
  readonly program: string;
  /**
   * UUIDs of the processes that went on with the run one after another, the last that of the one that wrote this: by them
   * cloned machines are told apart. None where an older version wrote it.
   */
  readonly claims: readonly string[];
  readonly manifest: ManifestReference;
  /** How far an unfinished backup was when this was written; `null` for a complete one. */
  readonly progress: BackupProgress | null;
}

/** The header's other counts are of what its manifest lists. */
export interface BackupProgress {
  readonly totalFiles: number;
  readonly totalBytes: number;
  readonly updatedAt: Date;
  /** The process that wrote it, so that on the same machine it can be told whether it still lives. */
  readonly owner: { readonly pid: number; readonly startedAt: string; readonly bootId: string };
}

export interface ManifestReference {
  readonly sizeBytes: number;
  /** Ids of its chunks, one after the other. */
  readonly chunks: Buffer;
}

/** *Shape*: one JSON object in UTF-8. */
export function encodeBackupHeader(header: BackupHeader): Buffer {
  const json = {
    backup_id: header.backupId,
    state: header.state,
    started_at: formatInstant(header.startedAt),
    finished_at: header.finishedAt === null ? null : formatInstant(header.finishedAt),
    host: header.host,
    sources: header.sourcePaths.map(encodeSource),
    match_key: header.matchKey,
    files: header.files,
    folders: header.folders,
    bytes: header.bytes,
    unreadable: header.unreadable,
    program: header.program,
    ...(header.claims.length === 0 ? {} : { claims: header.claims }),
    manifest: { size: header.manifest.sizeBytes, chunks: header.manifest.chunks.toString('base64') },
    ...(header.progress === null ? {} : { progress: encodeProgress(header.progress) }),
  };
  return Buffer.from(JSON.stringify(json), 'utf8');
}

/**
 * @param name the object's, for messages
 * @throws DamagedError unless it is a header
 */
export function decodeBackupHeader(bytes: Uint8Array, name = 'backup'): BackupHeader {
  const task = `open ${name}`;
  const fields = Fields.parse(bytes, task);
  const state = fields.oneOf('state', STATES);
  const count = (field: string) => fields.integer(field, 0, Number.MAX_SAFE_INTEGER);
  return {
    backupId: fields.text('backup_id', BACKUP_ID),
    state,
    startedAt: fields.instant('started_at'),
    finishedAt: decodeFinish(fields, state),
    host: fields.text('host'),
    sourcePaths: fields.list('sources').map((source) => decodeSource(source, task)),
    matchKey: fields.text('match_key', MATCH_KEY),
    files: count('files'),
    folders: count('folders'),
    bytes: count('bytes'),
    unreadable: count('unreadable'),
    program: fields.text('program'),
    claims: fields.has('claims') ? decodeClaims(fields) : [],
    manifest: decodeReference(fields.object('manifest')),
    progress:
      state === 'unfinished' && fields.has('progress') ? decodeProgress(fields.object('progress')) : null,
  };
}

function encodeProgress({ totalFiles, totalBytes, updatedAt, owner }: BackupProgress): object {
  return {
    total_files: totalFiles,
    total_bytes: totalBytes,
    updated_at: formatInstant(updatedAt),
    owner: { pid: owner.pid, started: owner.startedAt, boot: owner.bootId },
  };
}

function decodeProgress(fields: Fields): BackupProgress {
  const owner = fields.object('owner');
  return {
    totalFiles: fields.integer('total_files', 0, Number.MAX_SAFE_INTEGER),
    totalBytes: fields.integer('total_bytes', 0, Number.MAX_SAFE_INTEGER),
    updatedAt: fields.instant('updated_at'),
    owner: {
      pid: owner.integer('pid', 1, 2 ** 31 - 1),
      startedAt: owner.text('started'),
      bootId: owner.text('boot'),
    },
  };
}

function decodeFinish(fields: Fields, state: BackupHeader['state']): Date | null {
  if (state === 'complete') return fields.instant('finished_at');
  if (!fields.isNull('finished_at')) throw fields.fail('finished_at of an unfinished backup is not null');
  return null;
}

function decodeClaims(fields: Fields): string[] {
  return fields.list('claims').map((claim) => {
    if (typeof claim === 'string' && UUID.test(claim)) return claim;
    throw fields.fail('claims is malformed');
  });
}

function encodeSource(path: Buffer): object {
  return isUtf8(path) ? { path: path.toString('utf8') } : { path_base64: path.toString('base64') };
}

function decodeSource(source: unknown, task: string): Buffer {
  const path = new Fields(source, `${task}: sources`).bytes('path');
  const fault = findPathFault(path);
  if (fault !== null) throw new DamagedError(`${task}: a source's path ${fault}`);
  return path;
}

function decodeReference(fields: Fields): ManifestReference {
  const sizeBytes = fields.integer('size', 0, Number.MAX_SAFE_INTEGER);
  const chunks = fields.base64('chunks');
  const count = chunks.length / CHUNK_ID_BYTES;
  if (!Number.isInteger(count) || count > sizeBytes || (sizeBytes > 0 && count === 0)) {
    throw fields.fail('chunks is malformed');
  }
  return { sizeBytes, chunks };
}
