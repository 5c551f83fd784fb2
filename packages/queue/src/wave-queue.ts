import { SentvecError } from '@sentvec/core';
import type { AnyStep, AnyWorkflow } from '@sentvec/workflow';
import { FlowProducer, Job, Queue, type Telemetry } from 'bullmq';
import type { RedisConnection } from './connection.ts';
import { indexOf, jobIds, type StepJob, type WaveJob } from './jobs.ts';
import { queueNames } from './names.ts';

/** Items that were put into the queue together: the children of one BullMQ flow. */
export interface Wave {
  /** Counted from 0 within its stage. */
  readonly wave: number;
  /** Index of its first item. */
  readonly first: number;
  readonly count: number;
}

/** Which stage of which round a wave belongs to. */
export type WaveScope = Pick<WaveJob, 'run' | 'round' | 'stage'>;

/** What the jobs of a wave share. */
export interface WaveOptions {
  readonly body: AnyStep | AnyWorkflow;
  readonly priority: number;
}

const keptFailures = { count: 1000, age: 7 * 24 * 3600 };

/**
 * Waves as BullMQ flows: added whole or not at all, and their parents keep the children's results until they are taken
 * away.
 */
export class WaveQueue {
  readonly #flows: FlowProducer;
  readonly #waves: Queue;

  constructor(connection: RedisConnection, prefix: string, telemetry: Telemetry | undefined) {
    const options = { connection, prefix, skipVersionCheck: true, ...(telemetry && { telemetry }) };
    this.#flows = new FlowProducer(options);
    this.#waves = new Queue(queueNames.waves, options);
    this.#flows.on('error', () => {});
    this.#waves.on('error', () => {});
  }

  /** Adds a wave with its items; adding it twice adds it once. */
  async add(
    scope: WaveScope,
    { wave, first }: Wave,
    items: readonly unknown[],
    { body, priority }: WaveOptions,
  ): Promise<void> {
    const options = {
      ...attemptsOf(body),
      priority,
      failParentOnFailure: true,
      removeOnComplete: true,
      removeOnFail: keptFailures,
    };
    const children = items.map((value, offset) => {
      const data: StepJob = { ...scope, index: first + offset, value };
      return { name: scope.stage, queueName: queueNames.steps, data, opts: { ...options, jobId: jobIds.step(data) } };
    });
    const data: WaveJob = { ...scope, wave };
    const opts = {
      jobId: jobIds.wave(data),
      removeOnFail: keptFailures,
      attempts: 1000,
      backoff: { type: 'fixed', delay: 1000 },
    };
    await this.#flows.add({ name: scope.stage, queueName: queueNames.waves, data, opts, children });
  }

  async exists(scope: WaveScope, { wave }: Wave): Promise<boolean> {
    return (await this.#job(scope, wave)) !== undefined;
  }

  /**
   * The results so far: pairs of an item's index and its result.
   *
   * @throws SentvecError `step-failed` when the wave has failed, which an item does that goes down with its worker
   * again and again; Error when there is no such wave: a Redis that crashed with its machine may have lost its last
   * second
   */
  async results(scope: WaveScope, { wave }: Wave): Promise<readonly (readonly [number, unknown])[]> {
    const job = await this.#job(scope, wave);
    if (!job) throw new Error(`Wave ${wave} of stage "${scope.stage}" of run ${scope.run} is gone from Redis.`);
    if (job.failedReason) {
      const step = `${scope.run}/${scope.stage}`;
      throw new SentvecError(
        'step-failed',
        `An item of stage "${scope.stage}" could not be finished: ${job.failedReason}.`,
        { step },
      );
    }
    return Object.entries(await job.getChildrenValues()).map(([key, result]) => [indexOf(key), result]);
  }

  /** Takes a wave away with what is left of its items. False while one of them is locked by a worker. */
  async remove(scope: WaveScope, { wave }: Pick<Wave, 'wave'>): Promise<boolean> {
    const job = await this.#job(scope, wave);
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
    await Promise.all([this.#flows.close(), this.#waves.close()].map((closed) => closed.catch(() => {})));
  }

  async #job(scope: WaveScope, wave: number): Promise<Job | undefined> {
    return Job.fromId(this.#waves, jobIds.wave({ ...scope, wave }));
  }
}

/** A nested workflow retries its steps itself, in the worker that has the item. */
function attemptsOf(body: AnyStep | AnyWorkflow) {
  if (body.kind === 'workflow') return { attempts: 1 };
  const { attempts, delay, jitter } = body.retry;
  return { attempts, backoff: { type: 'exponential', delay, jitter } };
}
