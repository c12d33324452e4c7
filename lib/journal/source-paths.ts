/** Source paths in one column: joined by NUL bytes, which no path can hold. */
export function joinPaths(paths: readonly Buffer[]): Buffer {
  return Buffer.from(paths.map((path) => path.toString('latin1')).join('\0'), 'latin1');
}

export function splitPaths(joined: Buffer): Buffer[] {
  return joined
    .toString('latin1')
    .split('\0')
    .map((path) => Buffer.from(path, 'latin1'));
}
