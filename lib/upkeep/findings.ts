import { addAffected, addFinding } from '../journal/verify-findings.ts';
import type { FindingKind, VerifyStore } from '../journal/verify-store.ts';

/** Takes down what is found; the same found twice is one finding. */
export interface Findings {
  /** @param affected a backup whose list of files cannot be read whole for that reason */
  readonly damaged: (object: string, reason: string, affected?: string) => void;
  /** The file of this backup cannot be restored whole. */
  readonly lostFile: (object: string, reason: string, backupId: string, path: Buffer) => void;
  /** Nothing that was asked for is affected. */
  readonly note: (object: string, reason: string) => void;
}

export function createFindings(store: VerifyStore): Findings {
  const add = (kind: FindingKind, object: string, reason: string) => addFinding(store, kind, object, reason);
  return {
    damaged(object, reason, affected) {
      const finding = add('finding', object, reason);
      if (affected !== undefined) addAffected(store, finding, affected);
    },
    lostFile: (object, reason, backupId, path) =>
      addAffected(store, add('finding', object, reason), backupId, path),
    note: (object, reason) => void add('note', object, reason),
  };
}
