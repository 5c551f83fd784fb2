/** A function to time. It can measure the time itself and return milliseconds. */
export interface Timed {
  readonly name: string;
  readonly run: () => Promise<number | void>;
}

/** Milliseconds per round, by name. */
export type Timings = ReadonlyMap<string, readonly number[]>;

/** Parses the value of `--rounds`. @throws Error if it is invalid */
export function roundsOf(text: string): number {
  const rounds = Number(text);
  if (Number.isInteger(rounds) && rounds >= 1) return rounds;
  throw new Error(`--rounds must be a whole number of at least 1, not ${text}.`);
}

/**
 * Times all functions alternately in several rounds, so that temporary slowdowns of the machine affect all of them. A
 * warm-up round is not counted. Every second round runs in reverse order, so that no function always follows the same
 * other function.
 */
export async function timeInTurns(entries: readonly Timed[], rounds: number): Promise<Timings> {
  const timings = new Map<string, number[]>(entries.map(({ name }) => [name, []]));
  for (let round = -1; round < rounds; round += 1) {
    for (const { name, run } of round % 2 === 0 ? entries : entries.toReversed()) {
      const started = performance.now();
      const own = await run();
      const elapsed = own ?? performance.now() - started;
      if (round >= 0) timings.get(name)!.push(elapsed);
    }
  }
  return timings;
}

/** Returns the median; for an even count, the mean of the two middle numbers. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Returns the quantile: this share of the numbers is below it. */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}

/** Returns the time of `a` divided by that of `b`: the median of the ratios within each round. */
export function medianRatio(timings: Timings, a: string, b: string): number {
  return median(timings.get(a)!.map((time, round) => time / timings.get(b)![round]!));
}
