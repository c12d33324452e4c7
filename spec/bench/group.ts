import type { DataSet, DataSetName } from './data.ts';
import type { Goal } from './goals.ts';
import type { Servers } from './places.ts';
import type { Results } from './results.ts';
import type { Tool } from './tools/tool.ts';

/** What the cases of one benchmark run have in common. */
export interface Bench {
  readonly rounds: number;
  /** Of this run alone, and gone after it. */
  readonly folder: string;
  /** Where data sets are kept from one run to the next. */
  readonly dataFolder: string;
  /** Ours first. */
  readonly tools: readonly Tool[];
  /** Our program, as it is published. */
  readonly program: string;
  readonly servers: Servers;
  readonly results: Results;
  readonly signal: AbortSignal;
  data(name: DataSetName): DataSet;
  /** Tells the person how far it is. */
  say(text: string): void;
}

/** Cases that are measured together, in the same rounds. */
export interface Group {
  /** What `only` names. */
  readonly id: string;
  readonly cases: readonly Case[];
  readonly goals: readonly Goal[];
  /** @throws when the signal was given; any other failure of the group is told in its rows */
  run(bench: Bench): Promise<void>;
}

export interface Case {
  readonly id: string;
  /** For people, in Markdown. */
  readonly title: string;
}
