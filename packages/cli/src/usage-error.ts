/** The error for an invalid command line. The message says what to type instead. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** ` Did you mean …?` if a known name is similar enough to be a typo, else an empty string. */
export function suggestion(typed: string, known: readonly string[]): string {
  const nearest = known
    .map((name) => ({ name, distance: editDistance(typed, name) }))
    .toSorted((a, b) => a.distance - b.distance)
    .find(({ name, distance }) => distance <= Math.max(2, Math.floor(name.length / 3)));
  return nearest === undefined ? '' : ` Did you mean ${nearest.name}?`;
}

/** Levenshtein distance: the minimum number of insertions, deletions and substitutions. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = previous[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, previous[column]! + 1, current[column - 1]! + 1));
    }
    previous = current;
  }
  return previous[b.length]!;
}
