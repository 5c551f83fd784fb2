// A worker: takes jobs from the three queues and passes them to their processors, until it is stopped.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { SentvecError } from '@sentvec/core';
import { checkCount, checkOptionNames, type OptionNames } from '@sentvec/platform';
import { silentLogger, workflowVersion, type AnyWorkflow, type Logger } from '@sentvec/workflow';
import { QueueEvents, Worker, type Processor, type Queue, type Telemetry } from 'bullmq';
import {
  connectRedis,
  defaultRedisUrl,
  isDenial,
  reasonOf,
  within,
  workerTimeout,
  type RedisConnection,
} from './connection.ts';
import { namesOf, queueNames, type QueueNames } from './names.ts';
import { checkQueueName, defaultQueue, defaultRetentionSeconds } from './queue-runtime.ts';
import { declineDelay } from './declined-jobs.ts';
import { addRunJob } from './jobs.ts';
import { defaultRecovery, lockRenewTime, type RecoverySettings } from './recovery-settings.ts';
import { ParkedJobs } from './parked-jobs.ts';
import { checkRateLimit, RateLimit, type RateLimitSetting } from './rate-limit.ts';
import type { RedisTls } from './redis-tls.ts';
import { RefusedJobs } from './refused-jobs.ts';
import { RunWatcher } from './run-watcher.ts';
import { RunProcessor } from './run-processor.ts';
import { openRunQueue } from './run-queue.ts';
import { RunStore } from './run-store.ts';
import { Schedules } from './schedules.ts';
import { StepProcessor } from './step-processor.ts';
import { BatchProcessor } from './batch-processor.ts';
import { BatchQueue } from './batch-queue.ts';
import type { WorkerObserver, WorkerParts } from './worker-parts.ts';
import { servesModel, type PinnedModel, type ServedModel } from './served-models.ts';
import { stepsQueueName } from './step-queues.ts';
import { pinnedModels, WorkerRegistry, type WorkerFacts } from './worker-registry.ts';

/** Options of {@link startQueueWorker}. */
export interface QueueWorkerOptions {
  /** The workflows that the worker executes. It refuses jobs of other workflows. */
  readonly workflows: readonly AnyWorkflow[];
  /**
   * See {@link connectRedis}.
   *
   * @default 'redis://127.0.0.1:6379'
   */
  readonly url?: string | undefined;
  /** TLS options, for a URL with a TLS scheme. @default see {@link RedisTls} */
  readonly tls?: RedisTls | undefined;
  /** @default 'sentvec' */
  readonly queue?: string | undefined;
  /**
   * Maximum number of concurrent steps.
   *
   * @default 2
   */
  readonly concurrency?: number | undefined;
  /**
   * Maximum number of unfinished items of a stage in Redis. If twice the total concurrency of all workers is more, that
   * number is used, so that all workers have work.
   *
   * @default 512
   */
  readonly window?: number | undefined;
  /**
   * Sets the rate limit of the queue. It applies to all workers until another limit is set.
   *
   * @default the limit does not change
   */
  readonly rateLimit?: RateLimitSetting | undefined;
  /**
   * Seconds for which a run can be found after it has ended.
   *
   * @default 604800, 7 days
   */
  readonly retentionSeconds?: number | undefined;
  readonly recovery?: Partial<RecoverySettings> | undefined;
  /**
   * Returns the models of this worker; called at each heartbeat. The worker executes steps of runs that need one of these
   * models, or no model. Call {@link QueueWorker.modelsChanged} when they change.
   *
   * @default unknown: while such a worker has a workflow, the steps of its new runs are for all workers
   */
  readonly models?: (() => readonly ServedModel[]) | undefined;
  /** @default no logging */
  readonly logger?: Logger | undefined;
  readonly observer?: WorkerObserver | undefined;
  /** Returns counters of the application, which the worker reports in its heartbeats. */
  readonly counts?: (() => Readonly<Record<string, number>>) | undefined;
  /** OpenTelemetry: `new BullMQOtel(…)` of `bullmq-otel`. */
  readonly telemetry?: Telemetry | undefined;
}

const optionNames: OptionNames<QueueWorkerOptions> = {
  workflows: true,
  url: true,
  tls: true,
  queue: true,
  concurrency: true,
  window: true,
  rateLimit: true,
  retentionSeconds: true,
  recovery: true,
  models: true,
  logger: true,
  observer: true,
  counts: true,
  telemetry: true,
};

/** Milliseconds between two heartbeats. */
const heartbeatInterval = 2000;

/** After declining this many steps in a row, a worker is set aside for a while. */
const maxDeclines = 3;

/** Minimum and maximum time for which a worker is set aside, in milliseconds. */
const setAsideTime = { min: 5000, max: 60_000 };

/** How many runs a worker coordinates concurrently. Coordinators mostly wait. */
const runConcurrency = 32;

/**
 * Starts a worker that executes the steps of a queue in this process, until it is stopped.
 *
 * @throws SentvecError `queue-unavailable`, `invalid-argument`
 */
export async function startQueueWorker(options: QueueWorkerOptions): Promise<QueueWorker> {
  checkOptionNames('startQueueWorker()', options, optionNames);
  checkQueueName(options.queue ?? defaultQueue);
  checkWorkerOptions(options);
  const redis = await connectRedis(options.url ?? defaultRedisUrl, 'worker', { tls: options.tls });
  const worker = new QueueWorker(redis, options);
  try {
    await within(worker.ready(), workerTimeout);
  } catch (error) {
    // Otherwise it would process jobs, but the caller has no handle to stop it.
    await worker.stop(1000);
    if (SentvecError.is(error)) throw error;
    const message = `This worker cannot use its Redis: ${reasonOf(error)}.`;
    throw new SentvecError('queue-unavailable', message, {}, { cause: error });
  }
  return worker;
}

/** @throws SentvecError `invalid-argument` for numbers out of range, and for two workflows with the same id */
function checkWorkerOptions({ workflows, concurrency, window, retentionSeconds, rateLimit }: QueueWorkerOptions): void {
  for (const [name, value] of Object.entries({ concurrency, window, retentionSeconds }))
    if (value !== undefined) checkCount(value, name);
  if (rateLimit) checkRateLimit(rateLimit);
  const ids = workflows.map(({ id }) => id);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice === undefined) return;
  throw new SentvecError('invalid-argument', `Two workflows of this worker have the id "${twice}".`, {
    workflow: twice,
  });
}

/** A worker of a queue. Made by {@link startQueueWorker}. */
export class QueueWorker {
  /** Unique id: host, process id and a few random digits. */
  readonly id: string = `${hostname()}-${process.pid}-${randomUUID().slice(0, 4)}`;
  readonly names: QueueNames;
  readonly redis: RedisConnection;
  readonly #parts: WorkerParts;
  readonly #runs: RunProcessor;
  readonly #steps: StepProcessor;
  /** The BullMQ workers of steps, by the names of their queues. */
  readonly #stepsWorkers = new Map<string, Worker>();
  /** BullMQ workers of models that were removed, whose active steps have not ended. */
  readonly #closing = new Set<Worker>();
  readonly #otherWorkers: readonly Worker[];
  readonly #stepSettings: WorkerSettings;
  /** Of the batches. Only a coordinator listens: what happens to a batch would wake up every worker of the fleet. */
  #events: QueueEvents | undefined;
  readonly #runQueue: Queue;
  readonly #options: QueueWorkerOptions;
  #fleet: readonly WorkerFacts[] = [];
  #startedAt = 0;
  #heartbeats: NodeJS.Timeout | undefined;
  #declines = 0;
  #setAside: string | undefined;
  #stepsPaused = false;
  #isListed = false;
  #deniedAt = -Infinity;
  #stopping: Promise<void> | undefined;

  constructor(redis: RedisConnection, options: QueueWorkerOptions) {
    const { workflows, concurrency = 2, window = 512, logger = silentLogger, models = () => undefined } = options;
    const { retentionSeconds = defaultRetentionSeconds, observer = {} } = options;
    const settings = { ...defaultRecovery, ...options.recovery };
    this.redis = redis;
    this.names = namesOf(options.queue ?? defaultQueue);
    this.#options = options;
    const store = new RunStore(redis, this.names, retentionSeconds);
    this.#runQueue = openRunQueue(redis, this.names.prefix, options.telemetry);
    const queue = new BatchQueue(redis, this.names, options.telemetry);
    this.#parts = {
      id: this.id,
      store,
      queue,
      schedules: new Schedules(redis, this.names, this.#runQueue, store),
      parked: new ParkedJobs(redis, this.names, queue.steps),
      rateLimit: new RateLimit(redis, this.names),
      watcher: new RunWatcher(store),
      refusedJobs: new RefusedJobs(redis, this.names),
      registry: new WorkerRegistry(redis, this.names),
      workflows: new Map(workflows.map((workflow) => [workflow.id, workflow])),
      versions: Object.fromEntries(workflows.map((workflow) => [workflow.id, workflowVersion(workflow)])),
      setAside: (reason) => this.#declined(reason),
      stepDone: () => (this.#declines = 0),
      declineTimeout: settings.declineTimeout,
      concurrency,
      models,
      isServed: (model) =>
        [...this.#fleet, { startedAt: 0, models: models() }].some((worker) => servesModel(worker, model)),
      logger,
      observer,
      window: () => Math.max(window, 2 * this.#fleet.reduce((sum, worker) => sum + worker.concurrency, 0)),
    };
    this.#runs = new RunProcessor(this.#parts, {
      holdBack: () => this.#pauseFor(runsWorker, 2 * declineDelay),
      coordinates: () => this.#coordinates(),
    });
    this.#steps = new StepProcessor(this.#parts, () => this.#pauseSteps(2 * declineDelay));
    const batches = new BatchProcessor(this.#parts);
    const base = { ...settings, telemetry: options.telemetry };
    // The job of a coordinator may stall any number of times, because a coordinator executes no steps and so is not the
    // cause.
    const neverStalled = { ...base, maxStalledCount: 1_000_000 };
    const runsWorker = this.#worker(queueNames.runs, this.#runs.process, {
      ...neverStalled,
      concurrency: runConcurrency,
    });
    const batchesWorker = this.#worker(queueNames.batches, batches.process, {
      ...neverStalled,
      concurrency: runConcurrency,
    });
    this.#stepSettings = { ...base, concurrency };
    batchesWorker.on('completed', (job) => void batches.completed(job));
    runsWorker.on('lockRenewalFailed', (ids) => this.#runs.active.interrupt('lock lost', ids));
    this.#otherWorkers = [runsWorker, batchesWorker];
    this.#serveModels();
  }

  /** Number of active steps. */
  get active(): number {
    return this.#steps.activeJobs;
  }

  get #workers(): readonly Worker[] {
    return [...this.#stepsWorkers.values(), ...this.#otherWorkers];
  }

  /** Publishes the models of this worker, after they have changed. */
  async modelsChanged(): Promise<void> {
    if (this.#heartbeats && !this.#stopping) await this.#heartbeat();
  }

  /** Opens a BullMQ worker for each model of this worker, and one for steps without a model; closes all others. */
  #serveModels(): void {
    const models = pinnedModels({ startedAt: 0, models: this.#parts.models() });
    const served = new Map<string, PinnedModel | undefined>([
      [queueNames.steps, undefined],
      ...models.map((model) => [stepsQueueName(model), model] as const),
    ]);
    for (const [name, model] of served) {
      if (this.#stepsWorkers.has(name)) continue;
      const worker = this.#worker(name, this.#steps.process, this.#stepSettings);
      worker.on('lockRenewalFailed', (ids) => this.#steps.active.interrupt('lock lost', ids));
      if (this.#stepsPaused) void worker.pause(true);
      this.#stepsWorkers.set(name, worker);
      if (model) this.#parts.queue.steps.takeOverLimit(model).catch(() => {}); // Redis is away; the next start does it.
    }
    for (const [name, worker] of this.#stepsWorkers) {
      if (served.has(name)) continue;
      this.#stepsWorkers.delete(name);
      this.#closing.add(worker);
      void worker.close().finally(() => this.#closing.delete(worker));
    }
  }

  /** Whether the worker accepts jobs, and Redis is reachable and writable. */
  get isServing(): boolean {
    return (
      this.#stopping === undefined &&
      this.redis.status === 'ready' &&
      this.#isListed &&
      performance.now() - this.#deniedAt > 2 * setAsideTime.min &&
      this.#workers.every((worker) => worker.isRunning())
    );
  }

  async ready(): Promise<void> {
    const { rateLimit } = this.#options;
    if (rateLimit) await this.#parts.rateLimit.set(rateLimit);
    this.#startedAt = await this.#parts.registry.now();
    await this.#heartbeat();
    this.#heartbeats = setInterval(() => void this.#heartbeat(), heartbeatInterval).unref();
    await Promise.all(this.#workers.map((worker) => worker.waitUntilReady()));
  }

  /**
   * Stops the worker: it accepts no more jobs, waits for active steps until shortly before the deadline, and then
   * returns the remaining steps to the queue.
   *
   * @param deadline total time in milliseconds. Active steps get half of it, or all but 3.5 seconds if that is more.
   * @default 30_000
   */
  async stop(deadline = 30_000): Promise<void> {
    this.#stopping ??= this.#stop(deadline);
    return this.#stopping;
  }

  /** Sends a heartbeat with the state of this worker, and looks after runs that have not begun. */
  async #heartbeat(): Promise<void> {
    const { registry, store, versions, models, concurrency, queue } = this.#parts;
    const { counts = () => ({}), retentionSeconds = defaultRetentionSeconds } = this.#options;
    try {
      this.#serveModels();
      await registry.heartbeat({
        id: this.id,
        startedAt: this.#startedAt,
        concurrency,
        workflows: versions,
        models: models(),
        active: this.#steps.activeSteps,
        counts: counts(),
        setAside: this.#setAside,
      });
      // Only a coordinator needs it: N workers that each read the facts of all would read N² of them.
      if (this.#runs.active.size > 0) {
        const now = await this.#readFleet();
        await queue.steps.removeOld(now - 1000 * retentionSeconds);
      }
      for (const { job, priority } of await store.pending()) await addRunJob(this.#runQueue, job, priority);
      this.#isListed = true;
    } catch (error) {
      // Not serious: the next heartbeat has the complete state.
      this.#parts.logger[this.#isListed ? 'warn' : 'debug']({ error }, 'a heartbeat was lost');
      this.#isListed = false;
    }
  }

  /** Makes this worker ready to coordinate a run: to learn of its batches, and how many workers there are. */
  async #coordinates(): Promise<void> {
    this.#events ??= this.#listen();
    await this.#readFleet();
  }

  /** Returns the time by the clock of Redis. */
  async #readFleet(): Promise<number> {
    const { now, workers } = await this.#parts.registry.read();
    this.#fleet = workers;
    return now;
  }

  #listen(): QueueEvents {
    const connected = { connection: this.redis, prefix: this.names.prefix, skipVersionCheck: true };
    const events = new QueueEvents(queueNames.batches, connected);
    events.on('error', () => {});
    events.on('completed', ({ jobId }) => this.#runs.wake(jobId));
    events.on('failed', ({ jobId }) => this.#runs.wake(jobId));
    return events;
  }

  /** Sets this worker aside after it has declined a few steps in a row. */
  #declined(reason: string): void {
    this.#declines += 1;
    if (this.#declines < maxDeclines || this.#stepsPaused || this.#stopping) return;
    const time = Math.min(setAsideTime.max, setAsideTime.min * 2 ** (this.#declines - maxDeclines));
    this.#parts.logger.error({ reason, milliseconds: time }, 'this worker cannot execute its steps and is set aside');
    this.#setAside = reason;
    this.#pauseSteps(time, () => (this.#setAside = undefined));
    void this.#heartbeat();
  }

  /**
   * Handles an error by which Redis denies a command that the worker needs: pauses the worker for a while and logs the
   * reason. It tries again later, because somebody may correct the permissions or the password. Returns whether the
   * error was one of these.
   */
  #denied(worker: Worker, error: Error): boolean {
    // A paused worker has logged the reason already. Several requests may have failed at the same time.
    if (!isDenial(reasonOf(error))) return false;
    if (worker.isPaused() || this.#stopping) return true;
    const reason = `Redis denies a command that this worker needs: ${reasonOf(error)}.`;
    this.#parts.logger.error({ reason, milliseconds: setAsideTime.min }, 'this worker cannot process jobs');
    this.#setAside = reason;
    this.#deniedAt = performance.now();
    this.#pauseFor(worker, setAsideTime.min, () => (this.#setAside = undefined));
    void this.#heartbeat();
    return true;
  }

  /** Pauses the steps of all models for a while. */
  #pauseSteps(milliseconds: number, resumed: () => void = () => {}): void {
    if (this.#stepsPaused) return;
    this.#stepsPaused = true;
    for (const worker of this.#stepsWorkers.values()) void worker.pause(true);
    const resume = () => {
      if (this.#stopping) return;
      this.#stepsPaused = false;
      for (const worker of this.#stepsWorkers.values()) void worker.resume();
      resumed();
    };
    setTimeout(resume, milliseconds).unref();
  }

  #pauseFor(worker: Worker, milliseconds: number, resumed: () => void = () => {}): void {
    if (worker.isPaused()) return;
    void worker.pause(true);
    const resume = () => {
      if (this.#stopping) return;
      void worker.resume();
      resumed();
    };
    setTimeout(resume, milliseconds).unref();
  }

  async #stop(deadline: number): Promise<void> {
    clearInterval(this.#heartbeats);
    const { registry } = this.#parts;
    // If it cannot be deregistered, it is removed from the list when its heartbeats stop.
    const deregistered = this.redis.status === 'ready' && registry.deregister(this.id).catch(() => {});
    await Promise.all(this.#workers.map((worker) => worker.pause(true)));
    this.#steps.returnWaiting();
    // Coordinators are interrupted at once, because another worker can continue from their checkpoints.
    this.#runs.active.interrupt('stopping');
    const stepTimeout = Math.max(deadline / 2, deadline - 3500);
    const closeTimeout = Math.min(deadline / 2, 3500);
    // BullMQ can close gracefully only if Redis is reachable. Otherwise only wait for active steps.
    const isGraceful = this.redis.status === 'ready';
    const ended = isGraceful ? this.#close(false) : this.#steps.active.idle();
    await within(ended, stepTimeout).catch(() => this.#steps.active.interrupt('stopping'));
    // A step that is still active ignores its signal. Another worker gets it after its lock expires.
    await within(ended, closeTimeout * 0.4).catch((error: unknown) =>
      this.#parts.logger.warn({ error }, 'steps did not end before the deadline'),
    );
    this.#parts.watcher.close();
    const rest = [
      this.#parts.queue.close(),
      this.#runQueue.close(),
      this.#events?.close(),
      isGraceful ? ended : this.#close(true),
    ];
    await within(Promise.allSettled([...rest, deregistered]), closeTimeout * 0.3).catch(() => {});
    this.redis.disconnect();
  }

  async #close(force: boolean): Promise<void> {
    await Promise.all([...this.#workers, ...this.#closing].map((worker) => worker.close(force)));
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
    worker.on('error', (error) => {
      if (!this.#denied(worker, error)) logger.warn({ queue: name, error: error.message }, 'error in BullMQ');
    });
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
