import type { Generated } from 'kysely';

/** The journal's tables, as `migrations/` makes them. */
export interface Schema {
  repository: { id: Generated<number>; uuid: string; url: string };
  /** `source_paths` are joined by NUL bytes, which no path can hold. */
  source_set: {
    id: Generated<number>;
    repository: number;
    match_key: Buffer;
    source_paths: Buffer;
    /** Another number after each change of its entries that are uploaded, or of one of them. */
    changes: Generated<number>;
  };
  run: RunTable;
  /** `run` is null once it was abandoned. */
  claim: { id: Generated<number>; uuid: string; run: number | null; taken_over: 0 | 1 };
  abandoned: { backup_id: string };
  entry: EntryTable;
  /** As the entries were while `changes` was the source set's; `sha256` is of all the rest. */
  manifest: {
    source_set: number;
    changes: number;
    size: number;
    files: number;
    folders: number;
    bytes: number;
    chunks: Buffer;
    sha256: string;
  };
  entry_chunk: { entry: number; position: number; chunk: Buffer };
  /** `directory` is kept until an index on the remote holds it. */
  pack: { id: Generated<number>; repository: number; name: Buffer; size: number; directory: Buffer | null };
  chunk: ChunkTable;
  index_seen: { repository: number; name: string };
  temporary_token: {
    token: string;
    repository: number;
    owner_pid: number;
    owner_started: string;
    owner_boot: string;
  };
  strange_temporary: { repository: number; name: string; size: number; since: number };
}

interface RunTable {
  id: Generated<number>;
  source_set: number;
  backup_id: string;
  state: 'running' | 'interrupted' | 'complete';
  host: string;
  started_at: number;
  updated_at: number;
  /** `null` until the first scan is through. */
  total_files: number | null;
  total_bytes: number | null;
  uploaded_files: Generated<number>;
  uploaded_bytes: Generated<number>;
  owner_pid: number | null;
  owner_started: string | null;
  owner_boot: string | null;
  /** How many packs were sent at once at last. */
  lanes: Generated<number | null>;
}

/** Integers are read as bigint: a time in nanoseconds does not fit a number. */
interface EntryTable {
  id: Generated<bigint>;
  source_set: number | bigint;
  path: Buffer;
  type: string;
  size: bigint;
  mtime_ns: bigint;
  ctime_ns: bigint;
  inode: bigint;
  device: bigint;
  links: bigint;
  mode: bigint;
  uid: bigint;
  gid: bigint;
  special_device: bigint;
  target: Buffer | null;
  state: 'pending' | 'uploaded' | 'unreadable';
}

interface ChunkTable {
  repository: number;
  id: Buffer;
  pack: number;
  /** The frame's number in the pack: its nonce. */
  position: number;
  offset: number;
  stored_size: number;
  size: number;
  compression: number;
}
