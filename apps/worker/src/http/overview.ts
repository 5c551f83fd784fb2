import type { QueueOverview, Refusal, StepCounts, WorkerFacts } from '@sentvec/queue';
import type { RunStatus, Runtime } from '@sentvec/workflow';

/** What the dashboard shows. JSON. */
export interface DashboardOverview {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly queue: string;
  readonly steps: StepCounts;
  /** Newest first. */
  readonly runs: readonly RunStatus[];
  readonly workers: readonly WorkerFacts[];
  readonly refusals: readonly Refusal[];
}

const shownRuns = 50;
const shownRefusals = 20;

/** Everything that the dashboard shows, read at one moment. */
export async function readOverview(
  queue: string,
  runtime: Runtime,
  overview: QueueOverview,
): Promise<DashboardOverview> {
  const [steps, runs, workers, refusals] = await Promise.all([
    overview.counts(),
    runtime.list({ limit: shownRuns }),
    overview.workers(),
    overview.refusals(shownRefusals),
  ]);
  return { now: Date.now(), queue, steps, runs, workers, refusals };
}
