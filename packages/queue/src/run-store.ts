// Runs in Redis: status, input, checkpoints, events and dead letters. Every change is one atomic command.
import type { DeadLetter, RunError, RunEventPayload, RunItems, RunState, RunStatus } from '@sentvec/workflow';
import type { RedisConnection } from './connection.ts';
import type { QueueNames } from './names.ts';
import {
  createScript,
  deadLetterScript,
  failureScript,
  ownedWriteScript,
  replayScript,
  transitionScript,
} from './run-scripts.ts';

/** A run as Redis has it. */
export interface StoredRun {
  readonly status: RunStatus;
  /** As the producer gave it. Untrusted. */
  readonly input: unknown;
  readonly priority: number;
  readonly output: unknown;
}

/** The part of a run's status that workers poll. */
export type RunPosition = Pick<RunStatus, 'state' | 'attempt' | 'workflow'>;

/** What {@link RunStore.create} takes. */
export interface NewRun {
  readonly id: string;
  readonly workflow: string;
  readonly input: unknown;
  readonly priority: number;
}

/** A change of a run's state. */
export interface Transition {
  readonly from: readonly RunState[];
  readonly to: RunState;
  readonly attempt: number;
  /** Only while this coordinator owns the run. Without it, whoever owns the run. */
  readonly owner?: string | undefined;
  readonly error?: RunError | undefined;
  readonly fields?: Readonly<Record<string, string>> | undefined;
}

const ended: ReadonlySet<RunState> = new Set<RunState>(['completed', 'failed', 'cancelled']);

/** The most dead letters of a run that are kept. */
const maxDeadLetters = 1000;

/** About how many events of a run are kept. */
const maxEvents = 1000;

/** Reads and changes the runs of a queue. */
export class RunStore {
  readonly #redis: RedisConnection;
  readonly #names: QueueNames;
  readonly #retentionSeconds: number;

  /** @param retentionSeconds for which a run that has ended can still be found */
  constructor(redis: RedisConnection, names: QueueNames, retentionSeconds: number) {
    this.#redis = redis;
    this.#names = names;
    this.#retentionSeconds = retentionSeconds;
  }

  /** Creates the run unless there is one with its id. Gives the state of the run that is there. */
  async create({ id, workflow, input, priority }: NewRun): Promise<RunState> {
    const now = Date.now();
    const event = JSON.stringify({ type: 'state', state: 'queued', attempt: 1 } satisfies RunEventPayload);
    const fields = {
      id,
      workflow,
      state: 'queued',
      attempt: 1,
      priority,
      createdAt: now,
      input: JSON.stringify(input),
    };
    const keys = [this.#names.run(id), this.#names.runs, this.#names.events(id)];
    const reply = await this.#redis.eval(
      createScript,
      keys.length,
      ...keys,
      id,
      now,
      event,
      ...Object.entries(fields).flat(),
    );
    return reply === 'created' ? 'queued' : (reply as RunState);
  }

  async read(id: string): Promise<StoredRun | undefined> {
    return parseRun(await this.#redis.hgetall(this.#names.run(id)));
  }

  /** What workers poll before and while they execute a step. */
  async readState(id: string): Promise<RunPosition | undefined> {
    const [state, attempt, workflow] = await this.#redis.hmget(this.#names.run(id), 'state', 'attempt', 'workflow');
    return state ? { state: state as RunState, attempt: Number(attempt), workflow: workflow ?? '' } : undefined;
  }

  /** The statuses of runs, newest first. */
  async list(limit: number): Promise<readonly RunStatus[]> {
    const ids = await this.#redis.zrevrange(this.#names.runs, 0, limit - 1);
    const runs = await Promise.all(ids.map((id) => this.read(id)));
    const expired = ids.filter((_id, index) => !runs[index]);
    if (expired.length > 0) await this.#redis.zrem(this.#names.runs, ...expired);
    return runs.flatMap((run) => (run ? [run.status] : []));
  }

  /** Makes a coordinator the owner of a run, whoever owned it before. */
  async own(id: string, owner: string): Promise<void> {
    await this.#redis.hset(this.#names.run(id), 'owner', owner);
  }

  /** Gives `ok`, or why the change was not made: the state the run is in, `superseded` or `missing`. */
  async transition(id: string, change: Transition): Promise<'ok' | 'superseded' | 'missing' | RunState> {
    const { from, to, attempt, owner = '', error, fields = {} } = change;
    const event = JSON.stringify({
      type: 'state',
      state: to,
      attempt,
      ...(error && { error }),
    } satisfies RunEventPayload);
    const keys = [
      this.#names.run(id),
      this.#names.events(id),
      this.#names.checkpoints(id),
      this.#names.deadLetters(id),
    ];
    const now = Date.now();
    const times = ended.has(to) ? { finishedAt: String(now) } : {};
    const all = { ...fields, ...times, ...(error && { error: JSON.stringify(error) }) };
    const expiry = ended.has(to) ? this.#retentionSeconds : 0;
    const values = [owner, from.join(), to, event, now, expiry, ...Object.entries(all).flat()];
    const reply = await this.#redis.eval(transitionScript, keys.length, ...keys, ...values);
    // A command whose reply was lost is sent again. Then the run is in the new state already.
    return reply === to ? 'ok' : (reply as RunState);
  }

  /** Begins the next attempt. Gives its number, or the state that forbids it. */
  async replay(id: string): Promise<number | RunState | 'missing'> {
    const keys = [
      this.#names.run(id),
      this.#names.events(id),
      this.#names.checkpoints(id),
      this.#names.deadLetters(id),
    ];
    return (await this.#redis.eval(replayScript, keys.length, ...keys, Date.now())) as number | RunState | 'missing';
  }

  /** The first item that failed for good in this attempt. */
  async readFailure(id: string): Promise<RunError | undefined> {
    const failure = await this.#redis.hget(this.#names.run(id), 'failure');
    return failure === null ? undefined : (JSON.parse(failure) as RunError);
  }

  async checkpoint(id: string, stage: string): Promise<string | null> {
    return this.#redis.hget(this.#names.checkpoints(id), stage);
  }

  /** All checkpoints of the attempt, by stage. */
  async checkpoints(id: string): Promise<Record<string, string>> {
    return this.#redis.hgetall(this.#names.checkpoints(id));
  }

  /** `false` when another coordinator owns the run. */
  async saveCheckpoint(id: string, owner: string, stage: string, value: string): Promise<boolean> {
    return this.#ownedWrite(id, owner, this.#names.checkpoints(id), { [stage]: value });
  }

  /** Writes how far the run is. `false` when another coordinator owns the run. */
  async saveProgress(id: string, owner: string, progress: Partial<RunProgress>): Promise<boolean> {
    return this.#ownedWrite(id, owner, this.#names.run(id), { progress: JSON.stringify(progress) });
  }

  async recordFailure(id: string, attempt: number, error: RunError): Promise<void> {
    await this.#redis.eval(failureScript, 1, this.#names.run(id), attempt, JSON.stringify(error));
  }

  async addDeadLetter(id: string, attempt: number, letter: DeadLetter): Promise<void> {
    const { reference, reason } = letter;
    const keys = [this.#names.run(id), this.#names.deadLetters(id)];
    await this.#redis.eval(deadLetterScript, keys.length, ...keys, attempt, maxDeadLetters, reference, reason);
  }

  /** Sorted by reference. */
  async deadLetters(id: string): Promise<readonly DeadLetter[]> {
    const letters = Object.entries(await this.#redis.hgetall(this.#names.deadLetters(id)));
    return letters
      .map(([reference, reason]) => ({ reference, reason }))
      .sort((a, b) => (a.reference < b.reference ? -1 : 1));
  }

  async addEvent(id: string, payload: RunEventPayload): Promise<void> {
    const fields = ['at', Date.now(), 'event', JSON.stringify(payload)];
    await this.#redis.xadd(this.#names.events(id), 'MAXLEN', '~', maxEvents, '*', ...fields);
  }

  async #ownedWrite(id: string, owner: string, key: string, fields: Record<string, string>): Promise<boolean> {
    const reply = await this.#redis.eval(
      ownedWriteScript,
      2,
      this.#names.run(id),
      key,
      owner,
      ...Object.entries(fields).flat(),
    );
    return reply === 1;
  }
}

/** How far a run is. */
export interface RunProgress {
  readonly stage: string;
  readonly items?: RunItems | undefined;
  readonly total?: unknown;
}

function parseRun(fields: Record<string, string>): StoredRun | undefined {
  if (fields['state'] === undefined) return undefined;
  const json = (name: string): unknown => (fields[name] === undefined ? undefined : JSON.parse(fields[name]));
  const time = (name: string) => (fields[name] === undefined ? undefined : Number(fields[name]));
  const progress = json('progress') as RunProgress | undefined;
  return {
    input: json('input'),
    output: json('output'),
    priority: Number(fields['priority']),
    status: {
      id: fields['id'] ?? '',
      workflow: fields['workflow'] ?? '',
      state: fields['state'] as RunState,
      attempt: Number(fields['attempt']),
      createdAt: Number(fields['createdAt']),
      startedAt: time('startedAt'),
      finishedAt: time('finishedAt'),
      stage: progress?.stage,
      items: progress?.items,
      total: progress?.total ?? null,
      error: json('error') as RunError | undefined,
    },
  };
}
