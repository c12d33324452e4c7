import { constants } from 'node:fs';
import { copyFile, type FileHandle, link, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { formatInstant } from '../units.ts';
import type { Journal } from './database.ts';
import { diskError } from './disk-error.ts';
import type { Run } from './runs.ts';
import { totalsOf } from './totals.ts';
import { uploadedPaths } from './uploaded-entries.ts';

/**
 * `resume_state/<backup_id>.json`: what the journal knows of one running backup, for people and `jq`. Nothing reads it
 * back. Every error is a SkylockError, leaves what was there, and is mended by the next save that succeeds.
 */
export interface StateFile {
  /** These files became uploaded, in the journal first; the next save adds them. */
  noteUploaded(paths: readonly Buffer[]): void;
  /** Brings the file up to date, at the cost of what changed since the last save; writes it anew where somebody else touched it. */
  save(): Promise<void>;
  /** The plan says how many files are uploaded: the next save writes their list anew, unless there are none and none is listed. */
  notePlanned(uploadedFiles: number): void;
  /** Writes anew what the journal says. */
  rewrite(): Promise<void>;
  /** The backup is complete: the file goes, and no later save brings it back. */
  remove(): Promise<void>;
}

/** A version of the file as this process left it: any difference means that somebody else wrote to it. */
interface Version {
  readonly inode: bigint;
  readonly size: bigint;
  readonly ctimeNs: bigint;
  /** Where the list of uploaded files ends. */
  readonly listEnd: number;
  readonly listed: number;
  /** What follows the list. */
  readonly closing: string;
  /** The end of the list that the version before did not have. */
  readonly added: Buffer;
}

/** What may lie in the folder for a backup: the file, the next version being written, the one before. */
const SUFFIXES = { current: '.json', next: '.json.tmp', former: '.json.old' } as const;

/** @returns the id of the backup that a file of this name belongs to, or `null` for any other file */
export function backupIdOfStateFile(name: string): string | null {
  return /^(\d{8}_\d{6})\.json(?:\.tmp|\.old)?$/.exec(name)?.[1] ?? null;
}

export function openStateFile(
  journal: Journal,
  run: Run,
  { folder, sourcePaths }: { readonly folder: string; readonly sourcePaths: readonly Buffer[] },
): StateFile {
  const file = join(folder, run.backupId + SUFFIXES.current);
  const next = join(folder, run.backupId + SUFFIXES.next);
  const former = join(folder, run.backupId + SUFFIXES.former);
  /** Paths the file does not list yet. */
  let noted: Buffer[] = [];
  /** How far, in byte order, the list has come that is being written anew; `null` when none is. */
  let rewrittenTo: Buffer | null = null;
  /** What lies at `file` and at `former`; `null` until it was written, and while it is being written. */
  let current: Version | null = null;
  let spare: Version | null = null;
  let removed = false;
  /** Saves follow one another: two at once would share the temporary file. */
  let last: Promise<void> = Promise.resolve();

  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const turn = async () => {
      try {
        if (!removed) await work();
      } catch (error) {
        await rm(next, { force: true }).catch(() => {}); // the first error is the one to tell
        throw diskError(`write state file ${file}`, error);
      }
    };
    last = last.then(turn, turn);
    return last;
  };

  async function rewrite(): Promise<void> {
    current = spare = null;
    noted = [];
    rewrittenTo = Buffer.alloc(0);
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await rm(next, { force: true });
      await rm(former, { force: true });
      await using handle = await open(next, 'wx', 0o600);
      let listEnd = await write(handle, 0, opening(run, sourcePaths));
      let listed = 0;
      if (totalsOf(journal, run).planned) {
        for (const page of uploadedPaths(journal, run.sourceSet)) {
          rewrittenTo = page.at(-1)!;
          listEnd = await write(handle, listEnd, listItems(page, listed));
          listed += page.length;
        }
      }
      rewrittenTo = null;
      await publish(handle, { listEnd, listed, added: Buffer.alloc(0) });
    } finally {
      rewrittenTo = null;
    }
  }

  async function save(): Promise<void> {
    const before = current;
    if (before === null || !(await isUntouched(file, before))) return rewrite();
    if (noted.length === 0 && closing(journal, run, before.listed) === before.closing) return;
    const paths = noted;
    noted = [];
    current = null; // a save that fails is followed by a rewrite
    await using handle = await beginNext(before);
    const added = listItems(paths, before.listed);
    const listEnd = await write(handle, before.listEnd, added);
    // Without hard links there is no spare, and the next save copies.
    const isKept = await link(file, former).then(
      () => true,
      () => false,
    );
    await publish(handle, { listEnd, listed: before.listed + paths.length, added });
    const kept = isKept ? await identify(former) : null;
    if (kept?.inode === before.inode && kept.size === before.size) spare = { ...before, ...kept };
  }

  /**
   * Opens the next version, which has the list of the present one already. The version before the present one only lacks
   * what was added last: taking turns, two files are appended to, where copying would cost the square of their length.
   */
  async function beginNext(present: Version): Promise<FileHandle> {
    const base = spare;
    spare = null;
    if (base === null || !(await isUntouched(former, base))) {
      await rm(former, { force: true });
      await copyFile(file, next, constants.COPYFILE_FICLONE);
      return open(next, 'r+');
    }
    await rename(former, next);
    const handle = await open(next, 'r+');
    await write(handle, base.listEnd, present.added);
    return handle;
  }

  /** Ends the next version after its list, makes it durable and puts it in place. */
  async function publish(
    handle: FileHandle,
    list: { readonly listEnd: number; readonly listed: number; readonly added: Buffer },
  ): Promise<void> {
    const end = closing(journal, run, list.listed);
    await handle.truncate(await write(handle, list.listEnd, end));
    await handle.sync();
    const written = await handle.stat({ bigint: true });
    await rename(next, file);
    await syncFolder(folder);
    const { ino, size, mtimeNs, ctimeNs } = await handle.stat({ bigint: true }); // renaming sets the ctime
    // Who touched it before this look would never be noticed again: the next save writes it anew.
    const isOurs = size === written.size && mtimeNs === written.mtimeNs;
    current = isOurs ? { ...list, closing: end, inode: ino, size, ctimeNs } : null;
  }

  return {
    noteUploaded(paths) {
      for (const path of paths) {
        // What lies ahead of a list that is being written anew will be in it.
        if (rewrittenTo === null || path.compare(rewrittenTo) <= 0) noted.push(path);
      }
    },
    notePlanned(uploadedFiles) {
      // In turn: what is just being saved is from before the plan.
      void inTurn(async () => {
        if (uploadedFiles > 0 || current?.listed !== 0) current = null;
      });
    },
    save: () => inTurn(save),
    rewrite: () => inTurn(rewrite),
    remove: () =>
      inTurn(async () => {
        for (const path of [next, former, file]) await rm(path, { force: true });
        removed = true;
      }),
  };
}

function opening(run: Run, sourcePaths: readonly Buffer[]): string {
  const fields = [
    `"backup_id": ${JSON.stringify(run.backupId)}`,
    `"started_at": ${JSON.stringify(formatInstant(run.startedAt))}`,
    `"source_paths": ${JSON.stringify(sourcePaths.map(String))}`,
  ];
  return `{\n  ${fields.join(',\n  ')},\n  "uploaded_files": [`;
}

/** A name that is not UTF-8 is shown with U+FFFD in it: the file is for people, the count is right all the same. */
function listItems(paths: readonly Buffer[], listedBefore: number): Buffer {
  const items = paths.map((path) => JSON.stringify(path.toString()));
  if (items.length === 0) return Buffer.alloc(0);
  return Buffer.from(`${listedBefore === 0 ? '' : ','}\n    ${items.join(',\n    ')}`);
}

function closing(journal: Journal, run: Run, listed: number): string {
  const { totalFiles, updatedAt } = totalsOf(journal, run);
  const bracket = listed === 0 ? ']' : '\n  ]';
  return `${bracket},\n  "total_files": ${totalFiles},\n  "last_updated": ${JSON.stringify(formatInstant(updatedAt))}\n}\n`;
}

async function write(handle: FileHandle, position: number, text: string | Buffer): Promise<number> {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
  return position + bytes.length;
}

async function identify(file: string): Promise<Pick<Version, 'inode' | 'size' | 'ctimeNs'>> {
  const { ino, size, ctimeNs } = await stat(file, { bigint: true });
  return { inode: ino, size, ctimeNs };
}

async function isUntouched(file: string, version: Version): Promise<boolean> {
  const now = await identify(file).catch(() => null);
  return (
    now !== null &&
    now.inode === version.inode &&
    now.size === version.size &&
    now.ctimeNs === version.ctimeNs
  );
}

async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}
