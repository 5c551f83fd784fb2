/** A run in this process: its state, its events and its control. */
import { SentvecError } from '@sentvec/core';
import { abortable } from '@sentvec/platform';
import { toRunError } from './attempt.ts';
import { checkFailedIds, FailedItems, IncompleteError } from './failed-items.ts';
import { EventLog } from './event-log.ts';
import { LocalStages } from './local-stages.ts';
import type { Request } from './request.ts';
import type { LocalScope } from './retrying.ts';
import { runStages } from './run-stages.ts';
import {
  hasEnded,
  type RunEvent,
  type RunEventPayload,
  type RunHandle,
  type FailedItem,
  type RunState,
  type RunStatus,
  type StartOptions,
} from './runtime.ts';
import { workflowVersion } from './workflow-version.ts';
import type { DeadLetter, Logger } from './step.ts';
import type { AnyWorkflow } from './workflow.ts';

/** Maximum number of dead letters of a run. */
const maxDeadLetters = 1000;

/** Options of {@link LocalRun}. */
export interface LocalRunOptions {
  readonly concurrency: number;
  readonly logger: Logger;
  readonly request: Request;
  readonly maxFailed?: StartOptions['maxFailed'];
  /** Called before each attempt. Throws if another run writes the same output. */
  readonly mayBegin: (run: LocalRun) => void;
}

function newStatus(id: string, workflow: AnyWorkflow): RunStatus {
  const times = { createdAt: Date.now(), startedAt: undefined, finishedAt: undefined };
  return {
    id,
    workflow: workflow.id,
    version: workflowVersion(workflow),
    model: undefined,
    state: 'queued',
    attempt: 0,
    ...times,
    stage: undefined,
    items: undefined,
    total: null,
    error: undefined,
    notice: undefined,
  };
}

/** A run in this process. */
export class LocalRun {
  readonly id: string;
  readonly #workflow: AnyWorkflow;
  readonly #input: unknown;
  readonly #options: LocalRunOptions;
  readonly #events = new EventLog();
  readonly #deadLetters = new Map<string, DeadLetter>();
  readonly #failedItems: FailedItems;
  #status: RunStatus;
  #controller = new AbortController();
  #paused: Pause | undefined;
  #outcome: Promise<unknown> = Promise.resolve();

  constructor(id: string, workflow: AnyWorkflow, input: unknown, options: LocalRunOptions) {
    this.id = id;
    this.#workflow = workflow;
    this.#input = input;
    this.#options = options;
    this.#failedItems = new FailedItems(options.maxFailed ?? 0);
    this.#status = newStatus(id, workflow);
    this.#begin();
  }

  get request(): Request {
    return this.#options.request;
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

  events({ after, signal }: Parameters<RunHandle['events']>[0] = {}): AsyncIterable<RunEvent> {
    return this.#events.read(after, signal);
  }

  result({ signal }: Parameters<RunHandle['result']>[0] = {}): Promise<unknown> {
    return abortable(this.#outcome, signal);
  }

  async deadLetters(): Promise<readonly DeadLetter[]> {
    return [...this.#deadLetters.values()].sort((a, b) => (a.reference < b.reference ? -1 : 1));
  }

  async failedItems(): Promise<readonly FailedItem[]> {
    return this.#failedItems.list();
  }

  async pause(): Promise<void> {
    if (this.#status.state !== 'running') return;
    this.#paused = beginPause();
    this.#enter('paused');
  }

  async resume(): Promise<void> {
    if (this.#status.state !== 'paused') return;
    this.#enter('running');
    this.#endPause();
  }

  async cancel(): Promise<void> {
    if (hasEnded(this.#status.state)) return;
    this.#controller.abort(new SentvecError('aborted', `Run ${this.id} was cancelled.`));
    this.#endPause();
    await this.#outcome.catch(() => {});
  }

  async replay({ items }: Parameters<RunHandle['replay']>[0] = {}): Promise<void> {
    if (!hasEnded(this.#status.state)) {
      throw new SentvecError(
        'invalid-argument',
        `Run ${this.id} is ${this.#status.state}. Only a run that has ended can be replayed.`,
      );
    }
    if (items) checkFailedIds(this.id, items, this.#failedItems.list());
    this.#begin(items);
  }

  #begin(retried?: readonly string[]): void {
    this.#options.mayBegin(this);
    this.#failedItems.retry(retried);
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
      untilResumed: async () => this.#paused?.ended,
      emit: (payload) => this.#record(payload),
    };
    try {
      const stages = new LocalStages(scope, { failedItems: this.#failedItems });
      const output = await runStages(this.#workflow, this.#input, stages);
      this.#end('completed');
      return output;
    } catch (error) {
      const plain = toRunError(error, this.#status.stage ?? this.#workflow.id);
      this.#status = { ...this.#status, error: plain };
      this.#end(signal.aborted ? 'cancelled' : error instanceof IncompleteError ? 'incomplete' : 'failed');
      throw SentvecError.is(error)
        ? error
        : new SentvecError(plain.code, plain.message, plain.details, { cause: error });
    }
  }

  #record(payload: RunEventPayload): void {
    if (payload.type === 'stage') this.#status = { ...this.#status, stage: payload.stage };
    if (payload.type === 'items') this.#status = { ...this.#status, items: payload.items, total: payload.total };
    if (payload.type === 'dead-letter' && this.#deadLetters.size < maxDeadLetters) {
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
    this.#endPause();
    this.#status = { ...this.#status, finishedAt: Date.now() };
    this.#enter(state);
    this.#events.close();
  }

  #endPause(): void {
    this.#paused?.end();
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

  failedItems = async (): Promise<readonly FailedItem[]> => this.#run.failedItems();

  async replay(options: Parameters<RunHandle['replay']>[0] = {}): Promise<void> {
    await this.#current().replay(options);
    this.#attempt = this.#run.attempt;
  }

  #current(): LocalRun {
    if (this.#run.attempt === this.#attempt) return this.#run;
    throw new SentvecError(
      'invalid-argument',
      `Run ${this.id} was replayed, but this handle is for attempt ${this.#attempt}. Find the run again to get a new handle.`,
      { run: this.id, attempt: this.#attempt },
    );
  }
}

interface Pause {
  readonly ended: Promise<void>;
  readonly end: () => void;
}

function beginPause(): Pause {
  let end = (): void => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { ended, end };
}
