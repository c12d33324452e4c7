/** Longer than any system's paths, short enough to hold. */
export const MAX_PATH_BYTES = 65_535;

const SLASH = 0x2f;
const DOT = 0x2e;

/** @returns what is wrong with a path for an entry, or `null`: absolute, no NUL, no `.`, `..` or empty parts */
export function findPathFault(path: Uint8Array): string | null {
  if (path.length > MAX_PATH_BYTES) return 'is too long';
  if (path[0] !== SLASH) return 'is not absolute';
  if (path.includes(0)) return 'holds a NUL';
  if (path.length === 1) return null;
  for (let start = 1; start <= path.length; ) {
    const slash = path.indexOf(SLASH, start);
    const end = slash === -1 ? path.length : slash;
    if (end === start) return 'holds an empty part';
    if (path[start] === DOT && (end - start === 1 || (end - start === 2 && path[start + 1] === DOT))) {
      return 'holds a . or ..';
    }
    start = end + 1;
  }
  return null;
}

/** Does `path` lie somewhere under `folder`? */
export function liesUnder(path: Uint8Array, folder: Uint8Array): boolean {
  if (folder.length === 1) return path.length > 1;
  return (
    path.length > folder.length &&
    path[folder.length] === SLASH &&
    Buffer.compare(path.subarray(0, folder.length), folder) === 0
  );
}
