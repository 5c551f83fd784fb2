/**
 * How the learning rate goes on after the warm-up: down to 0 in a straight line or along half a cosine, or not at all.
 */
export type ScheduleKind = 'linear' | 'cosine' | 'constant';

/** What {@link learningRateAt} needs. */
export interface Schedule {
  readonly kind: ScheduleKind;
  /** The highest learning rate, reached at the end of the warm-up. */
  readonly peak: number;
  /** Optimizer steps of the whole run. */
  readonly totalSteps: number;
  /** Steps over which the rate rises from `peak / warmupSteps`. */
  readonly warmupSteps: number;
}

/** The learning rate of a step, counted from 0. The first step already learns and the last one still does. */
export function learningRateAt({ kind, peak, totalSteps, warmupSteps }: Schedule, step: number): number {
  if (step < warmupSteps) return (peak * (step + 1)) / warmupSteps;
  if (kind === 'constant') return peak;
  const remaining = (totalSteps - step) / Math.max(1, totalSteps - warmupSteps);
  return kind === 'linear' ? peak * remaining : (peak * (1 - Math.cos(Math.PI * remaining))) / 2;
}
