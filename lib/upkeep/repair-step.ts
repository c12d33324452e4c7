import type { Journal } from '../journal/database.ts';
import type { VerifyStore } from '../journal/verify-store.ts';
import type { Progress } from '../progress.ts';
import type { Repository } from '../repository/repository.ts';
import { setAside } from './set-aside.ts';

export interface RepairRequest {
  /** Only tell what would be done. */
  readonly dryRun: boolean;
  /** Fetch every pack: without that, damage inside packs that indexes name is not seen. */
  readonly readData: boolean;
}

export interface RepairDeps {
  readonly journal: Journal;
  /** The repository's number in the journal. */
  readonly journalRepository: number;
  readonly repository: Repository;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Told of each step when it is done, or would be. */
  readonly onAction: (action: Action) => Promise<void>;
}

export interface Action {
  /** `kept`: it is damaged and cannot be mended. */
  readonly action: 'put' | 'removed' | 'set_aside' | 'dropped' | 'kept';
  readonly object: string;
  readonly reason: string;
}

/** What each step has at hand. */
export type StepDeps = RepairDeps & RepairRequest & { readonly store: VerifyStore };

export interface DamagedObject {
  readonly name: string;
  readonly damage: string;
}

/** Does `work`, which changes the remote, unless it is only to be told what would be done. @throws the signal's reason */
export async function change(
  { dryRun, signal }: Pick<StepDeps, 'dryRun' | 'signal'>,
  work: () => Promise<void>,
): Promise<void> {
  if (dryRun) return;
  signal.throwIfAborted();
  await work();
}

/** Moves what is damaged to where nothing looks for it. */
export async function moveAside(name: string, reason: string, deps: StepDeps): Promise<void> {
  await change(deps, () => setAside(deps.repository, name));
  await deps.onAction({ action: 'set_aside', object: name, reason });
}
