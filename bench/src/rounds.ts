/** Something to time; it may do its own timing and return milliseconds. */
export interface Timed {
  readonly name: string;
  readonly run: () => Promise<number | void>;
}

/** Milliseconds of each round, by name. */
export type Timings = ReadonlyMap<string, readonly number[]>;

/** The value of `--rounds`. @throws Error */
export function roundsOf(text: string): number {
  const rounds = Number(text);
  if (Number.isInteger(rounds) && rounds >= 1) return rounds;
  throw new Error(`--rounds is ${text}; it must be a whole number of at least 1.`);
}

/**
 * Times all in turns, round after round, so that whatever slows the machine down for a while slows all of them down.
 * One round before the first is not counted. Every other round goes backwards: none is always the one after a certain
 * other.
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

/** The middle one; of an even number the mean of the two in the middle. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The number below which this share of them are. */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
}

/** How many times as long `a` takes as `b`: the median over the rounds of the ratio within a round. */
export function medianRatio(timings: Timings, a: string, b: string): number {
  return median(timings.get(a)!.map((time, round) => time / timings.get(b)![round]!));
}
