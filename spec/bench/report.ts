/** The tables, in Markdown. */
import { formatBytes } from '../../lib/units.ts';
import { formatFactor, formatMemory, formatMs } from './format.ts';
import type { Case, Group } from './group.ts';
import type { Results } from './results.ts';

/** @param titleOf a tool's name for people; what is no tool is called what it is */
export interface Naming {
  titleOf(who: string): string;
}

/** One row a goal: what was measured, and whether that is enough. */
export function goalTable(groups: readonly Group[], results: Results): string {
  const rows = groups.flatMap(({ goals }) =>
    goals.map(({ title, goal, judge }) => {
      const verdict = judge(results);
      if (verdict === null) return [title, 'not measured', goal, '–'];
      return [title, verdict.measured, goal, verdict.met ? 'met' : '**missed**'];
    }),
  );
  return table(['case', 'measured', 'goal', ''], rows);
}

/** One table a case, a row for each that was measured in it. */
export function figureTables(groups: readonly Group[], results: Results, naming: Naming): string {
  const cases = groups.flatMap(({ cases: own }) => own);
  return cases.map((one) => `**${one.title}**\n\n${figureTable(one, results, naming)}`).join('\n\n');
}

const COLUMNS = ['', 'wall', 'to Skylock', 'CPU', 'peak memory', 'bytes in', 'bytes sent', 'rounds'];

function figureTable({ id }: Case, results: Results, { titleOf }: Naming): string {
  const base = results.summary(id, 'skylock')?.wallMs ?? null;
  const rows = results.whoTook(id).map((who) => {
    const found = results.summary(id, who);
    if (found === null)
      return [titleOf(who), results.failure(id, who) ?? '–', ...COLUMNS.slice(2).map(() => '')];
    const { wallMs, cpuMs, peakBytes, bytesIn, bytesSent, rounds } = found;
    return [
      titleOf(who),
      formatMs(wallMs),
      base === null ? '–' : formatFactor(wallMs / base),
      cpuMs === null ? '–' : formatMs(cpuMs),
      peakBytes === null ? '–' : formatMemory(peakBytes),
      bytesIn === null ? '–' : formatBytes(bytesIn),
      bytesSent === null ? '–' : formatBytes(bytesSent),
      String(rounds),
    ];
  });
  return rows.length === 0 ? 'Not measured.' : table(COLUMNS, rows);
}

export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cellOf).join(' | ')} |`;
  return [line(heading), line(heading.map(() => '---')), ...rows.map(line)].join('\n');
}

/** What ends a cell in Markdown must not stand in one, unless it was written so that it does not. */
function cellOf(text: string): string {
  return text.replaceAll('\n', ' ').replace(/(?<!\\)\|/g, '\\|');
}
