// Stores runs in Redis: status, input, checkpoints, events and dead letters. Every change is one atomic command.
// Changes for an attempt are dropped if the run is at another attempt.
import {
  busyError,
  hasEnded,
  sortItems,
  type DeadLetter,
  type FailedItem,
  type NeededModel,
  type Request,
  type RunError,
  type RunEventPayload,
  type RunState,
  type RunStatus,
} from '@sentvec/workflow';
import type { MaxFailed } from '@sentvec/platform';
import type { RedisConnection } from './connection.ts';
import type { RunJob } from './jobs.ts';
import type { QueueNames } from './names.ts';
import type { PinnedModel } from './served-models.ts';
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
  faultScript,
  ownedWriteScript,
  pendingScript,
  postponeScript,
  replayScript,
  transitionScript,
} from './run-scripts.ts';

/** The data of a run that a coordinator needs. */
export interface StoredRun {
  readonly status: RunStatus;
  /** The input from the producer, if any. It is untrusted. */
  readonly input: unknown;
  readonly priority: number;
  /** How many items of a stage may fail. */
  readonly maxFailed: MaxFailed;
}

/** The argument of {@link RunStore.create}. */
export interface NewRun {
  readonly id: string;
  readonly workflow: string;
  readonly input: unknown;
  readonly priority: number;
  /** @default 0 */
  readonly maxFailed?: MaxFailed | undefined;
  readonly request: Request;
}

/** The result of {@link RunStore.create}. */
export type Created =
  | { readonly reply: 'created' | 'exists' }
  /** A live run has the same request. */
  | { readonly reply: 'same'; readonly run: string }
  /** A live run writes the same output. */
  | { readonly reply: 'busy'; readonly run: string; readonly written: string };

/** A state change of a run. */
export interface Transition {
  readonly from: readonly RunState[];
  readonly to: RunState;
  /** The attempt to change. */
  readonly attempt: number;
  /** The change is made only if this coordinator owns the run. @default any owner */
  readonly owner?: string | undefined;
  readonly error?: RunError | undefined;
  readonly fields?: Readonly<Record<string, string>> | undefined;
}

/**
 * Why a change was rejected. `superseded`: the run has another attempt or coordinator. `changed`: the attempt began
 * with another version of the workflow. A state: the run is in this state, which does not allow the change.
 */
export type Rejected = 'superseded' | 'missing' | 'changed' | RunState;

/** Maximum number of pending runs per read. */
const maxPending = 20;

/** Milliseconds after which the job of a postponed run is added again. */
const postponeTime = 2000;

/** Maximum number of dead letters of a run. */
const maxDeadLetters = 1000;

/** Reads and changes the runs of a queue. */
export class RunStore {
  readonly #redis: RedisConnection;
  readonly #names: QueueNames;
  readonly #retentionSeconds: number;

  /** @param retentionSeconds how long a run can be found after it has ended */
  constructor(redis: RedisConnection, names: QueueNames, retentionSeconds: number) {
    this.#redis = redis;
    this.#names = names;
    this.#retentionSeconds = retentionSeconds;
  }

  /** Creates a run, unless a run with its id exists, or a live run has the same request or writes the same output. */
  async create({ id, workflow, input, priority, maxFailed = 0, request }: NewRun): Promise<Created> {
    const fields = { id, workflow, state: 'queued', attempt: 1, priority };
    const all = {
      ...fields,
      ...(input !== undefined && { input: JSON.stringify(input) }),
      ...(maxFailed !== 0 && { maxFailed: JSON.stringify(maxFailed) }),
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

  /** The request of a run. */
  async readRequest(id: string): Promise<Request> {
    const fields = ['inputHash', 'content', 'request', 'claims'];
    const [input, content, same, claims] = await this.#redis.hmget(this.#names.run(id), ...fields);
    const writes = JSON.parse(claims ?? '[]') as string[];
    return { input: input ?? '', content: content || undefined, merges: Boolean(same), writes };
  }

  async read(id: string): Promise<StoredRun | undefined> {
    const [status, [input, priority, maxFailed]] = await Promise.all([
      this.readStatus(id),
      this.#redis.hmget(this.#names.run(id), 'input', 'priority', 'maxFailed'),
    ]);
    if (!status) return undefined;
    const options = { priority: Number(priority), maxFailed: JSON.parse(maxFailed ?? '0') as MaxFailed };
    return { status, input: input ? JSON.parse(input) : undefined, ...options };
  }

  async readStatus(id: string): Promise<RunStatus | undefined> {
    return parseStatus(await this.#redis.hmget(this.#names.run(id), ...statusFields));
  }

  async readPriority(id: string): Promise<number> {
    return Number(await this.#redis.hget(this.#names.run(id), 'priority'));
  }

  /** The output of a completed run. */
  async readOutput(id: string): Promise<unknown> {
    return JSON.parse((await this.#redis.hget(this.#names.run(id), 'output')) ?? 'null');
  }

  /** The fields that workers poll before and during a step. */
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
      // Expired runs took places in this page, so read again: older runs may still exist.
      await this.#redis.zrem(this.#names.runs, ...expired);
    }
  }

  /**
   * Makes a coordinator the owner of an attempt, in place of any previous owner. A run that has a model already keeps it.
   */
  async begin(
    id: string,
    attempt: number,
    { owner, version, model }: { owner: string; version: string; model?: PinnedModel | undefined },
  ): Promise<'ok' | Rejected> {
    const keys = [this.#names.run(id), this.#names.events(id), this.#names.pending];
    const values = [owner, attempt, stateEvent('running', attempt), version, model ? JSON.stringify(model) : ''];
    return (await this.#redis.eval(beginScript, keys.length, ...keys, ...values)) as 'ok' | Rejected;
  }

  /** Postpones the coordination of an attempt until a worker has a model. */
  async postpone(id: string, attempt: number, model: NeededModel): Promise<void> {
    const keys = [this.#names.run(id), this.#names.pending];
    await this.#redis.eval(postponeScript, keys.length, ...keys, attempt, postponeTime, JSON.stringify(model));
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
    // If the reply of a command was lost, it is sent again and finds the run already in the new state.
    return reply === to ? 'ok' : (reply as Rejected);
  }

  /**
   * Begins the next attempt after `attempt`. Idempotent.
   * @param items ids of the failed items to retry; `undefined`: all
   * @throws SentvecError `invalid-output` when another live run writes the same output
   */
  async replay(id: string, attempt: number, items?: readonly string[]): Promise<'ok' | Rejected> {
    const keys = this.#keys(id);
    const values = [
      attempt,
      stateEvent('queued', attempt + 1),
      this.#names.run(''),
      items ? JSON.stringify(items) : '',
    ];
    const reply = (await this.#redis.eval(replayScript, keys.length, ...keys, ...values)) as 'ok' | Rejected | string[];
    if (typeof reply === 'string') return reply;
    const [, run = '', written = ''] = reply;
    throw busyError(run, written);
  }

  /** The jobs of runs that have not begun for a while, with their priorities. The caller must add these jobs again. */
  async pending(): Promise<readonly { readonly job: RunJob; readonly priority: number }[]> {
    const values = [maxPending, this.#names.run('')];
    const due = (await this.#redis.eval(pendingScript, 1, this.#names.pending, ...values)) as string[];
    return Array.from({ length: due.length / 3 }, (_, index) => {
      const [run = '', attempt, priority] = due.slice(3 * index);
      return { job: { run, attempt: Number(attempt) }, priority: Number(priority) };
    });
  }

  /** What failed for good in this attempt, or in an earlier one and is not tried again in this. */
  async failedItems(id: string): Promise<readonly FailedItem[]> {
    const items = await this.#redis.hvals(this.#names.failedItems(id));
    return sortItems(items.map((json) => JSON.parse(json) as FailedItem));
  }

  /** Keeps what failed for good. `false` when another coordinator owns the run. */
  async keepFailedItem(id: string, owner: string, item: FailedItem): Promise<boolean> {
    return this.#ownedWrite(id, owner, this.#names.failedItems(id), { [item.id]: JSON.stringify(item) });
  }

  /** `false` when another coordinator owns the run. */
  async removeFailedItem(id: string, owner: string, item: string): Promise<boolean> {
    return this.#ownedWrite(id, owner, this.#names.failedItems(id), { [item]: '' });
  }

  async checkpoint(id: string, stage: string): Promise<string | null> {
    return this.#redis.hget(this.#names.checkpoints(id), stage);
  }

  /** All checkpoints of the attempt, by stage. */
  async checkpoints(id: string): Promise<Record<string, string>> {
    return this.#redis.hgetall(this.#names.checkpoints(id));
  }

  /** Saves a checkpoint. Returns `false` if another coordinator owns the run. */
  async saveCheckpoint(id: string, owner: string, stage: string, value: string): Promise<boolean> {
    return this.#ownedWrite(id, owner, this.#names.checkpoints(id), { [stage]: value });
  }

  /** Saves the progress of the run. Returns `false` if another coordinator owns the run. */
  async saveProgress(id: string, owner: string, progress: Partial<RunProgress>): Promise<boolean> {
    return this.#ownedWrite(id, owner, this.#names.run(id), { progress: JSON.stringify(progress) });
  }

  /**
   * Counts a failed step attempt. Returns the time and the time of the first failure since the last completed step, by
   * the clock of Redis.
   */
  async recordFault(id: string, attempt: number, reason: string): Promise<{ now: number; since: number }> {
    const reply = await this.#redis.eval(faultScript, 1, this.#names.run(id), attempt, reason);
    const [now, since] = reply as [number, number];
    return { now, since };
  }

  /** Resets the count of failures after a completed step, which closes the circuit breaker of the run. */
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

  /**
   * The keys of a run. The first five are the run, its events, the claims and the pending runs of the queue, and the
   * failed items of the run.
   */
  #keys(id: string): string[] {
    const names = this.#names;
    const own = [names.failedItems(id), names.checkpoints(id), names.deadLetters(id)];
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
