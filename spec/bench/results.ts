/** What was measured, and what of it is told: medians over the rounds. */
import type { Usage } from './measure.ts';

export interface Sample extends Usage {
  /** Of the files that were backed up or restored; `null` where that means nothing. */
  readonly bytesIn: number | null;
  readonly bytesSent: number | null;
  /** That lie on the server afterwards. */
  readonly bytesStored: number | null;
}

export interface Summary extends Sample {
  readonly rounds: number;
}

export interface Results {
  add(caseId: string, who: string, sample: Sample): void;
  /** It could not be measured. Of several reasons the first one is kept. */
  fail(caseId: string, who: string, reason: string): void;
  /** A figure that is no run of a program, in whatever unit its name says. */
  note(name: string, value: number): void;
  /** The median of each, but for the memory: of that the most. `null` when it was never measured. */
  summary(caseId: string, who: string): Summary | null;
  failure(caseId: string, who: string): string | null;
  /** In the order in which they were first measured, or failed. */
  whoTook(caseId: string): readonly string[];
  /** The median. `null` when it was never noted. */
  value(name: string): number | null;
  /** Everything, for whoever wants to look at single rounds. */
  raw(): object;
}

export function createResults(): Results {
  const samples = new Map<string, Map<string, Sample[]>>();
  const failures = new Map<string, Map<string, string>>();
  const notes = new Map<string, number[]>();
  const took = new Map<string, Set<string>>();
  const of = <T>(map: Map<string, Map<string, T>>, caseId: string): Map<string, T> => {
    const found = map.get(caseId) ?? new Map<string, T>();
    map.set(caseId, found);
    return found;
  };
  const noteWho = (caseId: string, who: string) => {
    took.set(caseId, (took.get(caseId) ?? new Set()).add(who));
  };
  return {
    add(caseId, who, sample) {
      noteWho(caseId, who);
      const one = of(samples, caseId);
      one.set(who, [...(one.get(who) ?? []), sample]);
    },
    fail(caseId, who, reason) {
      noteWho(caseId, who);
      const one = of(failures, caseId);
      if (!one.has(who)) one.set(who, reason);
    },
    note(name, value) {
      notes.set(name, [...(notes.get(name) ?? []), value]);
    },
    summary(caseId, who) {
      const taken = samples.get(caseId)?.get(who) ?? [];
      if (taken.length === 0) return null;
      const middle = (field: keyof Sample) => medianOf(taken.map((sample) => sample[field]));
      return {
        rounds: taken.length,
        wallMs: middle('wallMs')!,
        cpuMs: middle('cpuMs'),
        peakBytes: mostOf(taken.map(({ peakBytes }) => peakBytes)),
        bytesIn: middle('bytesIn'),
        bytesSent: middle('bytesSent'),
        bytesStored: middle('bytesStored'),
      };
    },
    failure: (caseId, who) => failures.get(caseId)?.get(who) ?? null,
    whoTook: (caseId) => [...(took.get(caseId) ?? [])],
    value: (name) => medianOf(notes.get(name) ?? []),
    raw: () => ({ samples: plain(samples), failures: plain(failures), notes: Object.fromEntries(notes) }),
  };
}

function medianOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : median(known);
}

function mostOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : Math.max(...known);
}

/** @param values one at least; of an even number the mean of the two in the middle */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

function plain<T>(map: Map<string, Map<string, T>>): object {
  return Object.fromEntries([...map].map(([name, inner]) => [name, Object.fromEntries(inner)]));
}
