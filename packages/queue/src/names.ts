// The names of the queues, keys and jobs of a queue of runs in Redis.
/** The Redis keys of a queue. In a cluster, all are in one hash slot. */
export interface QueueNames {
  /** The prefix of all keys: `{name}`. */
  readonly prefix: string;
  /** Sorted set of run ids by creation time. */
  readonly runs: string;
  /** Hash: for each request, its live run; and for each exclusive output, the live run that writes it. */
  readonly claims: string;
  /**
   * Sorted set: runs that have not begun, by the time at which a worker adds their job again. The producer may have
   * died or lost its connection before it added the job.
   */
  readonly pending: string;
  /** Hash: a JSON record of each schedule, by name. */
  readonly schedules: string;
  /** List of refused jobs, newest first. */
  readonly refused: string;
  /** Sorted set of worker ids by the time of their last heartbeat. */
  readonly workers: string;
  /** Sorted set of the models of all workers, as JSON, by the time of the last heartbeat of a worker with the model. */
  readonly models: string;
  /** String: the {@link WorkerFacts} of a worker's last heartbeat. */
  worker(id: string): string;
  /** Hash: status and input of a run. */
  run(id: string): string;
  /** Hash: the checkpoint of each stage of a run. */
  checkpoints(id: string): string;
  /** Stream of a run's events. */
  events(id: string): string;
  /** Hash: the dead letters of a run. */
  deadLetters(id: string): string;
  /** Hash: the failed items of a run, by id. */
  failedItems(id: string): string;
  /** Sorted set: the parked steps of an attempt, by the time at which they are due. */
  parked(run: string, attempt: number): string;
  /** Hash: the rate limit, as a number of steps and a period in milliseconds. */
  readonly rateLimit: string;
  /** String: the number of steps that have begun in the current period of the rate limit. */
  readonly rateCounter: string;
}

/** The names of the BullMQ queues. The steps of each model have a queue whose name begins with `steps`. */
export const queueNames = { runs: 'runs', batches: 'batches', steps: 'steps' } as const;

/** The keys of a queue. Several queues can share a Redis. */
export function namesOf(queue: string): QueueNames {
  const prefix = `{${queue}}`;
  return {
    prefix,
    runs: `${prefix}:index`,
    claims: `${prefix}:claims`,
    pending: `${prefix}:pending`,
    schedules: `${prefix}:schedules`,
    refused: `${prefix}:refused`,
    workers: `${prefix}:workers`,
    models: `${prefix}:models`,
    worker: (id) => `${prefix}:worker:${id}`,
    run: (id) => `${prefix}:run:${id}`,
    checkpoints: (id) => `${prefix}:checkpoints:${id}`,
    events: (id) => `${prefix}:events:${id}`,
    deadLetters: (id) => `${prefix}:dead:${id}`,
    failedItems: (id) => `${prefix}:failed:${id}`,
    parked: (run, attempt) => `${prefix}:parked:${run}:${attempt}`,
    rateLimit: `${prefix}:rate-limit`,
    rateCounter: `${prefix}:rate-limit:counter`,
  };
}
