// The items of a stage as BullMQ flows: adds them in batches, reads their results, and removes them.
import { SentvecError } from '@sentvec/core';
import { itemId, toRunError, type FailedItem } from '@sentvec/workflow';
import { FlowProducer, Job, Queue, type Telemetry } from 'bullmq';
import type { RedisConnection } from './connection.ts';
import { indexOfJob, jobIds, type BatchJob, type StepJob } from './jobs.ts';
import { queueNames, type QueueNames } from './names.ts';
import type { PinnedModel } from './served-models.ts';
import { stepsQueueName, StepQueues } from './step-queues.ts';

/** Consecutive items of a stage that are added to the queue together, as the children of one BullMQ flow. */
export interface JobBatch {
  /** Counted from 0 within the stage. */
  readonly number: number;
  /** Index of its first item. */
  readonly first: number;
  /** How many items it has. */
  readonly count: number;
}

/** The run, attempt and stage that a batch belongs to. */
export type BatchScope = Pick<BatchJob, 'run' | 'attempt' | 'stage'>;

/** An item with its index in its stage. */
export interface IndexedItem {
  readonly index: number;
  readonly value: unknown;
}

/** What has become of the items of a batch so far. */
export interface BatchResults {
  /** Pairs of an item's index and its result. */
  readonly done: readonly (readonly [number, unknown])[];
  /** Pairs of the index of an item that failed for good and BullMQ's reason. */
  readonly failed: readonly (readonly [number, string])[];
}

/** Options of all jobs of a batch. */
export interface BatchOptions {
  readonly priority: number;
  /** The model of the run. */
  readonly model: PinnedModel | undefined;
}

const redisRetries = { attempts: 1_000_000, backoff: { type: 'fixed', delay: 1000 } };
const keptFailures = { count: 1000, age: 7 * 24 * 3600 };

/**
 * Batches of jobs as BullMQ flows. A flow is added atomically, and its parent keeps the results of its children until
 * the batch is removed.
 */
export class BatchQueue {
  readonly #flows: FlowProducer;
  readonly #batches: Queue;
  /** The queues of the items. */
  readonly steps: StepQueues;

  constructor(connection: RedisConnection, names: QueueNames, telemetry: Telemetry | undefined) {
    const options = { connection, prefix: names.prefix, skipVersionCheck: true, ...(telemetry && { telemetry }) };
    this.#flows = new FlowProducer(options);
    this.#batches = new Queue(queueNames.batches, options);
    this.steps = new StepQueues(connection, names, telemetry);
    this.#flows.on('error', () => {});
    this.#batches.on('error', () => {});
  }

  /** Adds a batch with the items that are executed. Idempotent. */
  async add(
    scope: BatchScope,
    { number }: Pick<JobBatch, 'number'>,
    items: readonly IndexedItem[],
    { priority, model }: BatchOptions,
  ): Promise<void> {
    const options = {
      // Retries of steps are counted in the job data. These BullMQ attempts are only for failures of Redis.
      ...redisRetries,
      priority,
      // A batch has ended when each of its items is done or has failed.
      ignoreDependencyOnFailure: true,
      removeOnComplete: true,
      removeOnFail: keptFailures,
    };
    const queueName = stepsQueueName(model);
    const children = items.map(({ index, value }) => {
      const data: StepJob = { ...scope, index, value };
      return { name: scope.stage, queueName, data, opts: { ...options, jobId: jobIds.step(data) } };
    });
    const data: BatchJob = { ...scope, batch: number };
    const opts = {
      jobId: jobIds.batch(data),
      removeOnFail: keptFailures,
      ...redisRetries,
    };
    await this.#flows.add({ name: scope.stage, queueName: queueNames.batches, data, opts, children });
  }

  async exists(scope: BatchScope, batch: JobBatch): Promise<boolean> {
    return (await this.#job(scope, batch)) !== undefined;
  }

  /**
   * Reads the results so far.
   *
   * @throws Error when the batch is missing in Redis: after a crash of its machine, Redis may have lost its last second
   */
  async results(scope: BatchScope, batch: JobBatch): Promise<BatchResults> {
    const job = await this.#job(scope, batch);
    if (!job) {
      throw new Error(`Batch ${batch.number} of stage "${scope.stage}" of run ${scope.run} is no longer in Redis.`);
    }
    const [done, failed] = await Promise.all([job.getChildrenValues(), job.getIgnoredChildrenFailures()]);
    const byIndex = <Value>(values: Readonly<Record<string, Value>>) =>
      Object.entries(values).map(([key, value]) => [indexOfJob(key), value] as const);
    return { done: byIndex(done), failed: byIndex(failed) };
  }

  /**
   * What is known about an item that failed for good.
   *
   * @param reason BullMQ's: all there is when the job is no longer kept, or its workers ended before they could say why
   */
  async failedItem(
    scope: BatchScope,
    index: number,
    reason: string,
    { model }: Pick<BatchOptions, 'model'>,
  ): Promise<Omit<FailedItem, 'reference'>> {
    const job = await Job.fromId<StepJob>(this.steps.named(stepsQueueName(model)), jobIds.step({ ...scope, index }));
    const id = itemId(scope.stage, index);
    const { value = null, failure } = job?.data ?? {};
    const error = failure?.error ?? toRunError(lostError(`${scope.run}/${id}`, reason), `${scope.run}/${id}`);
    const attempts = Number(error.details['attempts'] ?? Math.max(1, job?.stalledCounter ?? 1));
    const worker = failure && { worker: failure.worker };
    return { id, value, error, attempts, ...worker, at: job?.finishedOn ?? Date.now() };
  }

  /** Removes a batch with its remaining items. Returns `false` if a worker holds the lock of one of them. */
  async remove(scope: BatchScope, batch: Pick<JobBatch, 'number'>): Promise<boolean> {
    const job = await this.#job(scope, batch);
    if (!job) return true;
    try {
      await job.removeUnprocessedChildren();
      await job.remove({ removeChildren: true });
      return true;
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    const closed = [this.#flows.close(), this.#batches.close(), this.steps.close()];
    await Promise.allSettled(closed);
  }

  async #job(scope: BatchScope, { number }: Pick<JobBatch, 'number'>): Promise<Job | undefined> {
    return Job.fromId(this.#batches, jobIds.batch({ ...scope, batch: number }));
  }
}

/** The error of an item that BullMQ has failed: its workers have not said why. */
function lostError(step: string, reason: string): SentvecError {
  const message = reason.includes('stalled')
    ? `Step "${step}" could not be finished: every worker that executed it crashed or froze. Look for the cause in the system log, for example running out of memory.`
    : `Step "${step}" could not be finished: ${reason}.`;
  return new SentvecError('step-failed', message, { step });
}
