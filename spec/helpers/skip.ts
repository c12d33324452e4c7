/** Tests that could not be run on this machine, with the reason. With `CI=true` each counts as a failure. */
const skipped: { readonly title: string; readonly reason: string }[] = [];

export function skipTest(title: string, reason: string): void {
  skipped.push({ title, reason });
}

export function skippedTests(): readonly { readonly title: string; readonly reason: string }[] {
  return skipped;
}
