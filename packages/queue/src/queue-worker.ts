import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { silentLogger, type AnyWorkflow, type Logger } from '@sentvec/workflow';
import { QueueEvents, Worker, type Processor, type Telemetry } from 'bullmq';
import { connectRedis, defaultRedisUrl, within, type RedisConnection } from './connection.ts';
import { namesOf, queueNames, type QueueNames } from './names.ts';
import { checkQueueName, defaultQueue, defaultRetentionSeconds } from './queue-runtime.ts';
import { defaultRecovery, lockRenewTime, type RecoverySettings } from './recovery-settings.ts';
import { Refusals } from './refusals.ts';
import { RunMonitor } from './run-monitor.ts';
import { RunProcessor } from './run-processor.ts';
import { RunStore } from './run-store.ts';
import { StepProcessor } from './step-processor.ts';
import { WaveProcessor } from './wave-processor.ts';
import { WaveQueue } from './wave-queue.ts';
import type { WorkerObserver, WorkerParts } from './worker-parts.ts';

/** Options of {@link startQueueWorker}. */
export interface QueueWorkerOptions {
  /** What the worker can run. A job of another workflow is refused. */
  readonly workflows: readonly AnyWorkflow[];
  /** See {@link connectRedis}. Default `redis://127.0.0.1:6379`. */
  readonly url?: string;
  /** Default `sentvec`. */
  readonly queue?: string;
  /** Steps at once. Default 2. */
  readonly concurrency?: number;
  /**
   * The most unfinished items of a stage in Redis. At least twice the hands of the whole fleet keeps all busy. Default
   * 512.
   */
  readonly window?: number;
  /** The most steps that begin in so many milliseconds, over all workers of the queue. Default: no limit. */
  readonly rateLimit?: { readonly max: number; readonly duration: number };
  /** Seconds for which a run that has ended can still be found. Default 7 days. */
  readonly retentionSeconds?: number;
  /** How quickly the work of a dead worker is taken over. */
  readonly recovery?: Partial<RecoverySettings>;
  readonly logger?: Logger;
  readonly observer?: WorkerObserver;
  /** OpenTelemetry: `new BullMQOtel(…)` of `bullmq-otel`. */
  readonly telemetry?: Telemetry;
}

/** Runs coordinated by one worker at once. They wait most of the time. */
const coordinations = 32;

/**
 * Serves a queue: takes its jobs and executes their steps in this process, until it is stopped.
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
    const store = new RunStore(redis, this.names, retentionSeconds);
    this.#parts = {
      id: this.id,
      store,
      queue: new WaveQueue(redis, this.names.prefix, options.telemetry),
      monitor: new RunMonitor(store),
      refusals: new Refusals(redis, this.names),
      workflows: new Map(workflows.map((workflow) => [workflow.id, workflow])),
      logger,
      observer: options.observer ?? {},
      window,
    };
    this.#runs = new RunProcessor(this.#parts);
    this.#steps = new StepProcessor(this.#parts);
    const waves = new WaveProcessor(this.#parts);
    const base = { ...defaultRecovery, ...options.recovery, telemetry: options.telemetry };
    // A coordinator is never to blame for the death of its worker.
    const patient = { ...base, maxStalledCount: 1_000_000 };
    const limited = { ...base, concurrency, limiter: options.rateLimit };
    const runsWorker = this.#worker(queueNames.runs, this.#runs.process, { ...patient, concurrency: coordinations });
    const wavesWorker = this.#worker(queueNames.waves, waves.process, { ...patient, concurrency: coordinations });
    const stepsWorker = this.#worker(queueNames.steps, this.#steps.process, limited);
    wavesWorker.on('completed', (job) => void waves.completed(job));
    runsWorker.on('lockRenewalFailed', (ids) => this.#runs.work.interrupt('lock lost', ids));
    stepsWorker.on('lockRenewalFailed', (ids) => this.#steps.work.interrupt('lock lost', ids));
    this.#workers = [stepsWorker, runsWorker, wavesWorker];
    this.#events = new QueueEvents(queueNames.waves, {
      connection: redis,
      prefix: this.names.prefix,
      skipVersionCheck: true,
    });
    this.#events.on('error', () => {});
    this.#events.on('completed', ({ jobId }) => this.#runs.wake(jobId));
    this.#events.on('failed', ({ jobId }) => this.#runs.wake(jobId));
  }

  /** Steps in progress. */
  get active(): number {
    return this.#steps.work.size;
  }

  /** Whether it takes jobs and Redis can be reached. */
  get isServing(): boolean {
    return (
      this.#stopping === undefined &&
      this.redis.status === 'ready' &&
      this.#workers.every((worker) => worker.isRunning())
    );
  }

  async ready(): Promise<void> {
    await Promise.all([...this.#workers, this.#events].map((part) => part.waitUntilReady()));
  }

  /**
   * Takes no more jobs; waits for its steps until shortly before the deadline, and gives what is left back to the
   * queue.
   *
   * @param deadline milliseconds for everything: at least half of them, and all but three seconds, are for the steps.
   * Default 30,000.
   */
  async stop(deadline = 30_000): Promise<void> {
    this.#stopping ??= this.#stop(deadline);
    return this.#stopping;
  }

  async #stop(deadline: number): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.pause(true)));
    // Coordinators have nothing to finish: another worker goes on from their checkpoints at once.
    this.#runs.work.interrupt('stopping');
    const patience = Math.max(deadline / 2, deadline - 3000);
    // BullMQ ends gracefully only with a Redis. Without one, there is nobody to wait for but the steps in progress.
    const isGraceful = this.redis.status === 'ready';
    const ended = isGraceful ? this.#close(false) : this.#steps.work.ended();
    await within(ended, patience).catch(() => this.#steps.work.interrupt('stopping'));
    // What still does not end does not heed its signal. Its lock will expire.
    await within(ended, 1500).catch((error: unknown) => this.#parts.logger.warn({ error }, 'steps were left behind'));
    this.#parts.monitor.close();
    const closed = [this.#parts.queue.close(), this.#events.close(), isGraceful ? ended : this.#close(true)];
    await within(Promise.allSettled(closed), 1000).catch(() => {});
    this.redis.disconnect();
  }

  async #close(force: boolean): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.close(force)));
  }

  #worker(name: string, processor: Processor, { telemetry, limiter, ...options }: WorkerSettings): Worker {
    const { logger, observer } = this.#parts;
    const worker = new Worker(name, processor, {
      ...options,
      lockRenewTime: lockRenewTime(options),
      ...(telemetry && { telemetry }),
      ...(limiter && { limiter }),
      connection: this.redis,
      prefix: this.names.prefix,
      name: this.id,
      skipVersionCheck: true,
      runRetryDelay: 1000,
    });
    worker.on('error', (error) => logger.warn({ queue: name, error: error.message }, 'the queue reports an error'));
    worker.on('stalled', (job) => {
      logger.warn({ queue: name, job }, 'a job of a dead or frozen worker was recovered');
      observer.recovered?.(job);
    });
    return worker;
  }
}

interface WorkerSettings extends RecoverySettings {
  readonly concurrency: number;
  readonly telemetry: Telemetry | undefined;
  readonly limiter?: { readonly max: number; readonly duration: number } | undefined;
}
