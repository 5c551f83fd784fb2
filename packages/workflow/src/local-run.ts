import { SentvecError } from '@sentvec/core';
import { toRunError } from './attempt.ts';
import { EventLog } from './event-log.ts';
import { LocalStages } from './local-stages.ts';
import type { LocalScope } from './retrying.ts';
import { runStages } from './run-stages.ts';
import type { RunEvent, RunHandle, RunEventPayload, RunState, RunStatus } from './runtime.ts';
import type { AnyWorkflow } from './workflow.ts';
import type { DeadLetter, Logger } from './step.ts';

/** How many dead letters of a run are kept. */
const keptDeadLetters = 1000;

/** Whether a run of this state has ended. */
export function hasEnded(state: RunState): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled';
}

function newStatus(id: string, workflow: string): RunStatus {
  const times = { createdAt: Date.now(), startedAt: undefined, finishedAt: undefined };
  return {
    id,
    workflow,
    state: 'queued',
    attempt: 0,
    ...times,
    stage: undefined,
    items: undefined,
    total: null,
    error: undefined,
  };
}

/** A run in this process. */
export class LocalRun {
  readonly id: string;
  readonly #workflow: AnyWorkflow;
  readonly #input: unknown;
  readonly #options: { readonly concurrency: number; readonly logger: Logger };
  readonly #events = new EventLog();
  readonly #deadLetters = new Map<string, DeadLetter>();
  #status: RunStatus;
  #controller = new AbortController();
  #paused: PromiseWithResolver | undefined;
  #outcome: Promise<unknown> = Promise.resolve();

  constructor(id: string, workflow: AnyWorkflow, input: unknown, options: { concurrency: number; logger: Logger }) {
    this.id = id;
    this.#workflow = workflow;
    this.#input = input;
    this.#options = options;
    this.#status = newStatus(id, workflow.id);
    this.#begin();
  }

  get state(): RunState {
    return this.#status.state;
  }

  get attempt(): number {
    return this.#status.attempt;
  }

  async status(): Promise<RunStatus> {
    return this.#status;
  }

  events({ after, signal }: { after?: string; signal?: AbortSignal } = {}): AsyncIterable<RunEvent> {
    return this.#events.read(after, signal);
  }

  async result({ signal }: { signal?: AbortSignal } = {}): Promise<unknown> {
    if (!signal) return this.#outcome;
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(new SentvecError('aborted', 'The wait for the run was aborted.')), {
        once: true,
      });
      this.#outcome.then(resolve, reject);
    });
  }

  async deadLetters(): Promise<readonly DeadLetter[]> {
    return [...this.#deadLetters.values()].sort((a, b) => (a.reference < b.reference ? -1 : 1));
  }

  async pause(): Promise<void> {
    if (this.#status.state !== 'running') return;
    this.#paused = promiseWithResolver();
    this.#enter('paused');
  }

  async resume(): Promise<void> {
    if (this.#status.state !== 'paused') return;
    this.#enter('running');
    this.#release();
  }

  async cancel(): Promise<void> {
    if (hasEnded(this.#status.state)) return;
    this.#controller.abort(new SentvecError('aborted', `Run ${this.id} was cancelled.`));
    this.#release();
    await this.#outcome.catch(() => {});
  }

  async replay(): Promise<void> {
    if (!hasEnded(this.#status.state)) {
      throw new SentvecError(
        'invalid-argument',
        `Run ${this.id} is ${this.#status.state}: only a run that has ended can be replayed.`,
      );
    }
    this.#begin();
  }

  #begin(): void {
    this.#controller = new AbortController();
    this.#events.reopen();
    this.#deadLetters.clear();
    const attempt = this.#status.attempt + 1;
    this.#status = {
      ...this.#status,
      attempt,
      startedAt: Date.now(),
      finishedAt: undefined,
      error: undefined,
      items: undefined,
      total: null,
    };
    this.#enter('running');
    this.#outcome = this.#execute();
    this.#outcome.catch(() => {});
  }

  async #execute(): Promise<unknown> {
    const { signal } = this.#controller;
    const scope: LocalScope = {
      run: this.id,
      runAttempt: this.#status.attempt,
      signal,
      logger: this.#options.logger,
      concurrency: this.#options.concurrency,
      untilResumed: async () => this.#paused?.promise,
      emit: (payload) => this.#record(payload),
    };
    try {
      const output = await runStages(this.#workflow, this.#input, new LocalStages(scope));
      this.#end('completed');
      return output;
    } catch (error) {
      const plain = toRunError(error, this.#status.stage ?? this.#workflow.id);
      this.#status = { ...this.#status, error: plain };
      this.#end(signal.aborted ? 'cancelled' : 'failed');
      throw SentvecError.is(error)
        ? error
        : new SentvecError(plain.code, plain.message, plain.details, { cause: error });
    }
  }

  #record(payload: RunEventPayload): void {
    if (payload.type === 'stage') this.#status = { ...this.#status, stage: payload.stage };
    if (payload.type === 'items') this.#status = { ...this.#status, items: payload.items, total: payload.total };
    if (payload.type === 'dead-letter' && this.#deadLetters.size < keptDeadLetters) {
      this.#deadLetters.set(payload.letter.reference, payload.letter);
    }
    this.#events.add(payload);
  }

  #enter(state: RunState): void {
    this.#status = { ...this.#status, state };
    const { attempt, error } = this.#status;
    this.#events.add({ type: 'state', state, attempt, ...(error && { error }) });
  }

  #end(state: RunState): void {
    this.#release();
    this.#status = { ...this.#status, finishedAt: Date.now() };
    this.#enter(state);
    this.#events.close();
  }

  #release(): void {
    this.#paused?.resolve();
    this.#paused = undefined;
  }
}

/** Controls one attempt of a run in this process. */
export class LocalRunHandle implements RunHandle {
  readonly id: string;
  readonly #run: LocalRun;
  #attempt: number;

  constructor(run: LocalRun) {
    this.id = run.id;
    this.#run = run;
    this.#attempt = run.attempt;
  }

  get attempt(): number {
    return this.#attempt;
  }

  status = async (): Promise<RunStatus> => this.#run.status();
  events: RunHandle['events'] = (options) => this.#run.events(options);
  result: RunHandle['result'] = async (options) => this.#run.result(options);
  deadLetters = async (): Promise<readonly DeadLetter[]> => this.#run.deadLetters();
  pause = async (): Promise<void> => this.#current().pause();
  resume = async (): Promise<void> => this.#current().resume();
  cancel = async (): Promise<void> => this.#current().cancel();

  async replay(): Promise<void> {
    await this.#current().replay();
    this.#attempt = this.#run.attempt;
  }

  #current(): LocalRun {
    if (this.#run.attempt === this.#attempt) return this.#run;
    throw new SentvecError(
      'invalid-argument',
      `Run ${this.id} was replayed, and this request was meant for attempt ${this.#attempt}. Find the run again.`,
      { run: this.id, attempt: this.#attempt },
    );
  }
}

interface PromiseWithResolver {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

function promiseWithResolver(): PromiseWithResolver {
  let resolve = () => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
