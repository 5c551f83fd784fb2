/** The interface of a runtime: it starts runs of workflows, and gives handles of them. */
import { SentvecError, type ErrorCode, type ErrorDetails } from '@sentvec/core';
import type { DeadLetter } from './step.ts';
import { shorten } from './values.ts';
import type { Workflow } from './workflow.ts';

/** The state of a run. The last three are final, until it is replayed. */
export type RunState = 'queued' | 'running' | 'paused' | 'completed' | 'failed' | 'cancelled';

/** Whether a run of this state has ended. */
export function hasEnded(state: RunState): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled';
}

/** A run at a moment. JSON. */
export interface RunStatus {
  readonly id: string;
  /** Id of the workflow. */
  readonly workflow: string;
  /** The version of the workflow that this attempt began with. `undefined` before it begins. See `workflowVersion`. */
  readonly version: string | undefined;
  readonly state: RunState;
  /** Which attempt of the run it is, from 1. Each replay is one more. */
  readonly attempt: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** When the first step of this attempt began. Milliseconds since 1970, as `finishedAt`. */
  readonly startedAt: number | undefined;
  readonly finishedAt: number | undefined;
  /** The stage that it is at, for example `embed`, or `nested/embed`. */
  readonly stage: string | undefined;
  /** Progress of the latest `forEach`. */
  readonly items: RunItems | undefined;
  /** The fold of the latest `forEach` so far. */
  readonly total: unknown;
  readonly error: RunError | undefined;
  /** Why no worker works on the run just now, in a sentence for people, such as that no worker serves its workflow. */
  readonly notice: string | undefined;
}

/** Progress of a `forEach`. */
export interface RunItems {
  readonly done: number;
  /** How many the source has yielded so far. */
  readonly planned: number;
  /** How many it said there will be. Exact once it has ended. */
  readonly expected: number | undefined;
}

/** Why a run failed, in the plain form of a SentvecError. */
export interface RunError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}

/** Something that happened in a run. `id`s grow; they are what `events({ after })` takes. */
export type RunEvent = {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly at: number;
} & RunEventPayload;

/** The error of an `after` that is no id of an event. */
export function eventIdError(after: string): SentvecError {
  return new SentvecError(
    'invalid-argument',
    `${JSON.stringify(shorten(after, 100))} is not the id of an event of this runtime: \`after\` takes the \`id\` of an event that it gave.`,
  );
}

/** What a {@link RunEvent} says, by its `type`. */
export type RunEventPayload =
  /** The run came to this state. */
  | {
      readonly type: 'state';
      readonly state: RunState;
      readonly attempt: number;
      readonly error?: RunError | undefined;
    }
  /** It reached this stage. */
  | { readonly type: 'stage'; readonly stage: string }
  /** More items of a `forEach` are done. */
  | { readonly type: 'items'; readonly stage: string; readonly items: RunItems; readonly total: unknown }
  /** An attempt failed, and there will be another. */
  | { readonly type: 'retry'; readonly key: string; readonly attempt: number; readonly error: RunError }
  /** A step called `deadLetter`. */
  | { readonly type: 'dead-letter'; readonly key: string; readonly letter: DeadLetter }
  /** A step called `progress`. A runtime may leave out some of those that follow each other fast. */
  | { readonly type: 'progress'; readonly key: string; readonly value: unknown };

/** A run that was started, in whatever process. */
export interface RunHandle<Output = unknown> {
  readonly id: string;
  /**
   * The attempt of the run that this handle controls: the latest when it was obtained, or the one that `replay` began.
   * `pause`, `resume`, `cancel` and `replay` throw `invalid-argument` when the run has been replayed elsewhere since,
   * so that a call meant for one attempt never changes the next.
   */
  readonly attempt: number;
  /** @throws SentvecError `run-not-found`, `queue-unavailable` */
  status(): Promise<RunStatus>;
  /**
   * What happens in the run, from the beginning, or after the event of that id. Ends when the run ends. Old events of a
   * long run are forgotten; each `items` event has the whole progress.
   * @throws SentvecError `invalid-argument`, at the first event, when `after` is no id of an event
   */
  events(options?: {
    readonly after?: string | undefined;
    readonly signal?: AbortSignal | undefined;
  }): AsyncIterable<RunEvent>;
  /**
   * Waits for the end, also while the queue cannot be reached. Rejects with the error of a failed run, and with
   * `aborted` when it was cancelled. A fired signal stops the waiting, not the run.
   */
  result(options?: { readonly signal?: AbortSignal | undefined }): Promise<Output>;
  /** What the steps of this attempt could not process: the first thousand, each once, by their references. */
  deadLetters(): Promise<readonly DeadLetter[]>;
  /** Lets what has begun finish and begins nothing more, until `resume`. No effect on a run that has ended. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Stops what is in progress and begins nothing more. No effect on a run that has ended. */
  cancel(): Promise<void>;
  /**
   * Runs an ended run again, as its next attempt. Steps see `runAttempt`, and skip or repair what is there already.
   * @throws SentvecError `invalid-argument` while it has not ended
   */
  replay(): Promise<void>;
}

/** Options of {@link Runtime.start}. */
export interface StartOptions {
  /**
   * At most 64 letters, digits, `-` and `_`, beginning with a letter.
   * @default a new id
   */
  readonly id?: string | undefined;
  /**
   * 1 (first) to 1000. In this process, runs do not wait for each other.
   * @default 100
   */
  readonly priority?: number | undefined;
}

/** Runs workflows. See `runtimeContract` in `@sentvec/testing`. */
export interface Runtime {
  /** Such as `in-process` or `bullmq`. */
  readonly name: string;
  /**
   * Begins a run and returns at once.
   *
   * Without an id, a request that is the same as that of a run which has not ended gives the handle of that run; see
   * `identify` of `defineWorkflow`. A run that has ended never answers a new request.
   *
   * With the id of a run that is there, gives its handle when the input is the same; a run that failed or was cancelled
   * is then replayed. So an id makes a request idempotent for as long as the run can be found.
   *
   * @throws SentvecError `invalid-argument` when the input does not fit the workflow's schema, or the id belongs to
   *   another request; `invalid-output` when a live run writes what this one would write; `queue-unavailable`
   */
  start<Input, Output>(
    workflow: Workflow<Input, Output>,
    input: Input,
    options?: StartOptions,
  ): Promise<RunHandle<Output>>;
  /** The run of that id, from whatever process it was started. */
  find(id: string): Promise<RunHandle | undefined>;
  /** Runs, newest first: the newest 100, or `limit` of them. @throws SentvecError `invalid-argument` */
  list(options?: { readonly limit?: number | undefined }): Promise<readonly RunStatus[]>;
  /** Frees connections. In this process it also cancels what runs. */
  close(): Promise<void>;
}
