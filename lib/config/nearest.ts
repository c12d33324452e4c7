/** @returns the known word that `word` was most likely meant to be, or `null` when it is like none of them. */
export function nearest(word: string, known: readonly string[]): string | null {
  const byDistance = known
    .map((each) => ({ each, distance: editDistance(word.toLowerCase(), each) }))
    .sort((a, b) => a.distance - b.distance)[0];
  const bearable = Math.max(2, Math.floor(word.length / 3));
  return byDistance !== undefined && byDistance.distance <= bearable ? byDistance.each : null;
}

/**
 * Letters to insert, remove, replace or swap with their neighbour.
 * @see https://en.wikipedia.org/wiki/Damerau-Levenshtein_distance (optimal string alignment)
 */
export function editDistance(from: string, to: string): number {
  const rows: number[][] = [Array.from({ length: to.length + 1 }, (_, column) => column)];
  const at = (row: number, column: number) => rows[row]?.[column] ?? Number.POSITIVE_INFINITY;
  for (let row = 1; row <= from.length; row += 1) {
    const line = [row];
    rows.push(line);
    for (let column = 1; column <= to.length; column += 1) {
      const same = from[row - 1] === to[column - 1];
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      line.push(
        Math.min(
          at(row - 1, column) + 1,
          at(row, column - 1) + 1,
          at(row - 1, column - 1) + (same ? 0 : 1),
          swapped ? at(row - 2, column - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
  }
  return at(from.length, to.length);
}
