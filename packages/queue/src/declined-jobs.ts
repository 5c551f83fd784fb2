// Declines jobs that this worker cannot do, for example because it lacks the model, a mount or the version, and leaves
// them to other workers.
import { SentvecError, type ErrorCode } from '@sentvec/core';
import type { Job } from 'bullmq';
import type { Declined, RunJob } from './jobs.ts';
import { refuseJob, type WorkerParts } from './worker-parts.ts';
import { serves, type RequiredWorkflow } from './worker-registry.ts';

/** Milliseconds after which a declined job is available again. */
export const declineDelay = 1000;

const maxReasonLength = 500;

/** Declines jobs on behalf of one worker. */
export class DeclinedJobs {
  readonly #parts: WorkerParts;
  readonly #queue: string;

  /** @param queue the BullMQ queue of the jobs */
  constructor(parts: WorkerParts, queue: string) {
    this.#parts = parts;
    this.#queue = queue;
  }

  /** Whether this worker has declined the job. */
  has({ declined }: { readonly declined?: Declined | undefined }): boolean {
    return declined !== undefined && this.#parts.id in declined.workers;
  }

  /**
   * Records that this worker declines a job. The caller then puts the job back into the queue.
   *
   * @param error the reason. Without it, the worker has declined the job before
   * @throws SentvecError the reason why no worker can do the job. It is thrown only after `declineTimeout`, so that a
   * worker that is just starting can take the job
   */
  async decline(
    job: Job,
    data: RunJob & { readonly declined?: Declined | undefined },
    required: RequiredWorkflow,
    error?: SentvecError,
  ): Promise<void> {
    const { id, registry, declineTimeout, setAside } = this.#parts;
    const { now, workers } = await registry.read();
    let declined = data.declined ?? { since: now, workers: {} };
    if (error) {
      const reason = { code: error.code, message: error.message.slice(0, maxReasonLength) };
      declined = { ...declined, workers: { ...declined.workers, [id]: reason } };
      await job.updateData({ ...data, declined });
      // The highest priority, so that other workers take or decline it soon.
      await job.changePriority({ priority: 1 });
      await refuseJob(this.#parts, this.#queue, job.id ?? '', error);
    }
    const others = workers.filter((worker) => serves(worker, required) && !(worker.id in declined.workers));
    if (others.length > 0) {
      if (error && others.some((worker) => worker.setAside === undefined)) setAside(error.message);
      return;
    }
    const youngest = Math.max(0, ...workers.map(({ startedAt }) => startedAt));
    if (now - Math.min(declined.since, youngest) < declineTimeout) return;
    throw error && Object.keys(declined.workers).length === 1 ? error : noWorkerError(job, declined);
  }
}

function noWorkerError(job: Job, { workers }: Declined): SentvecError {
  const entries = Object.entries(workers);
  const [, last] = entries.at(-1) ?? [];
  const reasons = entries.map(([id, { message }]) => `${id}: ${message}`);
  const isSame = entries.every(([, { message }]) => message === last?.message);
  const message = isSame && last ? last.message : `No worker can do job ${job.id}. ${reasons.join(' ')}`;
  return new SentvecError((last?.code ?? 'job-refused') as ErrorCode, message, { workers: Object.keys(workers) });
}
