// A worker: takes jobs from the three queues and hands them to their processors, until it is stopped.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { SentvecError } from '@sentvec/core';
import { checkCount, checkOptionNames, type OptionNames } from '@sentvec/platform';
import { silentLogger, workflowVersion, type AnyWorkflow, type Logger } from '@sentvec/workflow';
import { QueueEvents, Worker, type Processor, type Queue, type Telemetry } from 'bullmq';
import { connectRedis, defaultRedisUrl, isDenial, reasonOf, within, type RedisConnection } from './connection.ts';
import { namesOf, queueNames, type QueueNames } from './names.ts';
import { checkQueueName, defaultQueue, defaultRetentionSeconds } from './queue-runtime.ts';
import { declineDelay } from './declined-jobs.ts';
import { addRunJob } from './jobs.ts';
import { defaultRecovery, lockRenewTime, type RecoverySettings } from './recovery-settings.ts';
import { ParkedJobs } from './parked-jobs.ts';
import { checkRateLimit, RateLimit, type RateLimitSetting } from './rate-limit.ts';
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
import { WorkerRegistry, type WorkerFacts } from './worker-registry.ts';

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
   * The most unfinished items of a stage in Redis. It is raised to twice the concurrency of all workers together when
   * that is more, so that they stay busy.
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
  /** Counters of the application, for the heartbeats of the worker. */
  readonly counts?: (() => Readonly<Record<string, number>>) | undefined;
  /** OpenTelemetry: `new BullMQOtel(…)` of `bullmq-otel`. */
  readonly telemetry?: Telemetry | undefined;
}

const optionNames: OptionNames<QueueWorkerOptions> = {
  workflows: true,
  url: true,
  queue: true,
  concurrency: true,
  window: true,
  rateLimit: true,
  retentionSeconds: true,
  recovery: true,
  logger: true,
  observer: true,
  counts: true,
  telemetry: true,
};

/** Milliseconds between two heartbeats. */
const heartbeatInterval = 2000;

/** A worker that could not do this many steps in a row takes none for a while. */
const maxDeclines = 3;

/** The shortest and the longest of these whiles, in milliseconds. */
const setAsideTime = { min: 5000, max: 60_000 };

/** How many runs a worker coordinates at once. A coordinator waits most of the time. */
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
  const redis = await connectRedis(options.url ?? defaultRedisUrl, 'worker');
  const worker = new QueueWorker(redis, options);
  try {
    await worker.ready();
  } catch (error) {
    // It would take jobs, and nobody could stop it.
    await worker.stop(1000);
    if (SentvecError.is(error)) throw error;
    const message = `This worker cannot use its Redis: ${reasonOf(error)}.`;
    throw new SentvecError('queue-unavailable', message, {}, { cause: error });
  }
  return worker;
}

/** @throws SentvecError `invalid-argument` for numbers that make no sense, and for two workflows of one id */
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
  /** Unique: host, process and a few random digits. */
  readonly id: string = `${hostname()}-${process.pid}-${randomUUID().slice(0, 4)}`;
  readonly names: QueueNames;
  readonly redis: RedisConnection;
  readonly #parts: WorkerParts;
  readonly #runs: RunProcessor;
  readonly #steps: StepProcessor;
  readonly #stepsWorker: Worker;
  readonly #workers: readonly Worker[];
  /** Of the batches. Only a coordinator listens: what happens to a batch would wake up every worker of the fleet. */
  #events: QueueEvents | undefined;
  readonly #runQueue: Queue;
  readonly #options: QueueWorkerOptions;
  #fleet: readonly WorkerFacts[] = [];
  #startedAt = 0;
  #heartbeats: NodeJS.Timeout | undefined;
  #declines = 0;
  #setAside: string | undefined;
  #isListed = false;
  #deniedAt = -Infinity;
  #stopping: Promise<void> | undefined;

  constructor(redis: RedisConnection, options: QueueWorkerOptions) {
    const { workflows, concurrency = 2, window = 512, logger = silentLogger } = options;
    const { retentionSeconds = defaultRetentionSeconds, observer = {} } = options;
    const settings = { ...defaultRecovery, ...options.recovery };
    this.redis = redis;
    this.names = namesOf(options.queue ?? defaultQueue);
    this.#options = options;
    const store = new RunStore(redis, this.names, retentionSeconds);
    this.#runQueue = openRunQueue(redis, this.names.prefix, options.telemetry);
    const queue = new BatchQueue(redis, this.names.prefix, options.telemetry);
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
      logger,
      observer,
      window: () => Math.max(window, 2 * this.#fleet.reduce((sum, worker) => sum + worker.concurrency, 0)),
    };
    this.#runs = new RunProcessor(this.#parts, {
      holdBack: () => this.#pauseFor(runsWorker, 2 * declineDelay),
      coordinates: () => this.#coordinates(),
    });
    this.#steps = new StepProcessor(this.#parts, () => this.#pauseFor(this.#stepsWorker, 2 * declineDelay));
    const batches = new BatchProcessor(this.#parts);
    const base = { ...settings, telemetry: options.telemetry };
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
    this.#stepsWorker = this.#worker(queueNames.steps, this.#steps.process, { ...base, concurrency });
    batchesWorker.on('completed', (job) => void batches.completed(job));
    runsWorker.on('lockRenewalFailed', (ids) => this.#runs.active.interrupt('lock lost', ids));
    this.#stepsWorker.on('lockRenewalFailed', (ids) => this.#steps.active.interrupt('lock lost', ids));
    this.#workers = [this.#stepsWorker, runsWorker, batchesWorker];
  }

  /** How many steps are active. */
  get active(): number {
    return this.#steps.active.size;
  }

  /** Whether the worker takes jobs, and Redis can be reached and written. */
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
   * Takes no more jobs, waits for the active steps until shortly before the deadline, then puts the remaining ones back
   * into the queue.
   *
   * @param deadline milliseconds for everything. The steps get half of them, or all but 3.5 seconds when that is more.
   *   @default 30_000
   */
  async stop(deadline = 30_000): Promise<void> {
    this.#stopping ??= this.#stop(deadline);
    return this.#stopping;
  }

  /** Sends a heartbeat with the state of this worker, and looks after runs that have not begun. */
  async #heartbeat(): Promise<void> {
    const { registry, store, versions } = this.#parts;
    const { concurrency = 2, counts = () => ({}) } = this.#options;
    try {
      await registry.heartbeat({
        id: this.id,
        startedAt: this.#startedAt,
        concurrency,
        workflows: versions,
        active: this.#steps.activeSteps,
        counts: counts(),
        setAside: this.#setAside,
      });
      // Only a coordinator needs it: N workers that each read the facts of all would read N² of them.
      if (this.#runs.active.size > 0) await this.#readFleet();
      for (const { job, priority } of await store.pending()) await addRunJob(this.#runQueue, job, priority);
      this.#isListed = true;
    } catch (error) {
      // A heartbeat is lost; the next one has everything.
      this.#parts.logger[this.#isListed ? 'warn' : 'debug']({ error }, 'a heartbeat was lost');
      this.#isListed = false;
    }
  }

  /** Makes this worker ready to coordinate a run: to learn of its batches, and how many workers there are. */
  async #coordinates(): Promise<void> {
    this.#events ??= this.#listen();
    await this.#readFleet();
  }

  async #readFleet(): Promise<void> {
    this.#fleet = (await this.#parts.registry.read()).workers;
  }

  #listen(): QueueEvents {
    const connected = { connection: this.redis, prefix: this.names.prefix, skipVersionCheck: true };
    const events = new QueueEvents(queueNames.batches, connected);
    events.on('error', () => {});
    events.on('completed', ({ jobId }) => this.#runs.wake(jobId));
    events.on('failed', ({ jobId }) => this.#runs.wake(jobId));
    return events;
  }

  /** Takes no steps for a while after a few in a row that another worker must do. */
  #declined(reason: string): void {
    this.#declines += 1;
    if (this.#declines < maxDeclines || this.#stepsWorker.isPaused() || this.#stopping) return;
    const time = Math.min(setAsideTime.max, setAsideTime.min * 2 ** (this.#declines - maxDeclines));
    this.#parts.logger.error({ reason, milliseconds: time }, 'this worker cannot do its steps and is set aside');
    this.#setAside = reason;
    this.#pauseFor(this.#stepsWorker, time, () => (this.#setAside = undefined));
    void this.#heartbeat();
  }

  /**
   * Whether Redis denies this worker what it needs to take jobs. Then it takes none for a while, says why, and tries
   * again: somebody may change the permissions, or the password back.
   */
  #denied(worker: Worker, error: Error): boolean {
    // One that waits for its next try has said so. It may have asked several times at once.
    if (!isDenial(error.message)) return false;
    if (worker.isPaused() || this.#stopping) return true;
    const reason = `Redis denies this worker what it needs: ${reasonOf(error)}.`;
    this.#parts.logger.error({ reason, milliseconds: setAsideTime.min }, 'this worker cannot take jobs');
    this.#setAside = reason;
    this.#deniedAt = performance.now();
    this.#pauseFor(worker, setAsideTime.min, () => (this.#setAside = undefined));
    void this.#heartbeat();
    return true;
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
    // One that cannot be deregistered is no longer listed after its last heartbeat.
    const deregistered = this.redis.status === 'ready' && registry.deregister(this.id).catch(() => {});
    await Promise.all(this.#workers.map((worker) => worker.pause(true)));
    // A coordinator has nothing to finish: another worker goes on from its checkpoints at once.
    this.#runs.active.interrupt('stopping');
    const stepTimeout = Math.max(deadline / 2, deadline - 3500);
    const closeTimeout = Math.min(deadline / 2, 3500);
    // BullMQ closes gracefully only with Redis. Without it, only the active steps are waited for.
    const isGraceful = this.redis.status === 'ready';
    const ended = isGraceful ? this.#close(false) : this.#steps.active.idle();
    await within(ended, stepTimeout).catch(() => this.#steps.active.interrupt('stopping'));
    // A step that is still active ignores its signal. Its lock will expire.
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
    worker.on('error', (error) => {
      if (!this.#denied(worker, error)) logger.warn({ queue: name, error: error.message }, 'BullMQ reports an error');
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
