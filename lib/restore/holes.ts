import { readSync, write, writeSync } from 'node:fs';
import { promisify } from 'node:util';

/** A run of zeros is left out of the file from this length on; shorter holes would cost more than they save. */
export const HOLE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(HOLE_BYTES);
/** On small pieces the thread pool costs more than the write. */
const SYNCHRONOUS_BYTES = 128 * 1024;

const writeInPool = promisify(write);

/** @param blank what is in the file there reads as zeros already, so that zeros need not be written */
export async function writeChunk(fd: number, chunk: Buffer, offset: number, blank: boolean): Promise<void> {
  if (chunk.length <= SYNCHRONOUS_BYTES) return writeChunkSync(fd, chunk, offset, blank);
  for (const [start, end] of runsToWrite(chunk, offset, blank)) {
    for (let at = start; at < end; ) {
      at += (await writeInPool(fd, chunk, at, end - at, offset + at)).bytesWritten;
    }
  }
}

/** The same for a thread in which nobody waits. */
export function writeChunkSync(fd: number, chunk: Buffer, offset: number, blank: boolean): void {
  for (const [start, end] of runsToWrite(chunk, offset, blank)) {
    for (let at = start; at < end; ) at += writeSync(fd, chunk, at, end - at, offset + at);
  }
}

type Run = readonly [start: number, end: number];

function runsToWrite(chunk: Buffer, offset: number, blank: boolean): Iterable<Run> {
  return blank && chunk.length >= HOLE_BYTES ? runsOfData(chunk, offset) : [[0, chunk.length]];
}

/** What lies between long runs of zeros, measured in blocks of the file. */
function* runsOfData(chunk: Buffer, offset: number): Generator<Run> {
  let from = 0;
  for (let at = 0; at < chunk.length; ) {
    const end = Math.min(chunk.length, at + HOLE_BYTES - ((offset + at) % HOLE_BYTES));
    if (end - at === HOLE_BYTES && isZero(chunk.subarray(at, end))) {
      if (at > from) yield [from, at];
      from = end;
    }
    at = end;
  }
  if (from < chunk.length) yield [from, chunk.length];
}

export function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += HOLE_BYTES) {
    const end = Math.min(bytes.length, at + HOLE_BYTES);
    if (bytes.compare(ZEROS, 0, end - at, at, end) !== 0) return false;
  }
  return true;
}

/** @returns the file's bytes at `offset`, as a view into `buffer`; fewer than `length` where the file ends before */
export function readInto(buffer: Buffer, fd: number, offset: number, length: number): Buffer {
  let done = 0;
  for (let count = -1; count !== 0 && done < length; done += count) {
    count = readSync(fd, buffer, done, length - done, offset + done);
  }
  return buffer.subarray(0, done);
}
