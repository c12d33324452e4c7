/** What a figure ought to be, and whether it is. */
import { formatBytes } from '../../lib/units.ts';
import { formatFactor, formatMs } from './format.ts';
import type { Results, Sample } from './results.ts';
import type { ToolName } from './tools/tool.ts';

export interface Goal {
  readonly title: string;
  /** As a person reads it: `≤ 0.70 × the fastest encrypted peer`. */
  readonly goal: string;
  /** `null` when something that is needed for it was not measured. */
  judge(results: Results): Verdict | null;
}

export interface Verdict {
  readonly measured: string;
  readonly met: boolean;
}

interface Ratio {
  readonly title: string;
  readonly goal: string;
  /** The case, and those of it that are compared with. */
  readonly of: string;
  readonly to: readonly ToolName[];
  readonly atMost: number;
  readonly field?: 'wallMs' | 'bytesStored';
}

/** Ours by the best of the others. */
export function ratioGoal({ title, goal, of, to, atMost, field = 'wallMs' }: Ratio): Goal {
  return {
    title,
    goal,
    judge(results) {
      const compared = bestOf(results, { of, to, field });
      if (compared === null) return null;
      const { ours, theirs, who } = compared;
      const format = field === 'wallMs' ? formatMs : formatBytes;
      const measured = `${formatFactor(ours / theirs)} ${who} (${format(ours)} to ${format(theirs)})`;
      return { measured, met: ours <= atMost * theirs };
    },
  };
}

/** So many times the throughput of the best of the others. */
export function throughputGoal({
  title,
  goal,
  of,
  to,
  atLeast,
}: Omit<Ratio, 'atMost'> & { readonly atLeast: number }): Goal {
  return {
    title,
    goal,
    judge(results) {
      const compared = bestOf(results, { of, to, field: 'wallMs' });
      if (compared === null) return null;
      const { ours, theirs, who } = compared;
      const measured = `${formatFactor(theirs / ours)} ${who} (${formatMs(ours)} to ${formatMs(theirs)})`;
      return { measured, met: theirs >= atLeast * ours };
    },
  };
}

/** A figure of ours by itself. @param read `null` when it was not measured, or its limit was not */
export function limitGoal(
  title: string,
  goal: string,
  format: (value: number) => string,
  read: (results: Results) => { readonly value: number; readonly limit: number } | null,
): Goal {
  return {
    title,
    goal,
    judge(results) {
      const found = read(results);
      return found && { measured: format(found.value), met: found.value <= found.limit };
    },
  };
}

/** A figure of a run of ours. */
export function ours(results: Results, caseId: string, field: keyof Sample): number | null {
  return results.summary(caseId, 'skylock')?.[field] ?? null;
}

function bestOf(
  results: Results,
  { of, to, field }: { of: string; to: readonly ToolName[]; field: keyof Sample },
): { ours: number; theirs: number; who: ToolName } | null {
  const mine = ours(results, of, field);
  if (mine === null) return null;
  const others = to
    .map((who) => ({ ours: mine, theirs: results.summary(of, who)?.[field] ?? null, who }))
    .filter((one): one is { ours: number; theirs: number; who: ToolName } => one.theirs !== null);
  return others.toSorted((a, b) => a.theirs - b.theirs)[0] ?? null;
}
