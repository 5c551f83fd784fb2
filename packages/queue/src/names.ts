/** Names of everything that the queue keeps in Redis, all in one hash slot of a cluster. */
export interface QueueNames {
  /** What all keys begin with: `{name}`. */
  readonly prefix: string;
  /** Runs by the time of their creation. */
  readonly runs: string;
  /** Jobs that workers refused, newest first. */
  readonly refused: string;
  /** Workers by the time of their last sign of life. */
  readonly workers: string;
  /** A worker's own facts. */
  worker(id: string): string;
  /** A run's status and input. */
  run(id: string): string;
  /** How far a run's stages are: what a coordinator goes on from. */
  checkpoints(id: string): string;
  events(id: string): string;
  deadLetters(id: string): string;
}

/** BullMQ queues: of runs, of waves of items, of the steps themselves. */
export const queueNames = { runs: 'runs', waves: 'waves', steps: 'steps' } as const;

/** The names for a queue; several queues can share a Redis. */
export function namesOf(queue: string): QueueNames {
  const prefix = `{${queue}}`;
  return {
    prefix,
    runs: `${prefix}:index`,
    refused: `${prefix}:refused`,
    workers: `${prefix}:workers`,
    worker: (id) => `${prefix}:worker:${id}`,
    run: (id) => `${prefix}:run:${id}`,
    checkpoints: (id) => `${prefix}:checkpoints:${id}`,
    events: (id) => `${prefix}:events:${id}`,
    deadLetters: (id) => `${prefix}:dead:${id}`,
  };
}
