import type { ProgressEvent } from '../progress.ts';
import { formatBytes, formatCount, formatInstantForPeople, formatTenthsOfPercent } from '../units.ts';

/**
 * The lines an event leaves behind for good, in a window as in a log; most leave none. An empty one sets paragraphs apart.
 * @param resumed did the flow find that an earlier run had begun the work?
 */
export function announce(event: ProgressEvent, resumed: boolean): string[] {
  switch (event.type) {
    case 'backup_started':
      return [...announceBackup(event), ...announceHow(event)];
    case 'source_scanned':
      return [`   Found ${formatCount(event.files, 'file')} (${formatBytes(event.bytes)})`];
    case 'planned':
      return ['', ...announcePlan(event, resumed)];
    case 'restore_started':
      return [
        `📥 Restoring backup: ${event.backupId}`,
        `   📍 From: ${event.remote}`,
        `   📂 Into: ${event.target}`,
      ];
    case 'restore_planned':
      return [
        '',
        `📊 Total: ${formatCount(event.totalFiles, 'file')}, ${formatBytes(event.totalBytes)}`,
        ...(event.presentFiles > 0
          ? [`   ✅ Already restored: ${shareOfFiles(event.presentFiles, event.totalFiles)}`]
          : []),
      ];
    case 'checking':
      return [`🔎 Checking ${event.what}`];
    case 'check_planned':
      return [
        '',
        `📊 Total: ${formatCount(event.total, event.unit)} to check, ${formatBytes(event.totalBytes)}`,
      ];
    default:
      return [];
  }
}

/** The line above what is found in a source. */
export function announceSource(path: string): string {
  return `📂 Scanning: ${path}`;
}

type Event<Type extends ProgressEvent['type']> = Extract<ProgressEvent, { type: Type }>;

function announceBackup({ backupId, resumed }: Event<'backup_started'>): string[] {
  if (resumed === null) return [`🚀 Starting direct upload backup: ${backupId}`];
  return [
    `🔄 Resuming interrupted backup: ${backupId}`,
    `   ⏱️  Started: ${formatInstantForPeople(resumed.startedAt)}`,
    `   ✅ Already uploaded: ${shareOfFiles(resumed.uploadedFiles, resumed.totalFiles)}`,
    '',
  ];
}

function announceHow({ remote, lanes, compressOverBytes }: Event<'backup_started'>): string[] {
  const limit = formatBytes(compressOverBytes)
    .replace(/(\.\d*?)0+(?= )/, '$1')
    .replace(/\.? /, '');
  return [
    `   📍 Remote: ${remote}`,
    `   📁 Using ${lanes}-thread ${lanes > 1 ? 'parallel ' : ''}uploads`,
    '   🔐 AES-256-GCM encryption enabled',
    `   🗜️  Smart compression (${compressOverBytes > 0 ? `files >${limit}` : 'all files'})`,
  ];
}

function announcePlan(event: Event<'planned'>, resumed: boolean): string[] {
  if (resumed) {
    const left = formatCount(event.totalFiles - event.uploadedFiles, 'file');
    return [`   📊 ${left} remaining to upload (${formatBytes(event.totalBytes - event.uploadedBytes)})`];
  }
  return [
    `📊 Total: ${formatCount(event.totalFiles, 'file')}, ${formatBytes(event.totalBytes)}`,
    ...(event.uploadedFiles > 0
      ? [`   ✅ Already uploaded: ${shareOfFiles(event.uploadedFiles, event.totalFiles)}`]
      : []),
  ];
}

/** A run that was killed while it scanned does not know its total. */
function shareOfFiles(files: number, totalFiles: number): string {
  if (totalFiles === 0) return formatCount(files, 'file');
  return `${files}/${totalFiles} files (${formatTenthsOfPercent(files, totalFiles)})`;
}
