import { SentvecError } from '@sentvec/core';
import type { AnyWorkflow, Logger, RunError } from '@sentvec/workflow';
import type { Refusals } from './refusals.ts';
import type { RunMonitor } from './run-monitor.ts';
import type { RunStore } from './run-store.ts';
import type { WaveQueue } from './wave-queue.ts';

/** What happened to a step, for metrics. */
export interface StepReport {
  readonly workflow: string;
  /** The stage, for example `embed`. */
  readonly stage: string;
  readonly outcome: 'completed' | 'failed' | 'retried' | 'interrupted' | 'cancelled';
  readonly milliseconds: number;
  /** Of a completed step. */
  readonly result?: unknown;
  readonly error?: RunError;
}

/** Hears what a worker does. */
export interface WorkerObserver {
  readonly stepBegan?: (step: { readonly key: string; readonly stage: string }) => void;
  readonly stepEnded?: (step: StepReport & { readonly key: string }) => void;
  readonly refused?: (reason: string) => void;
  /** A job of a dead or frozen worker came back into the queue. */
  readonly recovered?: (job: string) => void;
}

/** What the processors of a worker have in common. */
export interface WorkerParts {
  readonly id: string;
  readonly store: RunStore;
  readonly queue: WaveQueue;
  readonly monitor: RunMonitor;
  readonly refusals: Refusals;
  readonly workflows: ReadonlyMap<string, AnyWorkflow>;
  readonly logger: Logger;
  readonly observer: WorkerObserver;
  readonly window: number;
}

/** @throws SentvecError `job-refused` */
export function workflowOf(parts: WorkerParts, id: string): AnyWorkflow {
  const workflow = parts.workflows.get(id);
  if (workflow) return workflow;
  const known = [...parts.workflows.keys()].join(', ') || 'none';
  throw new SentvecError('job-refused', `This worker does not serve workflow "${id}"; it serves: ${known}.`, {
    workflow: id,
  });
}

/** Records that a job was not touched. */
export async function refuse(parts: WorkerParts, queue: string, job: string, error: SentvecError): Promise<void> {
  parts.logger.warn({ queue, job: job.slice(0, 200), reason: error.message.slice(0, 500) }, 'a job was refused');
  parts.observer.refused?.(error.message);
  await parts.refusals.add({ at: Date.now(), queue, job, reason: error.message, worker: parts.id });
}
