import { planEpoch, type PlannedBatch } from './epoch-plan.ts';
import type { ResolvedOptions } from './training-options.ts';
import type { TrainingSet } from './training-set.ts';

/** The batches of one optimizer step. */
export interface PlannedStep {
  readonly epoch: number;
  readonly lastOfEpoch: boolean;
  readonly batches: readonly PlannedBatch[];
}

/** All steps of a run. Batches of one step are of one set, since they share an objective. */
export function planSteps(sets: readonly TrainingSet[], options: ResolvedOptions): PlannedStep[] {
  const steps: PlannedStep[] = [];
  for (let epoch = 0; epoch < options.epochs; epoch++) {
    const groups = groupBySet(planEpoch(sets, options, epoch), options.gradientAccumulation);
    for (const [index, batches] of groups.entries())
      steps.push({ epoch, lastOfEpoch: index === groups.length - 1, batches });
  }
  return options.maxSteps === undefined ? steps : steps.slice(0, options.maxSteps);
}

function groupBySet(batches: readonly PlannedBatch[], size: number): PlannedBatch[][] {
  if (size === 1) return batches.map((batch) => [batch]);
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
