import type { Progress } from '../progress.ts';

export interface RestoreSummary {
  readonly backupId: string;
  /** Where entries were restored to. */
  readonly target: string;
  /** Regular files that are in place now, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  /** Of these, the files that were right before this run. */
  readonly presentFiles: number;
  /** By this run, from the remote. */
  readonly fetchedBytes: number;
  /** Entries that could not be restored, or not with all that belongs to them; each was told as `entry_failed`. */
  readonly failures: number;
}

/** Counts what a restore does, and tells of it. */
export interface Tally {
  /** @param bytes the file's */
  present(bytes: number): void;
  /** Bytes of an unfinished file that were there already. */
  kept(bytes: number): void;
  planned(total: { readonly files: number; readonly bytes: number }): void;
  fetched(bytes: number): void;
  /** Bytes of content that got to their place in an unfinished file. */
  written(bytes: number): void;
  /** A file is in place. @param bytes the file's */
  placed(bytes: number): void;
  failed(path: string, reason: string): void;
  /** The same of a file that is not in place for that. */
  missed(path: string, reason: string): void;
  /** @throws Error, as it is a bug, when a file that was planned is neither in place nor told */
  summary(): Omit<RestoreSummary, 'backupId' | 'target'>;
}

export function createTally(progress: Progress): Tally {
  const present = { files: 0, bytes: 0 };
  const inPlace = { files: 0, bytes: 0 };
  let doneBytes = 0;
  let fetchedBytes = 0;
  let failures = 0;
  let missedFiles = 0;
  let plannedFiles = 0;
  let isPlanned = false;
  const tell = () => {
    if (!isPlanned) return; // until the whole is known there is nothing to compare with
    const { files } = inPlace;
    progress({ type: 'restored', restoredFiles: files, restoredBytes: doneBytes, fetchedBytes });
  };
  const place = (bytes: number) => {
    inPlace.files += 1;
    inPlace.bytes += bytes;
  };
  const failed = (path: string, reason: string) => {
    failures += 1;
    progress({ type: 'entry_failed', path, reason });
  };
  return {
    present(bytes) {
      present.files += 1;
      doneBytes += bytes;
      place(bytes);
    },
    kept(bytes) {
      doneBytes += bytes;
    },
    planned({ files, bytes }) {
      progress({
        type: 'restore_planned',
        totalFiles: files,
        totalBytes: bytes,
        presentFiles: present.files,
        presentBytes: doneBytes,
      });
      plannedFiles = files;
      isPlanned = true;
      tell();
    },
    fetched(bytes) {
      fetchedBytes += bytes;
      tell();
    },
    written(bytes) {
      doneBytes += bytes;
      tell();
    },
    placed(bytes) {
      place(bytes);
      tell();
    },
    failed,
    missed(path, reason) {
      missedFiles += 1;
      failed(path, reason);
    },
    summary() {
      const lost = plannedFiles - inPlace.files - missedFiles;
      if (lost > 0) throw new Error(`${lost} of ${plannedFiles} files are neither restored nor told`);
      return { ...inPlace, presentFiles: present.files, fetchedBytes, failures };
    },
  };
}
