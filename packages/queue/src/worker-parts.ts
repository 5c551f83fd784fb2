import { SentvecError } from '@sentvec/core';
import type { AnyWorkflow, Logger, RunError } from '@sentvec/workflow';
import type { BatchQueue } from './batch-queue.ts';
import type { ParkedJobs } from './parked-jobs.ts';
import type { RateLimit } from './rate-limit.ts';
import type { RefusedJobs } from './refused-jobs.ts';
import type { RunStore } from './run-store.ts';
import type { RunWatcher } from './run-watcher.ts';

/** How an attempt at a step ended, for metrics. */
export interface StepReport {
  readonly workflow: string;
  /** The stage, for example `embed`. */
  readonly stage: string;
  readonly outcome: 'completed' | 'failed' | 'retried' | 'interrupted' | 'cancelled';
  readonly milliseconds: number;
  /** Of a completed step. */
  readonly result?: unknown;
  /** Of a failed or retried step. */
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
  readonly parked: ParkedJobs;
  readonly rateLimit: RateLimit;
  readonly watcher: RunWatcher;
  readonly refusedJobs: RefusedJobs;
  readonly workflows: ReadonlyMap<string, AnyWorkflow>;
  readonly logger: Logger;
  readonly observer: WorkerObserver;
  readonly window: number;
}

/** @throws SentvecError `job-refused` when the worker does not serve the workflow */
export function workflowOf(parts: WorkerParts, id: string): AnyWorkflow {
  const workflow = parts.workflows.get(id);
  if (workflow) return workflow;
  const served = [...parts.workflows.keys()].join(', ') || 'none';
  throw new SentvecError('job-refused', `This worker does not serve workflow "${id}"; it serves: ${served}.`, {
    workflow: id,
  });
}

/** Records that the worker refused a job. */
export async function refuseJob(parts: WorkerParts, queue: string, job: string, error: SentvecError): Promise<void> {
  parts.logger.warn({ queue, job: job.slice(0, 200), reason: error.message.slice(0, 500) }, 'a job was refused');
  parts.observer.refused?.(error.message);
  await parts.refusedJobs.add({ at: Date.now(), queue, job, reason: error.message, worker: parts.id });
}
