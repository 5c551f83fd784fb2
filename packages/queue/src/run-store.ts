// Runs in Redis: status, input, checkpoints, events and dead letters. Every change is one atomic command, and every
// change by or for an attempt is dropped when the run is at another attempt.
import {
  busyError,
  hasEnded,
  type DeadLetter,
  type Request,
  type RunError,
  type RunEventPayload,
  type RunState,
  type RunStatus,
} from '@sentvec/workflow';
import type { RedisConnection } from './connection.ts';
import type { RunJob } from './jobs.ts';
import type { QueueNames } from './names.ts';
import {
  parsePosition,
  parseStatus,
  positionFields,
  statusFields,
  type RunPosition,
  type RunProgress,
} from './run-fields.ts';
import {
  beginScript,
  clearFaultsScript,
  createScript,
  deadLetterScript,
  eventScript,
  failureScript,
  faultScript,
  ownedWriteScript,
  pendingScript,
  replayScript,
  transitionScript,
} from './run-scripts.ts';

/** What a coordinator needs of a run. */
export interface StoredRun {
  readonly status: RunStatus;
  /** As the producer gave it; `undefined` when it gave none. Untrusted. */
  readonly input: unknown;
  readonly priority: number;
}

/** What {@link RunStore.create} takes. */
export interface NewRun {
  readonly id: string;
  readonly workflow: string;
  readonly input: unknown;
  readonly priority: number;
  readonly request: Request;
}

/** The reply to the creation of a run. */
export type Created =
  | { readonly reply: 'created' | 'exists' }
  /** A live run does the same. */
  | { readonly reply: 'same'; readonly run: string }
  /** A live run writes what this one would write. */
  | { readonly reply: 'busy'; readonly run: string; readonly written: string };

/** A change of a run's state. */
export interface Transition {
  readonly from: readonly RunState[];
  readonly to: RunState;
  /** The attempt that is meant. */
  readonly attempt: number;
  /** Only while this coordinator owns the run. Without it, any owner. */
  readonly owner?: string | undefined;
  readonly error?: RunError | undefined;
  readonly fields?: Readonly<Record<string, string>> | undefined;
}

/**
 * Why a change was not made: the state of the run, or `superseded` by another attempt or coordinator, or `missing`, or
 * `changed`: the attempt began with another version of the workflow.
 */
export type Rejected = 'superseded' | 'missing' | 'changed' | RunState;

/** The most pending runs that are read at once. */
const maxPending = 20;

/** The most dead letters of a run that are kept. */
const maxDeadLetters = 1000;

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

  /** Creates the run, unless there is one with its id, or a live one does the same or writes the same. */
  async create({ id, workflow, input, priority, request }: NewRun): Promise<Created> {
    const fields = { id, workflow, state: 'queued', attempt: 1, priority };
    const all = {
      ...fields,
      ...(input !== undefined && { input: JSON.stringify(input) }),
      inputHash: request.input,
      content: request.content ?? '',
    };
    const { runs, claims, pending } = this.#names;
    const keys = [this.#names.run(id), this.#names.events(id), runs, claims, pending];
    const same = request.merges ? `request:${request.content}` : '';
    const values = [id, stateEvent('queued', 1), same, JSON.stringify(request.writes), this.#names.run('')];
    const [reply, run = '', written = ''] = (await this.#redis.eval(
      createScript,
      keys.length,
      ...keys,
      ...values,
      ...Object.entries(all).flat(),
    )) as string[];
    return { reply, run, written } as Created;
  }

  /** What a run was asked for. */
  async readRequest(id: string): Promise<Request> {
    const fields = ['inputHash', 'content', 'request', 'claims'];
    const [input, content, same, claims] = await this.#redis.hmget(this.#names.run(id), ...fields);
    const writes = JSON.parse(claims ?? '[]') as string[];
    return { input: input ?? '', content: content || undefined, merges: Boolean(same), writes };
  }

  async read(id: string): Promise<StoredRun | undefined> {
    const [status, [input, priority]] = await Promise.all([
      this.readStatus(id),
      this.#redis.hmget(this.#names.run(id), 'input', 'priority'),
    ]);
    return status && { status, input: input ? JSON.parse(input) : undefined, priority: Number(priority) };
  }

  async readStatus(id: string): Promise<RunStatus | undefined> {
    return parseStatus(await this.#redis.hmget(this.#names.run(id), ...statusFields));
  }

  async readPriority(id: string): Promise<number> {
    return Number(await this.#redis.hget(this.#names.run(id), 'priority'));
  }

  /** The value of a completed run. */
  async readOutput(id: string): Promise<unknown> {
    return JSON.parse((await this.#redis.hget(this.#names.run(id), 'output')) ?? 'null');
  }

  /** What workers poll before and while they execute a step. */
  async readPosition(id: string): Promise<RunPosition | undefined> {
    return parsePosition(await this.#redis.hmget(this.#names.run(id), ...positionFields));
  }

  /** The statuses of runs, newest first. */
  async list(limit: number): Promise<readonly RunStatus[]> {
    for (;;) {
      const ids = await this.#redis.zrevrange(this.#names.runs, 0, limit - 1);
      const runs = await Promise.all(ids.map((id) => this.readStatus(id)));
      const expired = ids.filter((_id, index) => !runs[index]);
      if (expired.length === 0) return runs.filter((run) => run !== undefined);
      // They may have hidden older runs, which ended later or have not ended.
      await this.#redis.zrem(this.#names.runs, ...expired);
    }
  }

  /** Makes a coordinator the owner of an attempt, whoever owned it before. */
  async begin(id: string, attempt: number, owner: string, version: string): Promise<'ok' | Rejected> {
    const keys = [this.#names.run(id), this.#names.events(id), this.#names.pending];
    const values = [owner, attempt, stateEvent('running', attempt), version];
    return (await this.#redis.eval(beginScript, keys.length, ...keys, ...values)) as 'ok' | Rejected;
  }

  async transition(id: string, change: Transition): Promise<'ok' | Rejected> {
    const { from, to, attempt, owner = '', error, fields = {} } = change;
    const keys = [...this.#keys(id), this.#names.parked(id, attempt)];
    const expiry = hasEnded(to) ? this.#retentionSeconds : 0;
    const all = { ...fields, ...(error && { error: JSON.stringify(error) }) };
    const values = [owner, attempt, from.join(), to, stateEvent(to, attempt, error), expiry];
    const reply = await this.#redis.eval(
      transitionScript,
      keys.length,
      ...keys,
      ...values,
      ...Object.entries(all).flat(),
    );
    // A command whose reply was lost is sent again. Then the run is in the new state already.
    return reply === to ? 'ok' : (reply as Rejected);
  }

  /**
   * Begins the attempt after this one. Beginning it twice begins it once.
   * @throws SentvecError `invalid-output` when another live run writes what this one would write
   */
  async replay(id: string, attempt: number): Promise<'ok' | Rejected> {
    const keys = this.#keys(id);
    const values = [attempt, stateEvent('queued', attempt + 1), this.#names.run('')];
    const reply = (await this.#redis.eval(replayScript, keys.length, ...keys, ...values)) as 'ok' | Rejected | string[];
    if (typeof reply === 'string') return reply;
    const [, run = '', written = ''] = reply;
    throw busyError(run, written);
  }

  /** The jobs of runs that have not begun for a while, each with its priority: somebody must see that they are there. */
  async pending(): Promise<readonly { readonly job: RunJob; readonly priority: number }[]> {
    const values = [maxPending, this.#names.run('')];
    const due = (await this.#redis.eval(pendingScript, 1, this.#names.pending, ...values)) as string[];
    return Array.from({ length: due.length / 3 }, (_, index) => {
      const [run = '', attempt, priority] = due.slice(3 * index);
      return { job: { run, attempt: Number(attempt) }, priority: Number(priority) };
    });
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

  /** Writes the progress of the run. `false` when another coordinator owns the run. */
  async saveProgress(id: string, owner: string, progress: Partial<RunProgress>): Promise<boolean> {
    return this.#ownedWrite(id, owner, this.#names.run(id), { progress: JSON.stringify(progress) });
  }

  async recordFailure(id: string, attempt: number, error: RunError): Promise<void> {
    await this.#redis.eval(failureScript, 1, this.#names.run(id), attempt, JSON.stringify(error));
  }

  /** Counts a failed attempt at a step. Gives the time, and since when no step was done, by the clock of Redis. */
  async recordFault(id: string, attempt: number, reason: string): Promise<{ now: number; since: number }> {
    const reply = await this.#redis.eval(faultScript, 1, this.#names.run(id), attempt, reason);
    const [now, since] = reply as [number, number];
    return { now, since };
  }

  /** A step was done: closes the circuit breaker of the run. */
  async clearFaults(id: string, attempt: number): Promise<void> {
    await this.#redis.eval(clearFaultsScript, 1, this.#names.run(id), attempt);
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

  async addEvent(id: string, attempt: number, payload: RunEventPayload): Promise<void> {
    const keys = [this.#names.run(id), this.#names.events(id)];
    await this.#redis.eval(eventScript, keys.length, ...keys, attempt, JSON.stringify(payload));
  }

  /** Everything that belongs to a run: first the run itself, its events, the claims and the pending of all runs. */
  #keys(id: string): string[] {
    const names = this.#names;
    const own = [names.checkpoints(id), names.deadLetters(id)];
    return [names.run(id), names.events(id), names.claims, names.pending, ...own];
  }

  async #ownedWrite(id: string, owner: string, key: string, fields: Record<string, string>): Promise<boolean> {
    const keys = [this.#names.run(id), key];
    return (await this.#redis.eval(ownedWriteScript, 2, ...keys, owner, ...Object.entries(fields).flat())) === 1;
  }
}

function stateEvent(state: RunState, attempt: number, error?: RunError): string {
  return JSON.stringify({ type: 'state', state, attempt, ...(error && { error }) } satisfies RunEventPayload);
}
