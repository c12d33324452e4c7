import type { ProgressEvent } from '../progress.ts';
import { createRate, type Rate } from './rate.ts';

export interface LanePack {
  readonly file: string;
  readonly sentBytes: number;
  readonly sizeBytes: number;
}

export interface Lane {
  pack: LanePack | null;
  /** What it carried last, while it carries nothing, and since when. */
  last: { readonly pack: LanePack; readonly untilMs: number } | null;
  /** Of the packs before this one. */
  movedBytes: number;
  readonly rate: Rate;
}

/** Where a flow stands: what its events add up to. */
export interface Tally {
  stage: 'starting' | 'scanning' | 'planning' | 'moving' | 'publishing';
  stageSinceMs: number;
  readonly startedMs: number;
  restoring: boolean;
  /** What an earlier run left is counted as done. */
  resumed: boolean;
  /** What `totalFiles` counts. */
  unit: 'file' | 'pack';
  /** `null` until the flow knows how much there is to do. */
  totalFiles: number | null;
  totalBytes: number;
  doneFiles: number;
  doneBytes: number;
  /** Of the sources that are being looked at; none known when it is `null`. */
  found: { readonly files: number; readonly bytes: number } | null;
  readonly scanning: Set<string>;
  /** By number. */
  readonly lanes: Map<number, Lane>;
  /** Those from this number on have gone out of use. */
  laneCount: number;
  rate: Rate;
  retry: { readonly reason: string; readonly atMs: number; readonly untilMs: number } | null;
}

export function createTally(nowMs: number): Tally {
  return {
    stage: 'starting',
    stageSinceMs: nowMs,
    startedMs: nowMs,
    restoring: false,
    resumed: false,
    unit: 'file',
    totalFiles: null,
    totalBytes: 0,
    doneFiles: 0,
    doneBytes: 0,
    found: null,
    scanning: new Set(),
    lanes: new Map(),
    laneCount: Number.POSITIVE_INFINITY,
    rate: createRate(),
    retry: null,
  };
}

/** Adds one event. Flows tell of each pack's every write: this is all that happens at most of them. */
export function addToTally(tally: Tally, event: ProgressEvent, nowMs: number): void {
  switch (event.type) {
    case 'lane':
      addLane(tally, event.lane, event.pack, nowMs);
      break;
    case 'uploaded':
      addDone(tally, event.uploadedFiles, event.uploadedBytes);
      break;
    case 'restored':
      addDone(tally, event.restoredFiles, event.restoredBytes);
      break;
    case 'backup_started':
      tally.resumed = event.resumed !== null;
      break;
    case 'source_scanning':
      tally.scanning.add(event.path);
      tally.found = event.files === undefined ? null : { files: event.files, bytes: event.bytes ?? 0 };
      enter(tally, 'scanning', nowMs);
      break;
    case 'source_scanned':
      tally.scanning.delete(event.path);
      enter(tally, tally.scanning.size > 0 ? 'scanning' : 'planning', nowMs);
      break;
    case 'planned':
      // What was compared before, on this machine, has no part in the speed of sending.
      tally.unit = 'file';
      tally.rate = createRate();
      addPlan(tally, event, { files: event.uploadedFiles, bytes: event.uploadedBytes }, nowMs);
      break;
    case 'restore_started':
      tally.restoring = true;
      break;
    case 'restore_planned':
      tally.resumed = event.presentFiles > 0;
      addPlan(tally, event, { files: event.presentFiles, bytes: event.presentBytes }, nowMs);
      break;
    case 'check_planned':
      // A second plan begins anew at nothing: what was counted before has no part in its rate.
      tally.unit = event.unit;
      tally.rate = createRate();
      addPlan(
        tally,
        { totalFiles: event.total, totalBytes: event.totalBytes },
        { files: 0, bytes: 0 },
        nowMs,
      );
      break;
    case 'checked':
      addDone(tally, event.done, event.doneBytes);
      break;
    case 'lanes':
      tally.laneCount = event.lanes;
      break;
    case 'publishing':
      enter(tally, 'publishing', nowMs);
      break;
    case 'retrying':
      tally.retry = { reason: event.reason, atMs: nowMs, untilMs: nowMs + event.delayMs };
      break;
  }
}

/** Rates are averages over time, so they are told the time, now and then, and not at each event. */
export function sampleRates(tally: Tally, nowMs: number): void {
  let inFlightBytes = 0;
  for (const lane of tally.lanes.values()) {
    const sentBytes = lane.pack?.sentBytes ?? 0;
    inFlightBytes += sentBytes;
    lane.rate.sample(nowMs, lane.movedBytes + sentBytes);
  }
  // What is in flight makes the rate smooth; what is done grows a pack at a time. What was there when the flow planned
  // took no time and must not look like speed: the first sample is of then.
  if (tally.totalFiles !== null) tally.rate.sample(nowMs, tally.doneBytes + inFlightBytes);
}

function enter(tally: Tally, stage: Tally['stage'], nowMs: number): void {
  if (tally.stage !== stage) tally.stageSinceMs = nowMs;
  tally.stage = stage;
}

function addPlan(
  tally: Tally,
  total: { readonly totalFiles: number; readonly totalBytes: number },
  done: { readonly files: number; readonly bytes: number },
  nowMs: number,
): void {
  tally.totalFiles = total.totalFiles;
  tally.totalBytes = total.totalBytes;
  addDone(tally, done.files, done.bytes);
  enter(tally, 'moving', nowMs);
}

function addDone(tally: Tally, files: number, bytes: number): void {
  tally.doneFiles = files;
  tally.doneBytes = bytes;
}

function addLane(tally: Tally, number: number, pack: LanePack | null, nowMs: number): void {
  let lane = tally.lanes.get(number);
  if (lane === undefined) {
    lane = { pack: null, last: null, movedBytes: 0, rate: createRate() };
    tally.lanes.set(number, lane);
  }
  const before = lane.pack;
  // Another pack, or the same one from its beginning: what went over the line stays counted.
  if (before !== null && (pack === null || pack.sentBytes < before.sentBytes)) {
    lane.movedBytes += before.sentBytes;
  }
  if (before !== null && pack === null) lane.last = { pack: before, untilMs: nowMs };
  lane.pack = pack;
}
