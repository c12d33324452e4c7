import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  realpathSync,
  type Stats,
} from 'node:fs';
import { SkylockError, systemErrorCode } from '../errors.ts';
import { EntryError, reasonOf } from './failure.ts';

/**
 * The folder a restore writes into, and the only way to what lies in it. Paths are those of the entries: absolute, as
 * strings of one character a byte (latin1). No folder on the way is entered unless it is one: a symlink in its place fails
 * the entry, whoever put it there and however late. Where the system allows it (Linux, with /proc), folders are held open
 * and names looked up in them, so that nothing can be put in their place between the look and the use.
 */
export interface Target {
  /** Where the entry would be, for messages. */
  shown(path: string): string;
  /**
   * What to call the entry in the next system call; made anew for each, as the folder is held open for a while only.
   * Folders on the way are made where there are none.
   * @param name in place of the entry's own, in the same folder
   * @throws EntryError when something that is no folder is in the way
   */
  at(path: string, name?: string): Buffer;
  /** The same for a folder itself. */
  folderAt(path: string): Buffer;
  /** For {@link targetAt}. */
  readonly root: TargetRoot;
  close(): void;
}

/** A folder, and what begins the names of what lies in it. */
interface Folder {
  readonly fd: number | null;
  readonly at: string;
}

/** The target's own folder, which passes to other threads: what one holds open, all have. */
export interface TargetRoot {
  readonly folder: Folder;
  /** What comes before the entries' paths, for messages. */
  readonly base: string;
}

/** open(2): a place in the tree, which needs no permission to read; Node has no name for it. */
export const O_PATH = 0o10000000;
/** Where what is held open has a name. Not `/proc/self`, which is one symlink more to follow with every call. */
const HELD_AT: string | null = existsSync('/proc/self/fd') ? `/proc/${readlinkSync('/proc/self')}/fd` : null;
/** Can the name of a descriptor stand for what is held open? */
export const CAN_HOLD: boolean = HELD_AT !== null;

const OPEN_FOLDERS = 64;
const MODE = 0o700;

/** @param path made where there is none; may be, or lead through, a symlink: the person named it */
export function openTarget(path: string): Target {
  const real = attempt(path, () => {
    mkdirSync(path, { recursive: true, mode: MODE });
    return realpathSync.native(path, 'buffer').toString('latin1');
  });
  const folder = attempt(path, () => enter(real));
  const target = targetAt({ folder, base: real === '/' ? '' : real });
  return {
    ...target,
    close() {
      target.close();
      leave(folder);
    },
  };
}

/** @param root of a target that is open; it stays so when this one is closed */
export function targetAt(root: TargetRoot): Target {
  const { folder, base } = root;
  const folders = createFolders(folder, (inner) => base + inner);
  const at = (entry: string, name?: string) => {
    const slash = entry.lastIndexOf('/');
    return bytes(`${folders.open(entry.slice(0, slash)).at}/${name ?? entry.slice(slash + 1)}`);
  };
  return {
    at,
    folderAt: (entry) => bytes(folders.open(entry === '/' ? '' : entry).at || '/'),
    shown: (entry) => bytes(base + entry).toString(),
    root,
    close: folders.close,
  };
}

/** Paths that lead to the same few folders, most of the time. The root's is empty. */
function createFolders(root: Folder, realPath: (path: string) => string) {
  /** The one that was used last comes last. */
  const held = new Map<string, Folder>();
  let last: string | null = null;

  const remember = (path: string, folder: Folder): Folder => {
    if (path === last) return folder;
    last = path;
    held.delete(path);
    held.set(path, folder);
    if (held.size > OPEN_FOLDERS) {
      const [oldest, other] = held.entries().next().value!;
      held.delete(oldest);
      leave(other);
    }
    return folder;
  };

  return {
    /** What is returned is good until some further folders were opened. */
    open(path: string): Folder {
      if (path === '') return root;
      const known = held.get(path);
      if (known !== undefined) return remember(path, known);
      let above = path;
      while (above !== '' && !held.has(above)) above = above.slice(0, above.lastIndexOf('/'));
      const start = held.get(above) ?? root;
      let folder = start;
      try {
        for (let end = above.length; end < path.length; ) {
          const next = path.indexOf('/', end + 1);
          const stop = next === -1 ? path.length : next;
          const inner = enterOrMake(`${folder.at}${path.slice(end, stop)}`, realPath(path.slice(0, stop)));
          if (folder !== start) leave(folder);
          folder = inner;
          end = stop;
        }
      } catch (error) {
        if (folder !== start) leave(folder);
        throw error;
      }
      return remember(path, folder);
    },
    close() {
      for (const folder of held.values()) leave(folder);
      held.clear();
      last = null;
    },
  };
}

function enterOrMake(at: string, realPath: string): Folder {
  try {
    return enterUnlessInTheWay(at, realPath);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
  try {
    mkdirSync(bytes(at), MODE);
  } catch (error) {
    // Another thread was quicker, or somebody else was: what it is shows when it is entered.
    if (systemErrorCode(error) !== 'EEXIST') throw error;
  }
  return enterUnlessInTheWay(at, realPath);
}

/** @throws EntryError when it is no folder */
function enterUnlessInTheWay(at: string, realPath: string): Folder {
  try {
    return enter(at);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOTDIR' || code === 'ELOOP') throw inTheWay(at, realPath);
    throw error;
  }
}

/** @throws ENOTDIR when it is anything else, a symlink to a folder included */
function enter(at: string): Folder {
  if (CAN_HOLD) {
    const fd = openSync(bytes(at), O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    return { fd, at: `${HELD_AT}/${fd}` };
  }
  if (lstatSync(bytes(at)).isDirectory()) return { fd: null, at: at === '/' ? '' : at };
  throw Object.assign(new Error('not a folder'), { code: 'ENOTDIR' });
}

function leave({ fd }: Folder): void {
  if (fd !== null) closeSync(fd);
}

function inTheWay(at: string, realPath: string): EntryError {
  const stats = lstatSync(bytes(at), { throwIfNoEntry: false });
  return new EntryError(`${describe(stats)} is in the way at ${bytes(realPath)}`);
}

/** @returns `a symlink`, `a folder`, … */
export function describe(
  stats: Pick<Stats, 'isFile' | 'isDirectory' | 'isSymbolicLink'> | undefined,
): string {
  if (stats?.isSymbolicLink()) return 'a symlink';
  if (stats?.isDirectory()) return 'a folder';
  return stats?.isFile() ? 'another file' : 'a special file';
}

function attempt<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const code = systemErrorCode(error);
    const reason = code === 'EEXIST' || code === 'ENOTDIR' ? 'it is no folder' : reasonOf(error, path);
    throw new SkylockError(`restore into ${path}: ${reason}`, { cause: error });
  }
}

/** The mirror of `toString('latin1')`. */
export function bytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}
