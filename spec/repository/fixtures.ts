import type { BackupHeader } from '../../lib/format/backup-header.ts';
import { createPackBuilder, type SealedPack } from '../../lib/format/pack.ts';
import { RAW } from '../../lib/format/pack-directory.ts';
import type { Journal } from '../../lib/journal/database.ts';
import { insertDurablePack } from '../../lib/journal/packs.ts';
import { type MemoryRemote, memoryRemote } from '../../lib/remote/memory.ts';
import type { Repository } from '../../lib/repository/repository.ts';
import { chunkBytes, idOf, KEYS } from '../backup/fixtures.ts';

/** A repository without a password, over what is in memory. */
export function repositoryOver(
  remote: MemoryRemote = memoryRemote(),
): Repository & { readonly remote: MemoryRemote } {
  const sizes = { min: 1024, avg: 2048, max: 8192 };
  const config = {
    repositoryId: '00000000-1111-4222-8333-444444444444',
    chunker: sizes,
    manifestChunker: sizes,
  };
  return { remote, config, keys: KEYS };
}

/** A pack that holds a chunk of 1,000 bytes for each of the names. */
export function sealPack(...names: string[]): SealedPack {
  const builder = createPackBuilder(KEYS, Buffer.allocUnsafeSlow(2000 * names.length + 1000));
  for (const name of names) builder.add(idOf(name), RAW, chunkBytes(name));
  return builder.seal();
}

export function nameOf({ name }: SealedPack): string {
  return `packs/${name.slice(0, 2)}/${name}`;
}

/** Records a pack as durable, without an index. */
export function recordPack(journal: Journal, repository: number, pack: SealedPack): void {
  const { name, bytes, entries, directory } = pack;
  journal.transaction(() =>
    insertDurablePack(journal, repository, {
      name: Buffer.from(name, 'hex'),
      size: bytes.length,
      chunks: entries,
      directory,
    }),
  );
}

export function headerOf(backupId: string, fields: Partial<BackupHeader> = {}): BackupHeader {
  return {
    backupId,
    state: 'complete',
    startedAt: new Date('2025-11-07T14:20:30Z'),
    finishedAt: new Date('2025-11-07T14:21:30Z'),
    host: 'here',
    sourcePaths: [Buffer.from('/home/docs')],
    matchKey: 'a'.repeat(64),
    files: 3,
    folders: 1,
    bytes: 3000,
    unreadable: 0,
    program: 'skylock 0.0.0',
    manifest: { sizeBytes: 0, chunks: Buffer.alloc(0) },
    claims: [],
    progress: null,
    ...fields,
  };
}
