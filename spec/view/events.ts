import type { ProgressEvent } from '../../lib/progress.ts';

/** The backup of the seed document, to the point where it is interrupted. */
export const FIRST_RUN: readonly ProgressEvent[] = [
  {
    type: 'backup_started',
    backupId: '20251107_142030',
    remote: 'sftp://user@host/backup',
    lanes: 4,
    compressOverBytes: 10_000_000,
    resumed: null,
  },
  { type: 'source_scanning', path: '/home/user/Documents' },
  { type: 'source_scanned', path: '/home/user/Documents', files: 150, bytes: 2_340_000_000 },
  { type: 'planned', totalFiles: 150, totalBytes: 2_340_000_000, uploadedFiles: 0, uploadedBytes: 0 },
  { type: 'uploaded', uploadedFiles: 25, uploadedBytes: 380_000_000, sentBytes: 300_000_000 },
];

/** The same command again. */
export const RESUMED_RUN: readonly ProgressEvent[] = [
  {
    type: 'backup_started',
    backupId: '20251107_142030',
    remote: 'sftp://user@host/backup',
    lanes: 4,
    compressOverBytes: 10_000_000,
    resumed: { startedAt: new Date('2025-11-07T14:20:30Z'), uploadedFiles: 25, totalFiles: 150 },
  },
  { type: 'source_scanning', path: '/home/user/Documents' },
  { type: 'source_scanned', path: '/home/user/Documents', files: 150, bytes: 2_340_000_000 },
  {
    type: 'planned',
    totalFiles: 150,
    totalBytes: 2_340_000_000,
    uploadedFiles: 25,
    uploadedBytes: 380_000_000,
  },
];

export const RESTORE: readonly ProgressEvent[] = [
  {
    type: 'restore_started',
    backupId: '20251107_142030',
    remote: 'sftp://user@host/backup',
    target: '/tmp/restored',
  },
  {
    type: 'restore_planned',
    totalFiles: 150,
    totalBytes: 2_340_000_000,
    presentFiles: 25,
    presentBytes: 380_000_000,
  },
  { type: 'restored', restoredFiles: 50, restoredBytes: 760_000_000, fetchedBytes: 300_000_000 },
];
