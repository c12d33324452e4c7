import { spawnSync } from 'node:child_process';
import type { BigIntStats } from 'node:fs';
import { type RestoreEntry, setState } from '../journal/restore-plan.ts';
import { setSpecialAttributes } from './attributes.ts';
import { EntryError } from './failure.ts';
import { folderOf } from './parts.ts';
import { clearWay, lookAt, moveIntoPlace } from './place.ts';
import type { LeafDeps } from './symlink.ts';

/** Makes a FIFO, or, as root, a device. Node has no call for either, so programs do it. */
export function makeSpecial(entry: RestoreEntry, deps: LeafDeps): void {
  const { plan, target, parts, tally, userId } = deps;
  const path = entry.path.toString('latin1');
  const found = lookAt(target, path);
  if (found === null || !isSameSpecial(entry, found)) {
    if (found !== null) clearWay(path, found, false, deps);
    if (entry.type !== 'fifo' && userId !== 0) throw new EntryError('only root can make a device');
    const name = parts.nameOf(entry);
    // In the folder, under a name of ASCII: a program's arguments are text, and an entry's name need not be.
    run(programFor(entry, name), target.folderAt(folderOf(path)).toString());
    moveIntoPlace(path, name, deps);
  }
  setState(plan, entry.id, 'right');
  const refused = setSpecialAttributes(target.at(path), entry, userId === 0);
  if (refused !== null) tally.failed(target.shown(path), refused);
}

function isSameSpecial({ type, device }: RestoreEntry, found: BigIntStats): boolean {
  if (type === 'fifo') return found.isFIFO();
  const isType = type === 'block_device' ? found.isBlockDevice() : found.isCharacterDevice();
  return isType && String(found.rdev) === device;
}

function programFor({ type, device }: RestoreEntry, name: string): readonly [string, ...string[]] {
  if (type === 'fifo') return ['mkfifo', '-m', '600', '--', name];
  const { major, minor } = deviceNumbers(BigInt(device ?? '0'));
  return ['mknod', '-m', '600', '--', name, type === 'block_device' ? 'b' : 'c', major, minor];
}

/** As glibc's `gnu_dev_major` and `gnu_dev_minor` take a device's number apart. */
function deviceNumbers(device: bigint): { readonly major: string; readonly minor: string } {
  return {
    major: String(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n)),
    minor: String((device & 0xffn) | ((device >> 12n) & 0xffffff00n)),
  };
}

function run([program, ...args]: readonly [string, ...string[]], folder: string): void {
  const { status, error, stderr } = spawnSync(program, args, {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  if (error !== undefined) throw new EntryError(`${program} could not be run: ${error.message}`);
  if (status !== 0)
    throw new EntryError(stderr.trim().split('\n')[0] || `${program} ended with status ${status}`);
}
