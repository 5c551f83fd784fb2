// What the processors of a worker share, what they report to its observer, and how they refuse a job.
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

/** How an attempt at a step ended, for metrics. */
export interface StepReport {
  readonly workflow: string;
  /** The stage, for example `embed`. */
  readonly stage: string;
  /** A declined step was left to another worker; an interrupted one went back into the queue. */
  readonly outcome: 'completed' | 'failed' | 'retried' | 'declined' | 'interrupted' | 'cancelled';
  readonly milliseconds: number;
  /** Of a completed step. */
  readonly result?: unknown;
  /** Of a failed, retried or declined step. */
  readonly error?: RunError | undefined;
}

/** Called when something happens in a worker. */
export interface WorkerObserver {
  readonly stepBegan?: ((step: { readonly key: string; readonly stage: string }) => void) | undefined;
  readonly stepEnded?: ((step: StepReport & { readonly key: string }) => void) | undefined;
  readonly refused?: ((reason: string) => void) | undefined;
  /** A job of a dead or frozen worker is back in the queue. */
  readonly recovered?: ((job: string) => void) | undefined;
}

/** What the processors of a worker have in common. */
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
  /** Called when the worker declines a step that another may do, with the reason. */
  readonly setAside: (reason: string) => void;
  /** Called when the worker has done a step, or when no worker could have done the one it declined. */
  readonly stepDone: () => void;
  /** See {@link RecoverySettings}. */
  readonly declineTimeout: number;
  readonly logger: Logger;
  readonly observer: WorkerObserver;
  /** The most unfinished items of a stage in the queue, for the fleet as it is. */
  readonly window: () => number;
}

/** @throws SentvecError `job-refused` when the worker does not serve the workflow, or serves another version of it */
export function workflowOf(parts: WorkerParts, { workflow: id, version }: RequiredWorkflow): AnyWorkflow {
  const workflow = parts.workflows.get(id);
  if (!workflow) {
    const served = [...parts.workflows.keys()].join(', ') || 'none';
    throw new SentvecError('job-refused', `This worker does not serve workflow "${id}". It serves: ${served}.`, {
      workflow: id,
    });
  }
  if (version === undefined || version === parts.versions[id]) return workflow;
  throw changedError(id);
}

/** The error of a worker whose version of a workflow is not the one that the run began with. */
export function changedError(workflow: string): SentvecError {
  return new SentvecError(
    'job-refused',
    `Workflow "${workflow}" has changed since the run began. Start a worker with the version that the run began with, or replay the run to start it over with the present one.`,
    { workflow },
  );
}

/** Records that the worker refused a job. */
export async function refuseJob(parts: WorkerParts, queue: string, job: string, error: SentvecError): Promise<void> {
  parts.logger.warn({ queue, job: job.slice(0, 200), reason: error.message.slice(0, 500) }, 'a job was refused');
  parts.observer.refused?.(error.message);
  await parts.refusedJobs.add({ at: Date.now(), queue, job, reason: error.message, worker: parts.id });
}
