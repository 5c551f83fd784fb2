// The client of a queue: starts, finds and lists runs. Workers execute them.
import { SentvecError } from '@sentvec/core';
import {
  busyError,
  checkInput,
  checkRunId,
  hasEnded,
  identifyRequest,
  newRunId,
  otherRequestError,
  plainInput,
  type Request,
  type RunHandle,
  type RunStatus,
  type Runtime,
  type StartOptions,
  type Workflow,
} from '@sentvec/workflow';
import { checkCount, checkMaxFailed, checkOptionNames, type OptionNames } from '@sentvec/platform';
import type { Telemetry } from 'bullmq';
import { connectRedis, defaultRedisUrl } from './connection.ts';
import type { RedisTls } from './redis-tls.ts';
import type { QueueClient } from './queue-client.ts';
import { QueueRun } from './queue-run.ts';
import type { Schedule, ScheduleOptions } from './schedules.ts';
import type { WorkerFacts } from './worker-registry.ts';

/** Options of {@link queueRuntime}. */
export interface QueueRuntimeOptions {
  /**
   * See {@link connectRedis}.
   *
   * @default 'redis://127.0.0.1:6379'
   */
  readonly url?: string | undefined;
  /** TLS options, for a URL with a TLS scheme. @default see {@link RedisTls} */
  readonly tls?: RedisTls | undefined;
  /**
   * Name of the queue. Each worker serves one queue; several queues can share a Redis.
   *
   * @default 'sentvec'
   */
  readonly queue?: string | undefined;
  /**
   * Retention time in seconds: how long a run can be found after it has ended.
   *
   * @default 604800, 7 days
   */
  readonly retentionSeconds?: number | undefined;
  /**
   * Timeout in milliseconds for connecting to Redis. The default is short, for interactive programs; a service that
   * starts together with Redis may need more.
   *
   * @default 800
   */
  readonly connectTimeout?: number | undefined;
  /** OpenTelemetry: `new BullMQOtel(…)` of `bullmq-otel`. The traces continue in the workers. */
  readonly telemetry?: Telemetry | undefined;
}

const optionNames: OptionNames<QueueRuntimeOptions> = {
  url: true,
  tls: true,
  queue: true,
  retentionSeconds: true,
  connectTimeout: true,
  telemetry: true,
};

/** A runtime whose runs are executed by the workers of a queue. */
export interface QueueRuntime extends Runtime {
  /** The workers that send heartbeats. @throws SentvecError `queue-unavailable` */
  workers(): Promise<readonly WorkerFacts[]>;
  /**
   * Runs a workflow on a schedule. Each time starts a new run, whose id is the name of the schedule with the time in
   * UTC. The run is skipped if the previous one has not ended, or if another run writes the same output.
   *
   * @throws SentvecError `invalid-argument` when the input does not match the workflow's schema, or when the cron
   * expression is invalid or never matches; `queue-unavailable`
   */
  schedule<Input, Output>(workflow: Workflow<Input, Output>, input: Input, options: ScheduleOptions): Promise<Schedule>;
  /** All schedules, by name. @throws SentvecError `queue-unavailable` */
  schedules(): Promise<readonly Schedule[]>;
  /**
   * Removes a schedule. A run that it has started continues.
   *
   * @returns whether there was a schedule with this name
   * @throws SentvecError `queue-unavailable`
   */
  unschedule(name: string): Promise<boolean>;
}

/** The default name of the queue. */
export const defaultQueue = 'sentvec';

/** Default retention time in seconds: 7 days. */
export const defaultRetentionSeconds: number = 7 * 24 * 3600;

/**
 * Creates a runtime that runs workflows on the workers of a queue. It executes nothing in this process; see
 * {@link startQueueWorker}.
 *
 * @throws SentvecError `queue-unavailable` within `connectTimeout`, when Redis is unreachable or may lose jobs;
 * `invalid-argument`
 */
export async function queueRuntime(options: QueueRuntimeOptions = {}): Promise<QueueRuntime> {
  checkOptionNames('queueRuntime()', options, optionNames);
  const {
    url = defaultRedisUrl,
    queue = defaultQueue,
    retentionSeconds = defaultRetentionSeconds,
    connectTimeout,
    tls,
    telemetry,
  } = options;
  checkQueueName(queue);
  checkCount(retentionSeconds, 'retentionSeconds');
  const redis = await connectRedis(url, 'producer', { timeout: connectTimeout, tls });
  // Importing BullMQ takes half a second, so a missing Redis is reported before.
  const { QueueClient } = await import('./queue-client.ts');
  return new BullMQRuntime(new QueueClient(redis, { url, queue, retentionSeconds, telemetry }));
}

/** @throws SentvecError `invalid-argument` */
export function checkQueueName(queue: string): void {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(queue)) return;
  throw new SentvecError(
    'invalid-argument',
    `"${queue}" is not a valid name of a queue. Use up to 64 letters, digits, "-" and "_".`,
  );
}

class BullMQRuntime implements QueueRuntime {
  readonly name = 'bullmq';
  readonly #client: QueueClient;

  constructor(client: QueueClient) {
    this.#client = client;
  }

  async start<Input, Output>(
    workflow: Workflow<Input, Output>,
    input: Input,
    options: StartOptions = {},
  ): Promise<RunHandle<Output>> {
    const { maxFailed } = options;
    if (maxFailed !== undefined) checkMaxFailed(maxFailed);
    const plain = plainInput(workflow, input);
    const checked = await checkInput(workflow, plain);
    const request = await identifyRequest(workflow, checked);
    const priority = checkPriority(options.priority ?? 100);
    const id = checkRunId(options.id ?? newRunId());
    const run = { id, workflow: workflow.id, input: plain, priority, maxFailed, request };
    const created = await this.#client.withStore((store) => store.create(run));
    if (created.reply === 'busy') throw busyError(created.run, created.written);
    return (await this.#obtain(created.reply === 'same' ? created.run : id, request)) as RunHandle<Output>;
  }

  /** The handle of a run that was just created or existed before. */
  async #obtain(id: string, request: Request): Promise<RunHandle> {
    const run = await this.find(id);
    if (!run)
      throw new SentvecError('run-not-found', `Run ${id} has just ended and was removed. Start it again.`, { run: id });
    const [{ state }, earlier] = await Promise.all([
      run.status(),
      this.#client.withStore((store) => store.readRequest(id)),
    ]);
    if (earlier.input !== request.input) throw otherRequestError(id, 'input');
    if (state === 'completed' && earlier.content !== request.content) throw otherRequestError(id, 'content');
    if (hasEnded(state) && state !== 'completed') await run.replay();
    // Also for an existing run, because its producer may have died before it added the run to the queue.
    if (state === 'queued') await this.#client.enqueue({ run: id, attempt: run.attempt });
    return run;
  }

  async find(id: string): Promise<RunHandle | undefined> {
    const found = await this.#client.withStore((store) => store.readPosition(id));
    return found && new QueueRun(id, found.attempt, this.#client);
  }

  async list({ limit = 100 }: { limit?: number } = {}): Promise<readonly RunStatus[]> {
    checkCount(limit, 'limit');
    return this.#client.withNotices(await this.#client.withStore((store) => store.list(limit)));
  }

  async workers(): Promise<readonly WorkerFacts[]> {
    return this.#client.workers();
  }

  async schedule<Input, Output>(
    workflow: Workflow<Input, Output>,
    input: Input,
    options: ScheduleOptions,
  ): Promise<Schedule> {
    // Imported late, because it needs BullMQ's cron parser, and importing BullMQ takes half a second.
    const { checkSchedule } = await import('./schedules.ts');
    const times = checkSchedule(options);
    const priority = checkPriority(options.priority ?? 100);
    const plain = plainInput(workflow, input);
    const { input: inputHash, writes } = await identifyRequest(workflow, await checkInput(workflow, plain));
    const { maxFailed } = options;
    const job = { schedule: options.name, workflow: workflow.id, input: plain, priority, maxFailed, inputHash, writes };
    return this.#client.withSchedules(async (schedules) => {
      await schedules.set(job, times);
      const found = (await schedules.list()).find(({ name }) => name === options.name);
      if (found) return found;
      const message = `The schedule ${options.name} was removed while it was being created. Create it again.`;
      throw new SentvecError('invalid-argument', message, { schedule: options.name });
    });
  }

  async schedules(): Promise<readonly Schedule[]> {
    return this.#client.withSchedules((schedules) => schedules.list());
  }

  async unschedule(name: string): Promise<boolean> {
    return this.#client.withSchedules((schedules) => schedules.remove(name));
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}

function checkPriority(priority: number): number {
  if (Number.isInteger(priority) && priority >= 1 && priority <= 1000) return priority;
  throw new SentvecError(
    'invalid-argument',
    `The priority of a run must be a whole number from 1 (first) to 1000, not ${priority}.`,
  );
}
