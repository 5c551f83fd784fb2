// Shared by the processors of a worker: dependencies, reports to the observer, and refusing jobs.
import { SentvecError } from '@sentvec/core';
import type { AnyWorkflow, Logger, RunError } from '@sentvec/workflow';
import type { BatchQueue } from './batch-queue.ts';
import type { ParkedJobs } from './parked-jobs.ts';
import type { RateLimit } from './rate-limit.ts';
import type { RefusedJobs } from './refused-jobs.ts';
import type { RunStore } from './run-store.ts';
import type { RequiredWorkflow, WorkerRegistry } from './worker-registry.ts';
import type { RunWatcher } from './run-watcher.ts';
import type { Schedules } from './schedules.ts';
import type { PinnedModel, ServedModel } from './served-models.ts';

/** The outcome of a step attempt, for metrics. */
export interface StepReport {
  readonly workflow: string;
  /** The stage, for example `embed`. */
  readonly stage: string;
  /** `declined`: left to another worker. `interrupted`: returned to the queue. */
  readonly outcome: 'completed' | 'failed' | 'retried' | 'declined' | 'interrupted' | 'cancelled';
  readonly milliseconds: number;
  /** The result, if the step has completed. */
  readonly result?: unknown;
  /** The error, if the step has failed, is retried or was declined. */
  readonly error?: RunError | undefined;
}

/** Callbacks for events of a worker. */
export interface WorkerObserver {
  readonly stepBegan?: ((step: { readonly key: string; readonly stage: string }) => void) | undefined;
  readonly stepEnded?: ((step: StepReport & { readonly key: string }) => void) | undefined;
  readonly refused?: ((reason: string) => void) | undefined;
  /** Called when a job of a dead or frozen worker is back in the queue. */
  readonly recovered?: ((job: string) => void) | undefined;
}

/** The dependencies of the processors of a worker. */
export interface WorkerParts {
  readonly id: string;
  readonly store: RunStore;
  readonly queue: BatchQueue;
  readonly schedules: Schedules;
  readonly parked: ParkedJobs;
  readonly rateLimit: RateLimit;
  readonly watcher: RunWatcher;
  readonly refusedJobs: RefusedJobs;
  readonly registry: WorkerRegistry;
  readonly workflows: ReadonlyMap<string, AnyWorkflow>;
  /** The version of each workflow, by id. */
  readonly versions: Readonly<Record<string, string>>;
  /** Called with the reason when the worker declines a step that another worker may be able to execute. */
  readonly setAside: (reason: string) => void;
  /** Called when the worker has completed a step, or when no worker can execute a step that it declined. */
  readonly stepDone: () => void;
  /** See {@link RecoverySettings}. */
  readonly declineTimeout: number;
  readonly logger: Logger;
  readonly observer: WorkerObserver;
  /** Returns the maximum number of unfinished items of a stage in the queue, for the current number of workers. */
  readonly window: () => number;
  /** How many steps are executed at once. */
  readonly concurrency: number;
  /** The models that this worker serves now; `undefined`: it does not say. */
  readonly models: () => readonly ServedModel[] | undefined;
  /** Whether a worker of the fleet, as it was at the last heartbeat, serves a model. */
  readonly isServed: (model: PinnedModel) => boolean;
}

/**
 * Finds a workflow of the worker.
 * @throws SentvecError `job-refused` when it does not have the workflow, or has another version
 */
export function workflowOf(parts: WorkerParts, { workflow: id, version }: RequiredWorkflow): AnyWorkflow {
  const workflow = parts.workflows.get(id);
  if (!workflow) {
    const served = [...parts.workflows.keys()].join(', ') || 'none';
    throw new SentvecError('job-refused', `This worker does not have the workflow "${id}". Its workflows: ${served}.`, {
      workflow: id,
    });
  }
  if (version === undefined || version === parts.versions[id]) return workflow;
  throw changedError(id);
}

/** The error for a worker whose workflow version differs from that of the run. */
export function changedError(workflow: string): SentvecError {
  return new SentvecError(
    'job-refused',
    `Workflow "${workflow}" has changed since the run began. Start a worker with the version of the run, or replay the run to start over with the current version.`,
    { workflow },
  );
}

/** Records a refused job. */
export async function refuseJob(parts: WorkerParts, queue: string, job: string, error: SentvecError): Promise<void> {
  parts.logger.warn({ queue, job: job.slice(0, 200), reason: error.message.slice(0, 500) }, 'a job was refused');
  parts.observer.refused?.(error.message);
  await parts.refusedJobs.add({ at: Date.now(), queue, job, reason: error.message, worker: parts.id });
}
