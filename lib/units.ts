/** Sizes, durations and rates, as people write and read them. */
import { UsageError } from './errors.ts';

const DECIMAL = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

const SIZE_FACTORS: Record<string, number> = {
  '': 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  m: 1e6,
  mb: 1e6,
  g: 1e9,
  gb: 1e9,
  t: 1e12,
  tb: 1e12,
  p: 1e15,
  pb: 1e15,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  pib: 2 ** 50,
};

const DURATION_FACTORS_MS: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};

/** @returns `2.34 GB`: three significant digits, decimal units. @param bytes 0 or more */
export function formatBytes(bytes: number): string {
  const { divisor, digits, unit } = scaleOf(bytes);
  return `${(bytes / divisor).toFixed(digits)} ${unit}`;
}

/** @returns `8.2/16.8 MB`: both in the unit of the whole. */
export function formatPartOfBytes(part: number, whole: number): string {
  const { divisor, digits, unit } = scaleOf(whole);
  return `${(part / divisor).toFixed(digits)}/${(whole / divisor).toFixed(digits)} ${unit}`;
}

function scaleOf(bytes: number): { divisor: number; digits: number; unit: string } {
  let divisor = 1;
  let unit = 0;
  while (bytes / divisor >= 999.5 && unit < DECIMAL.length - 1) {
    divisor *= 1000;
    unit += 1;
  }
  const value = bytes / divisor;
  return {
    divisor,
    digits: unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2,
    unit: DECIMAL[unit] ?? '',
  };
}

/** @returns `12.4 MB/s` */
export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/** @returns `1 file`, `25 files`: digits without separators, as scripts like them. */
export function formatCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** @returns `16%`, rounded down: 100% means all of it. Of nothing, all is done. */
export function formatPercent(part: number, whole: number): string {
  // Not (part / whole) * 100, which makes 28 of 29 hundredths.
  return `${whole > 0 ? Math.min(100, Math.floor((part * 100) / whole)) : 100}%`;
}

/** @returns `16.7%`, rounded, but to 100.0% only when it is all. */
export function formatTenthsOfPercent(part: number, whole: number): string {
  if (whole <= 0 || part >= whole) return '100.0%';
  return `${Math.min(99.9, (part * 100) / whole).toFixed(1)}%`;
}

/** @returns the two largest units that matter: `9s`, `3m 20s`, `2h 05m`, `4d 3h`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [s, m, h, d] = [
    seconds % 60,
    Math.floor(seconds / 60) % 60,
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 86_400),
  ];
  if (d > 0) return h > 0 ? `${d}d ${h}h` : `${d}d`;
  if (h > 0) return `${h}h ${String(m).padStart(2, '0')}m`;
  if (m > 0) return `${m}m ${String(s).padStart(2, '0')}s`;
  return `${s}s`;
}

/** @returns RFC 3339 in UTC with whole seconds: `2025-11-07T14:20:30Z`. */
export function formatInstant(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}

/** @returns the same instant for people: `2025-11-07 14:20:30 UTC`. */
export function formatInstantForPeople(date: Date): string {
  return `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** @param text `10MB`, `1.5 GiB`, `4096`; @throws UsageError naming `what` */
export function parseBytes(text: string, what: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  const factor = SIZE_FACTORS[match?.[2]?.toLowerCase() ?? '?'];
  const bytes = Math.round(Number(match?.[1]) * (factor ?? Number.NaN));
  if (!Number.isSafeInteger(bytes)) {
    throw new UsageError(`read ${what}: '${text}' is not a size`, {
      hints: ['Write a number and a unit, such as 500kB, 10MB or 1GiB.'],
    });
  }
  return bytes;
}

/** @param text `7d`, `12h`, `1h30m`; @returns milliseconds; @throws UsageError naming `what` */
export function parseDuration(text: string, what: string): number {
  const parts = [...text.trim().matchAll(/(\d+(?:\.\d+)?)\s*([a-z]+)\s*/gi)];
  const whole = parts.map((part) => part[0]).join('') === text.trim() && parts.length > 0;
  const ms = parts.reduce(
    (sum, [, count, unit = '']) =>
      sum + Number(count) * (DURATION_FACTORS_MS[unit.toLowerCase()] ?? Number.NaN),
    0,
  );
  if (!whole || !Number.isSafeInteger(Math.round(ms))) {
    throw new UsageError(`read ${what}: '${text}' is not a duration`, {
      hints: ['Write a number and a unit, such as 90s, 12h, 7d or 2w.'],
    });
  }
  return Math.round(ms);
}
