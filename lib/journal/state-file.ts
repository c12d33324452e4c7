import { constants } from 'node:fs';
import { copyFile, type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { formatInstant } from '../units.ts';
import type { Journal } from './database.ts';
import { uploadedPaths } from './entries.ts';
import { type Run, totalsOf } from './runs.ts';

/**
 * `resume_state/<backup_id>.json`: what the journal knows of one running backup, for people and `jq`. Nothing reads it
 * back. A save costs what became uploaded since the last one, and a copy by the kernel of what was there.
 */
export interface StateFile {
  /** These files became uploaded; the next save adds them. */
  noteUploaded(paths: readonly Buffer[]): void;
  /** Adds what was noted. */
  save(): Promise<void>;
  /** Writes anew what the journal says. */
  rewrite(): Promise<void>;
  /** The backup is complete. */
  remove(): Promise<void>;
}

/** The file as this process left it: any difference means that somebody else wrote to it. */
interface Written {
  readonly inode: bigint;
  readonly size: bigint;
  readonly ctimeNs: bigint;
  /** Where the list of uploaded files ends. */
  readonly listEnd: number;
  readonly listed: number;
}

export function openStateFile(
  journal: Journal,
  run: Run,
  { folder, sourcePaths }: { readonly folder: string; readonly sourcePaths: readonly Buffer[] },
): StateFile {
  const file = join(folder, `${run.backupId}.json`);
  const temporary = `${file}.tmp`;
  let noted: Buffer[] = [];
  let written: Written | null = null;
  /** Saves follow one another: two at once would share the temporary file. */
  let last: Promise<void> = Promise.resolve();

  const inTurn = (work: () => Promise<void>): Promise<void> => {
    last = last.then(work, work);
    return last;
  };

  async function rewrite(): Promise<void> {
    noted = [];
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const handle = await open(temporary, 'w', 0o600);
    try {
      let position = await write(handle, 0, opening(run, sourcePaths));
      let listed = 0;
      if (totalsOf(journal, run).planned) {
        for (const page of uploadedPaths(journal, run.sourceSet)) {
          position = await write(handle, position, listItems(page, listed));
          listed += page.length;
        }
      }
      written = await finish(handle, position, listed);
    } finally {
      await handle.close();
    }
  }

  async function append(): Promise<void> {
    if (noted.length === 0) return;
    if (written === null || !(await isUntouched(file, written))) return rewrite();
    const paths = noted;
    noted = [];
    const { listEnd, listed } = written;
    written = null; // until this save is through, so that one that fails is followed by a rewrite
    await copyFile(file, temporary, constants.COPYFILE_FICLONE);
    const handle = await open(temporary, 'r+');
    try {
      const position = await write(handle, listEnd, listItems(paths, listed));
      written = await finish(handle, position, listed + paths.length);
    } finally {
      await handle.close();
    }
  }

  /** Ends the file after its list, makes it durable and puts it in place. */
  async function finish(handle: FileHandle, listEnd: number, listed: number): Promise<Written> {
    const end = await write(handle, listEnd, closing(journal, run, listed));
    await handle.truncate(end);
    await handle.sync();
    await rename(temporary, file);
    await syncFolder(folder);
    const { ino, size, ctimeNs } = await handle.stat({ bigint: true });
    return { inode: ino, size, ctimeNs, listEnd, listed };
  }

  return {
    noteUploaded: (paths) => {
      for (const path of paths) noted.push(path);
    },
    save: () => inTurn(append),
    rewrite: () => inTurn(rewrite),
    remove: () =>
      inTurn(async () => {
        await rm(temporary, { force: true });
        await rm(file, { force: true });
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
function listItems(paths: readonly Buffer[], listedBefore: number): string {
  return paths
    .map((path, index) => `${listedBefore + index === 0 ? '' : ','}\n    ${JSON.stringify(path.toString())}`)
    .join('');
}

function closing(journal: Journal, run: Run, listed: number): string {
  const { totalFiles, updatedAt } = totalsOf(journal, run);
  const bracket = listed === 0 ? ']' : '\n  ]';
  return `${bracket},\n  "total_files": ${totalFiles},\n  "last_updated": ${JSON.stringify(formatInstant(updatedAt))}\n}\n`;
}

async function write(handle: FileHandle, position: number, text: string): Promise<number> {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
  return position + bytes.length;
}

async function isUntouched(file: string, written: Written): Promise<boolean> {
  const now = await stat(file, { bigint: true }).catch(() => null);
  return (
    now !== null && now.ino === written.inode && now.size === written.size && now.ctimeNs === written.ctimeNs
  );
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
