/** What will happen to one run of the program, drawn from a seed before anything of it happens. */
import { type Random, seeded } from '../bench/content.ts';

export type FaultName =
  | 'cut one'
  | 'cut one in the middle'
  | 'cut all'
  | 'reset one'
  | 'reset all'
  | 'half-close one towards the server'
  | 'half-close one towards the program'
  | 'stall one'
  | 'refuse';

const FAULTS: readonly FaultName[] = [
  'cut one',
  'cut one in the middle',
  'cut all',
  'reset one',
  'reset all',
  'half-close one towards the server',
  'half-close one towards the program',
  'stall one',
  'refuse',
];

export interface PlannedFault {
  readonly name: FaultName;
  readonly atMs: number;
  /** Of those that end by themselves. */
  readonly forMs: number;
  /** Which of the lanes there are then. */
  readonly lane: number;
}

export interface PlannedChange {
  readonly atMs: number;
  readonly seed: string;
}

export type PlannedKill =
  | { readonly by: 'time'; readonly atMs: number }
  /** So many bytes of this run have gone to the remote. */
  | { readonly by: 'bytes'; readonly bytes: number }
  /** At a step that outlives the process, before or after it. */
  | { readonly by: 'moment'; readonly moment: string };

export interface RunPlan {
  /** `null`: it may come to its end. */
  readonly kill: PlannedKill | null;
  readonly bytesPerSecond: number;
  readonly delayMs: number;
  readonly faults: readonly PlannedFault[];
  /** Of the sources, while it runs. */
  readonly changes: readonly PlannedChange[];
  /** Before it begins. */
  readonly losesJournal: boolean;
  /** What the person does before it, when the run before has come to its end: there is to be something to do. */
  readonly work: readonly string[];
}

/** Runs that are killed, and a last one that is not. */
export type RoundPlan = readonly RunPlan[];

const MIB = 1024 * 1024;

/** @param moments to kill at; @param hasLine faults need one */
export function planLife(seed: string, moments: readonly string[], hasLine: boolean): readonly RoundPlan[] {
  const random = seeded(`${seed} plan`);
  const upTo = (most: number) => random.below(most + 1);
  const list = <T>(most: number, make: () => T): T[] => Array.from({ length: upTo(most) }, make);
  const change = (withinMs: number): PlannedChange => ({
    atMs: upTo(withinMs),
    seed: `${seed} change ${upTo(1e9)}`,
  });
  const fault = (): PlannedFault => ({
    name: pick(random, FAULTS),
    atMs: 300 + upTo(2500),
    forMs: 100 + upTo(1500),
    lane: upTo(7),
  });
  const run = (kill: PlannedKill | null): RunPlan => ({
    kill,
    bytesPerSecond: (2 + upTo(18)) * MIB,
    delayMs: pick(random, [0, 0, 5, 20, 60]),
    faults: hasLine && upTo(1) === 0 ? list(3, fault) : [],
    // The last run of a round is to find the sources at rest.
    changes: kill !== null && upTo(1) === 0 ? list(3, () => change(2000)) : [],
    losesJournal: upTo(24) === 0,
    work: Array.from({ length: 4 + upTo(6) }, () => change(0).seed),
  });
  return Array.from({ length: 1 + upTo(2) }, () => [
    ...Array.from({ length: 1 + upTo(7) }, () => run(planKill(random, moments))),
    run(null),
  ]);
}

function planKill(random: Random, moments: readonly string[]): PlannedKill {
  switch (random.below(4)) {
    case 0:
      return { by: 'time', atMs: 300 + random.below(2700) };
    case 1:
      return { by: 'moment', moment: pick(random, moments) };
    default:
      return { by: 'bytes', bytes: random.below(5 * MIB) };
  }
}

export function pick<T>(random: Random, from: readonly T[]): T {
  return from[random.below(from.length)]!;
}

/** In one line, for whoever has to find out what went wrong. */
export function describeRun({
  kill,
  bytesPerSecond,
  delayMs,
  faults,
  changes,
  losesJournal,
}: RunPlan): string {
  return [
    ...(losesJournal ? ['the journal is lost'] : []),
    describeKill(kill),
    `${Math.round(bytesPerSecond / MIB)} MiB/s, ${delayMs} ms`,
    ...faults.map(({ name, atMs, forMs }) => `${name} at ${atMs} ms (${forMs} ms)`),
    ...changes.map(({ atMs }) => `a change at ${atMs} ms`),
  ].join('; ');
}

function describeKill(kill: PlannedKill | null): string {
  switch (kill?.by) {
    case undefined:
      return 'not killed';
    case 'time':
      return `killed after ${kill.atMs} ms`;
    case 'bytes':
      return `killed after ${kill.bytes} bytes`;
    case 'moment':
      return `killed ${kill.moment}`;
  }
}
