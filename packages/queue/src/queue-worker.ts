// A worker: takes jobs from the three queues and hands them to their processors, until it is stopped.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { silentLogger, type AnyWorkflow, type Logger } from '@sentvec/workflow';
import { QueueEvents, Worker, type Processor, type Telemetry } from 'bullmq';
import { connectRedis, defaultRedisUrl, within, type RedisConnection } from './connection.ts';
import { namesOf, queueNames, type QueueNames } from './names.ts';
import { checkQueueName, defaultQueue, defaultRetentionSeconds } from './queue-runtime.ts';
import { defaultRecovery, lockRenewTime, type RecoverySettings } from './recovery-settings.ts';
import { ParkedJobs } from './parked-jobs.ts';
import { RateLimit, type RateLimitSetting } from './rate-limit.ts';
import { RefusedJobs } from './refused-jobs.ts';
import { RunWatcher } from './run-watcher.ts';
import { RunProcessor } from './run-processor.ts';
import { RunStore } from './run-store.ts';
import { StepProcessor } from './step-processor.ts';
import { BatchProcessor } from './batch-processor.ts';
import { BatchQueue } from './batch-queue.ts';
import type { WorkerObserver, WorkerParts } from './worker-parts.ts';

/** Options of {@link startQueueWorker}. */
export interface QueueWorkerOptions {
  /** The workflows that the worker serves. It refuses jobs of others. */
  readonly workflows: readonly AnyWorkflow[];
  /**
   * See {@link connectRedis}.
   *
   * @default 'redis://127.0.0.1:6379'
   */
  readonly url?: string | undefined;
  /** @default 'sentvec' */
  readonly queue?: string | undefined;
  /**
   * How many steps the worker executes at once.
   *
   * @default 2
   */
  readonly concurrency?: number | undefined;
  /**
   * The most unfinished items of a stage in Redis. Twice the concurrency of all workers together keeps them busy.
   *
   * @default 512
   */
  readonly window?: number | undefined;
  /**
   * Sets the rate limit of the queue, which holds for all its workers until another limit is set.
   *
   * @default leaves it as it is
   */
  readonly rateLimit?: RateLimitSetting | undefined;
  /**
   * Seconds for which a run can be found after it has ended.
   *
   * @default 604800, 7 days
   */
  readonly retentionSeconds?: number | undefined;
  readonly recovery?: Partial<RecoverySettings> | undefined;
  /** @default logs nothing */
  readonly logger?: Logger | undefined;
  readonly observer?: WorkerObserver | undefined;
  /** OpenTelemetry: `new BullMQOtel(…)` of `bullmq-otel`. */
  readonly telemetry?: Telemetry | undefined;
}

/** How many runs a worker coordinates at once. A coordinator waits most of the time. */
const runConcurrency = 32;

/**
 * Starts a worker that executes the steps of a queue in this process, until it is stopped.
 *
 * @throws SentvecError `queue-unavailable`, `invalid-argument`
 */
export async function startQueueWorker(options: QueueWorkerOptions): Promise<QueueWorker> {
  checkQueueName(options.queue ?? defaultQueue);
  const redis = await connectRedis(options.url ?? defaultRedisUrl, 'worker');
  const worker = new QueueWorker(redis, options);
  await worker.ready();
  return worker;
}

/** A worker of a queue. Made by {@link startQueueWorker}. */
export class QueueWorker {
  /** Unique: host, process and a few random digits. */
  readonly id: string = `${hostname()}-${process.pid}-${randomUUID().slice(0, 4)}`;
  readonly names: QueueNames;
  readonly redis: RedisConnection;
  readonly #parts: WorkerParts;
  readonly #runs: RunProcessor;
  readonly #steps: StepProcessor;
  readonly #workers: readonly Worker[];
  readonly #events: QueueEvents;
  readonly #rateLimit: RateLimitSetting | undefined;
  #stopping: Promise<void> | undefined;

  constructor(redis: RedisConnection, options: QueueWorkerOptions) {
    const {
      workflows,
      concurrency = 2,
      window = 512,
      retentionSeconds = defaultRetentionSeconds,
      logger = silentLogger,
    } = options;
    this.redis = redis;
    this.names = namesOf(options.queue ?? defaultQueue);
    this.#rateLimit = options.rateLimit;
    const store = new RunStore(redis, this.names, retentionSeconds);
    const queue = new BatchQueue(redis, this.names.prefix, options.telemetry);
    this.#parts = {
      id: this.id,
      store,
      queue,
      parked: new ParkedJobs(redis, this.names, queue.steps),
      rateLimit: new RateLimit(redis, this.names),
      watcher: new RunWatcher(store),
      refusedJobs: new RefusedJobs(redis, this.names),
      workflows: new Map(workflows.map((workflow) => [workflow.id, workflow])),
      logger,
      observer: options.observer ?? {},
      window,
    };
    this.#runs = new RunProcessor(this.#parts);
    this.#steps = new StepProcessor(this.#parts);
    const batches = new BatchProcessor(this.#parts);
    const base = { ...defaultRecovery, ...options.recovery, telemetry: options.telemetry };
    // A coordinator may be lost with its worker any number of times: it executes nothing that could be the cause.
    const neverStalled = { ...base, maxStalledCount: 1_000_000 };
    const runsWorker = this.#worker(queueNames.runs, this.#runs.process, {
      ...neverStalled,
      concurrency: runConcurrency,
    });
    const batchesWorker = this.#worker(queueNames.batches, batches.process, {
      ...neverStalled,
      concurrency: runConcurrency,
    });
    const stepsWorker = this.#worker(queueNames.steps, this.#steps.process, { ...base, concurrency });
    batchesWorker.on('completed', (job) => void batches.completed(job));
    runsWorker.on('lockRenewalFailed', (ids) => this.#runs.active.interrupt('lock lost', ids));
    stepsWorker.on('lockRenewalFailed', (ids) => this.#steps.active.interrupt('lock lost', ids));
    this.#workers = [stepsWorker, runsWorker, batchesWorker];
    this.#events = new QueueEvents(queueNames.batches, {
      connection: redis,
      prefix: this.names.prefix,
      skipVersionCheck: true,
    });
    this.#events.on('error', () => {});
    this.#events.on('completed', ({ jobId }) => this.#runs.wake(jobId));
    this.#events.on('failed', ({ jobId }) => this.#runs.wake(jobId));
  }

  /** How many steps are active. */
  get active(): number {
    return this.#steps.active.size;
  }

  /** Whether the worker takes jobs and Redis can be reached. */
  get isServing(): boolean {
    return (
      this.#stopping === undefined &&
      this.redis.status === 'ready' &&
      this.#workers.every((worker) => worker.isRunning())
    );
  }

  async ready(): Promise<void> {
    if (this.#rateLimit) await this.#parts.rateLimit.set(this.#rateLimit);
    await Promise.all([...this.#workers, this.#events].map((part) => part.waitUntilReady()));
  }

  /**
   * Takes no more jobs, waits for the active steps until shortly before the deadline, then puts the remaining ones back
   * into the queue.
   *
   * @param deadline milliseconds for everything. The steps get half of them, or all but three seconds when that is more.
   *   @default 30_000
   */
  async stop(deadline = 30_000): Promise<void> {
    this.#stopping ??= this.#stop(deadline);
    return this.#stopping;
  }

  async #stop(deadline: number): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.pause(true)));
    // A coordinator has nothing to finish: another worker goes on from its checkpoints at once.
    this.#runs.active.interrupt('stopping');
    const stepTimeout = Math.max(deadline / 2, deadline - 3000);
    // BullMQ closes gracefully only with Redis. Without it, only the active steps are waited for.
    const isGraceful = this.redis.status === 'ready';
    const ended = isGraceful ? this.#close(false) : this.#steps.active.idle();
    await within(ended, stepTimeout).catch(() => this.#steps.active.interrupt('stopping'));
    // A step that is still active ignores its signal. Its lock will expire.
    await within(ended, 1500).catch((error: unknown) =>
      this.#parts.logger.warn({ error }, 'steps did not end before the deadline'),
    );
    this.#parts.watcher.close();
    const closed = [this.#parts.queue.close(), this.#events.close(), isGraceful ? ended : this.#close(true)];
    await within(Promise.allSettled(closed), 1000).catch(() => {});
    this.redis.disconnect();
  }

  async #close(force: boolean): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.close(force)));
  }

  #worker(name: string, processor: Processor, { telemetry, ...options }: WorkerSettings): Worker {
    const { logger, observer } = this.#parts;
    const worker = new Worker(name, processor, {
      ...options,
      lockRenewTime: lockRenewTime(options),
      ...(telemetry && { telemetry }),
      connection: this.redis,
      prefix: this.names.prefix,
      name: this.id,
      skipVersionCheck: true,
      runRetryDelay: 1000,
    });
    worker.on('error', (error) => logger.warn({ queue: name, error: error.message }, 'BullMQ reports an error'));
    worker.on('stalled', (job) => {
      logger.warn({ queue: name, job }, 'recovered a job of a dead or frozen worker');
      observer.recovered?.(job);
    });
    return worker;
  }
}

interface WorkerSettings extends RecoverySettings {
  readonly concurrency: number;
  readonly telemetry: Telemetry | undefined;
}
