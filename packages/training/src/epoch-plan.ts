import { Random } from './random.ts';
import { groupedByLabel, noDuplicates, shuffled, type Sampler } from './samplers.ts';
import type { TrainingSet } from './training-set.ts';

/** One batch: rows of one of the sets. */
export interface PlannedBatch {
  readonly set: number;
  readonly rows: Int32Array;
}

/**
 * How the batches of several sets follow each other. `proportional`: at random, each set as often as it has batches.
 * `round-robin`: in turn, until one has no more.
 */
export type Mixing = 'proportional' | 'round-robin';

/** What a plan depends on, besides the sets. */
export interface PlanOptions {
  readonly batchSize: number;
  readonly seed: number;
  readonly mixing: Mixing;
}

/**
 * The batches of an epoch, in order. The same sets, options and epoch give the same plan, which is what makes resuming
 * exact.
 */
export function planEpoch(
  sets: readonly TrainingSet[],
  { batchSize, seed, mixing }: PlanOptions,
  epoch: number,
): PlannedBatch[] {
  const bySet = sets.map((set, index) => {
    const sampler = set.sampler ?? defaultSampler(set);
    const smallest = set.loss.smallestBatch ?? 1;
    return sampler(set.examples, { batchSize, seed: seed + 7919 * index, epoch })
      .filter((rows) => rows.length >= smallest)
      .map((rows) => ({ set: index, rows }));
  });
  if (bySet.length === 1) return bySet[0]!;
  return mixing === 'round-robin' ? inTurn(bySet) : atRandom(bySet, new Random(seed, 1_000_003 + epoch));
}

function defaultSampler({ loss }: TrainingSet): Sampler {
  if (loss.labels === 'class') return groupedByLabel;
  return loss.labels === 'none' && loss.smallestBatch === 2 ? noDuplicates : shuffled;
}

function inTurn(bySet: readonly PlannedBatch[][]): PlannedBatch[] {
  const rounds = Math.min(...bySet.map((batches) => batches.length));
  return Array.from({ length: rounds }, (_, round) => bySet.map((batches) => batches[round]!)).flat();
}

function atRandom(bySet: readonly PlannedBatch[][], random: Random): PlannedBatch[] {
  const turns = random.shuffle(bySet.flatMap((batches, set) => batches.map(() => set)));
  const next = bySet.map(() => 0);
  return turns.map((set) => bySet[set]![next[set]!++]!);
}
