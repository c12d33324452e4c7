/**
 * What a flow tells of itself while it runs. The flows know of drawing only this port; the terminal (listr2), plain
 * lines, JSON lines, silence and specs are values of it.
 */
export type Progress = (event: ProgressEvent) => void;

/** Counts of files are of regular files; bytes are plaintext bytes of those unless a name says `sent` or `stored`. */
export type ProgressEvent =
  | {
      readonly type: 'backup_started';
      readonly backupId: string;
      readonly remote: string;
      readonly lanes: number;
      /** Compression is tried on files larger than this. */
      readonly compressOverBytes: number;
      /** Set when an interrupted run goes on. */
      readonly resumed: {
        readonly startedAt: Date;
        readonly uploadedFiles: number;
        readonly totalFiles: number;
      } | null;
    }
  | {
      /** May be told again, with what was found so far. */
      readonly type: 'source_scanning';
      readonly path: string;
      readonly files?: number;
      readonly bytes?: number;
    }
  | { readonly type: 'source_scanned'; readonly path: string; readonly files: number; readonly bytes: number }
  | {
      /** The whole of what is to do; what counts as uploaded already is in it. */
      readonly type: 'planned';
      readonly totalFiles: number;
      readonly totalBytes: number;
      readonly uploadedFiles: number;
      readonly uploadedBytes: number;
    }
  | {
      readonly type: 'uploaded';
      readonly uploadedFiles: number;
      /** What is durable, or needs no upload; also of files that are not whole yet. */
      readonly uploadedBytes: number;
      /** Bytes put on the remote by this process. */
      readonly sentBytes: number;
    }
  | {
      /** One lane's work: the pack it sends and the file that pack belongs to. `null` when the lane is idle. */
      readonly type: 'lane';
      readonly lane: number;
      readonly pack: { readonly file: string; readonly sentBytes: number; readonly sizeBytes: number } | null;
    }
  | { /** How many packs are sent at once from now on. */ readonly type: 'lanes'; readonly lanes: number }
  | { readonly type: 'publishing' }
  | {
      readonly type: 'restore_started';
      readonly backupId: string;
      readonly remote: string;
      readonly target: string;
    }
  | {
      readonly type: 'restore_planned';
      readonly totalFiles: number;
      readonly totalBytes: number;
      readonly presentFiles: number;
      readonly presentBytes: number;
    }
  | {
      readonly type: 'restored';
      readonly restoredFiles: number;
      readonly restoredBytes: number;
      readonly fetchedBytes: number;
    }
  | {
      /** What a look at the repository turns to: `indexes`, `packs`. */
      readonly type: 'checking';
      readonly what: string;
    }
  | {
      /** One after the other: the files the backups list, then the packs that are read. */
      readonly type: 'check_planned';
      readonly unit: 'file' | 'pack';
      readonly total: number;
      readonly totalBytes: number;
    }
  | { readonly type: 'checked'; readonly done: number; readonly doneBytes: number }
  | {
      /** An entry that could not be read, or restored; the flow goes on without it. */
      readonly type: 'entry_failed';
      readonly path: string;
      readonly reason: string;
    }
  | {
      /** The remote failed; tried again after `delayMs`. */
      readonly type: 'retrying';
      readonly reason: string;
      readonly delayMs: number;
    }
  | { readonly type: 'notice'; readonly text: string; readonly hints?: readonly string[] };
