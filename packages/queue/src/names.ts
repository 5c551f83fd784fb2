// The names of the queues, keys and jobs of a queue of runs in Redis.
/** The Redis keys of a queue. All of them lie in one hash slot of a cluster. */
export interface QueueNames {
  /** What all keys begin with: `{name}`. */
  readonly prefix: string;
  /** Sorted set of run ids, by the time of their creation. */
  readonly runs: string;
  /** Hash: the live run of each request, and the live run that writes each thing that only one may write. */
  readonly claims: string;
  /**
   * Sorted set: runs that have not begun, by the time from which a worker adds their job again. Their producer may have
   * died, or lost Redis, before it added the job.
   */
  readonly pending: string;
  /** Hash: what is known about each schedule, by name. */
  readonly schedules: string;
  /** List of refused jobs, newest first. */
  readonly refused: string;
  /** Sorted set of worker ids, by the time of their last heartbeat. */
  readonly workers: string;
  /** What a worker says about itself in its heartbeats. */
  worker(id: string): string;
  /** Hash: status and input of a run. */
  run(id: string): string;
  /** Hash: a checkpoint for each stage of a run. A coordinator goes on from there. */
  checkpoints(id: string): string;
  /** Stream of a run's events. */
  events(id: string): string;
  /** Hash: the dead letters of a run. */
  deadLetters(id: string): string;
  /** Sorted set: the steps of an attempt that wait outside the queue, by the time from which they may go on. */
  parked(run: string, attempt: number): string;
  /** Hash: how many steps may begin in how many milliseconds. */
  readonly rateLimit: string;
  /** How many steps have begun in the current period of the rate limit. */
  readonly rateCounter: string;
}

/** The names of the BullMQ queues: of runs, of batches of items, of the steps themselves. */
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
    worker: (id) => `${prefix}:worker:${id}`,
    run: (id) => `${prefix}:run:${id}`,
    checkpoints: (id) => `${prefix}:checkpoints:${id}`,
    events: (id) => `${prefix}:events:${id}`,
    deadLetters: (id) => `${prefix}:dead:${id}`,
    parked: (run, attempt) => `${prefix}:parked:${run}:${attempt}`,
    rateLimit: `${prefix}:rate-limit`,
    rateCounter: `${prefix}:rate-limit:counter`,
  };
}
