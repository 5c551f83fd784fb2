// Plans a run: which examples each step trains on. Samplers make batches, batches of several sets are mixed, and
// batches are grouped into steps.
import { Random } from '../random.ts';
import type { ResolvedOptions } from '../training-options.ts';
import { groupedByLabel, noDuplicates, shuffled, type Sampler } from './samplers.ts';
import type { TrainingSet } from './training-set.ts';

/** One batch: some rows of one training set. */
export interface PlannedBatch {
  /** Index of the training set. */
  readonly set: number;
  readonly rows: Int32Array;
}

/** The batches of one optimizer step. */
export interface PlannedStep {
  readonly epoch: number;
  readonly lastOfEpoch: boolean;
  readonly batches: readonly PlannedBatch[];
}

/** The options that a plan depends on, besides the sets. */
export type PlanOptions = Pick<ResolvedOptions, 'batchSize' | 'seed' | 'mixing'>;

/**
 * Plans all steps of a run, and counts how many examples of each set the first epoch uses. All batches of a step come
 * from one set, because a step has one loss.
 */
export function planSteps(
  sets: readonly TrainingSet[],
  options: PlanOptions & Pick<ResolvedOptions, 'epochs' | 'maxSteps' | 'gradientAccumulation'>,
): { readonly steps: readonly PlannedStep[]; readonly usedExamples: readonly number[] } {
  const { epochs, maxSteps = Infinity, gradientAccumulation } = options;
  const usedExamples = sets.map(() => 0);
  const steps: PlannedStep[] = [];
  for (let epoch = 0; epoch < epochs && steps.length < maxSteps; epoch++) {
    const planned = planEpoch(sets, options, epoch);
    if (epoch === 0) for (const { set, rows } of planned) usedExamples[set]! += rows.length;
    const groups = groupBySet(planned, gradientAccumulation);
    for (const [index, batches] of groups.entries())
      steps.push({ epoch, lastOfEpoch: index === groups.length - 1, batches });
  }
  return { steps: steps.slice(0, maxSteps), usedExamples };
}

/**
 * Plans the batches of an epoch, in order. The same sets, options and epoch always give the same plan, so a resumed run
 * trains on the same batches.
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
  return mixing === 'round-robin' ? roundRobin(bySet) : proportional(bySet, new Random(seed, 1_000_003 + epoch));
}

function defaultSampler({ loss }: TrainingSet): Sampler {
  if (loss.labels === 'class') return groupedByLabel;
  return loss.labels === 'none' && (loss.smallestBatch ?? 1) >= 2 ? noDuplicates : shuffled;
}

function roundRobin(bySet: readonly PlannedBatch[][]): PlannedBatch[] {
  const shortest = Math.min(...bySet.map((batches) => batches.length));
  return Array.from({ length: shortest }, (_, index) => bySet.map((batches) => batches[index]!)).flat();
}

function proportional(bySet: readonly PlannedBatch[][], random: Random): PlannedBatch[] {
  const order = random.shuffle(bySet.flatMap((batches, set) => batches.map(() => set)));
  const next = bySet.map(() => 0);
  return order.map((set) => bySet[set]![next[set]!++]!);
}

function groupBySet(batches: readonly PlannedBatch[], size: number): PlannedBatch[][] {
  const open = new Map<number, PlannedBatch[]>();
  const groups: PlannedBatch[][] = [];
  for (const batch of batches) {
    const group = open.get(batch.set) ?? [];
    group.push(batch);
    open.set(batch.set, group);
    if (group.length < size) continue;
    groups.push(group);
    open.delete(batch.set);
  }
  return [...groups, ...open.values()];
}
