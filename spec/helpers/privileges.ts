/** `nobody` on every Linux. */
export const NOBODY_ID = 65_534;

/**
 * Runs as a user who owns nothing, so that permissions count for root too. The folders above what is looked at must let
 * everybody through.
 */
export function withoutPrivileges<T>(run: () => T): T {
  if (process.geteuid?.() !== 0) return run();
  process.setegid?.(NOBODY_ID);
  process.seteuid?.(NOBODY_ID);
  try {
    return run();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}
