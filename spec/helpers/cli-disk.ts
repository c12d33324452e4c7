import { spawnSync } from 'node:child_process';
import { skipTest } from './skip.ts';

/** A small file system over a folder. */
export interface SmallDisk {
  grow(megabytes: number): void;
  setReadOnly(readOnly: boolean): void;
}

/** Mounts a disk of so many megabytes over `folder`, open to everybody; where that is not allowed the test counts as skipped. */
export async function withSmallDisk(
  folder: string,
  megabytes: number,
  use: (disk: SmallDisk) => Promise<void>,
): Promise<void> {
  if (!mount(folder, `size=${megabytes}m,mode=777`)) {
    return skipTest('a full disk', 'a tmpfs cannot be mounted');
  }
  try {
    await use({
      grow: (size) => void mount(folder, `remount,size=${size}m`),
      setReadOnly: (readOnly) => void mount(folder, `remount,${readOnly ? 'ro' : 'rw'}`),
    });
  } finally {
    spawnSync('umount', ['--lazy', folder]);
  }
}

function mount(folder: string, options: string): boolean {
  return spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder]).status === 0;
}
