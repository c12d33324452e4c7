/** Figures as the tables show them. */

/** @returns `0.54 ×`, `12.3 ×`, `215 ×`: two digits that count, three from 1 on */
export function formatFactor(factor: number): string {
  return `${factor >= 99.95 ? factor.toFixed(0) : factor >= 9.995 ? factor.toFixed(1) : factor >= 0.0995 ? factor.toFixed(2) : factor.toPrecision(2)} ×`;
}

/** @returns `0.084 ms`, `71 ms`, `1.32 s`, `13.6 s`, `323 s` */
export function formatMs(ms: number): string {
  if (ms < 1) return `${ms.toPrecision(2)} ms`;
  if (ms < 999.5) return `${ms < 9.95 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
  const seconds = ms / 1000;
  return `${seconds >= 99.95 ? seconds.toFixed(0) : seconds >= 9.995 ? seconds.toFixed(1) : seconds.toFixed(2)} s`;
}

/** @returns `213 MiB` */
export function formatMemory(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
