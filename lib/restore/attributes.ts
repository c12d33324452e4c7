import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  lutimesSync,
  openSync,
  utimesSync,
} from 'node:fs';
import { getSystemErrorMessage } from 'node:util';
import { CAN_HOLD, O_PATH } from './target.ts';

export interface Attributes {
  /** The permission bits, `0o7777`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Microseconds since 1970. */
  readonly mtimeUs: number;
}

/** Nobody else reads a file that is not whole. */
export const PART_MODE = 0o600;
const SET_ID_BITS = 0o6000;

/** The system calls for one kind of reference to a file. */
interface Calls<Reference> {
  readonly chown: (reference: Reference, uid: number, gid: number) => void;
  readonly chmod: (reference: Reference, mode: number) => void;
  readonly utimes: (reference: Reference, atime: string, mtime: string) => void;
}

const BY_DESCRIPTOR: Calls<number> = { chown: fchownSync, chmod: fchmodSync, utimes: futimesSync };
const BY_PATH: Calls<Buffer> = { chown: chownSync, chmod: chmodSync, utimes: utimesSync };
const OF_SYMLINK: Calls<Buffer> = { chown: lchownSync, chmod: () => {}, utimes: lutimesSync };

/** @param asRoot only root can give files away @returns why the owner could not be set, or `null` */
export function setFileAttributes(fd: number, wanted: Attributes, asRoot: boolean): string | null {
  return set(BY_DESCRIPTOR, fd, wanted, asRoot);
}

/** @param folder as `Target.folderAt` gives it: no symlink */
export function setFolderAttributes(folder: Buffer, wanted: Attributes, asRoot: boolean): string | null {
  return set(BY_PATH, folder, wanted, asRoot);
}

/** A symlink has no mode of its own. */
export function setSymlinkAttributes(path: Buffer, wanted: Attributes, asRoot: boolean): string | null {
  return set(OF_SYMLINK, path, wanted, asRoot);
}

/** Of a FIFO or a device, which is not opened. */
export function setSpecialAttributes(path: Buffer, wanted: Attributes, asRoot: boolean): string | null {
  return holding(path, (held) => set(BY_PATH, held, wanted, asRoot));
}

/** Of a file that its owner may not be allowed to open. */
export function setPartMode(path: Buffer): void {
  holding(path, (held) => chmodSync(held, PART_MODE));
}

/** @param use is given a name of what lies there, which is followed nowhere else */
function holding<T>(path: Buffer, use: (held: Buffer) => T): T {
  if (!CAN_HOLD) return use(path);
  const fd = openSync(path, O_PATH | constants.O_NOFOLLOW);
  try {
    return use(Buffer.from(`/proc/self/fd/${fd}`));
  } finally {
    closeSync(fd);
  }
}

function set<Reference>(
  calls: Calls<Reference>,
  reference: Reference,
  { mode, uid, gid, mtimeUs }: Attributes,
  asRoot: boolean,
): string | null {
  let refused: string | null = null;
  if (asRoot) {
    try {
      calls.chown(reference, uid, gid);
    } catch (error) {
      refused = `its owner could not be set: ${getSystemErrorMessage((error as { errno: number }).errno)}`;
    }
  }
  // After the owner, since chown(2) clears these bits; and not for an owner they were not meant for.
  calls.chmod(reference, refused === null ? mode : mode & ~SET_ID_BITS);
  const time = secondsOf(mtimeUs);
  calls.utimes(reference, time, time);
  return refused;
}

/**
 * Seconds whose double lies within the microsecond, and not a rounding below it. As a string: Node takes a negative
 * number for the present time.
 */
function secondsOf(us: number): string {
  return String(us % 1_000_000 === 0 ? us / 1_000_000 : (us + 0.5) / 1_000_000);
}

/** @returns whole microseconds since 1970, rounded down; what no number can hold becomes the nearest that can */
export function microseconds(ns: bigint): number {
  const us = (ns - (((ns % 1000n) + 1000n) % 1000n)) / 1000n;
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(us)));
}
