/** The interface of a runtime, which starts runs of workflows and returns handles of them. */
import { SentvecError, type ErrorCode, type ErrorDetails } from '@sentvec/core';
import type { MaxFailed } from '@sentvec/platform';
import type { DeadLetter } from './step.ts';
import { shorten } from './values.ts';
import type { Workflow } from './workflow.ts';

/**
 * The state of a run. The last four are final, unless the run is replayed. `incomplete`: some items failed, no more than
 * allowed, all others are done, and the stages after them have not begun.
 */
export type RunState = 'queued' | 'running' | 'paused' | 'completed' | 'incomplete' | 'failed' | 'cancelled';

/** Whether a run in this state has ended. */
export function hasEnded(state: RunState): boolean {
  return state === 'completed' || state === 'incomplete' || state === 'failed' || state === 'cancelled';
}

/** A model that a run needs. JSON. */
export interface NeededModel {
  /** A folder, a name on the hub, or `use-lite`. */
  readonly name: string;
  /**
   * The hash of `Embedder.fingerprint()`, or its first digits.
   * @default that of the worker that started last
   */
  readonly fingerprint?: string | undefined;
}

/** The status of a run. JSON. */
export interface RunStatus {
  readonly id: string;
  /** Id of the workflow. */
  readonly workflow: string;
  /** The workflow version of this attempt; `undefined` before it begins. See `workflowVersion`. */
  readonly version: string | undefined;
  /**
   * The model that the steps of the run need, if the runtime chooses workers by their models. Its fingerprint is chosen when
   * the run begins, and is the same in all attempts.
   */
  readonly model: NeededModel | undefined;
  readonly state: RunState;
  /** Number of the attempt of the run, from 1. Each replay is a new attempt. */
  readonly attempt: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** Start time of the first step of this attempt, in milliseconds since 1970. */
  readonly startedAt: number | undefined;
  readonly finishedAt: number | undefined;
  /** The current stage, for example `embed` or `nested/embed`. */
  readonly stage: string | undefined;
  /** Progress of the latest `forEach`. */
  readonly items: RunItems | undefined;
  /** The fold of the latest `forEach` so far. */
  readonly total: unknown;
  readonly error: RunError | undefined;
  /** Why no worker works on the run, in a sentence: for example, no worker has its workflow. */
  readonly notice: string | undefined;
}

/** Progress of a `forEach`. */
export interface RunItems {
  readonly done: number;
  /** Number of items that the source has yielded so far. */
  readonly planned: number;
  /** Number of items that the source expects. Exact after the source has ended. */
  readonly expected: number | undefined;
  /** How many failed for good; they are not among those that are done. Absent: none. */
  readonly failed?: number | undefined;
}

/** An item of a `forEach` that failed for good, or a step that did. JSON. */
export interface FailedItem {
  /** Stage and index: `embed#17`. Of a step, its stage: `commit`. */
  readonly id: string;
  /** Names its input for people: of a chunk of a corpus, file, rows and bytes. See `reference` of `defineStep`. */
  readonly reference: string;
  /** Its input. */
  readonly value: unknown;
  /** Why it failed. */
  readonly error: RunError;
  /** How many attempts at it failed. */
  readonly attempts: number;
  /** Id of the worker that made the last of them, where that is known. */
  readonly worker?: string | undefined;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** The error of a failed run: the JSON form of a SentvecError. */
export interface RunError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}

/** An event of a run. `id`s are increasing. Pass one to `events({ after })` to continue after it. */
export type RunEvent = {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly at: number;
} & RunEventPayload;

/** The error for an `after` that is not an event id. */
export function eventIdError(after: string): SentvecError {
  return new SentvecError(
    'invalid-argument',
    `${JSON.stringify(shorten(after, 100))} is not an event id of this runtime. Set \`after\` to the \`id\` of an event that it returned.`,
  );
}

/** The payload of a {@link RunEvent}, by its `type`. */
export type RunEventPayload =
  /** The run entered this state. */
  | {
      readonly type: 'state';
      readonly state: RunState;
      readonly attempt: number;
      readonly error?: RunError | undefined;
    }
  /** The run reached this stage. */
  | { readonly type: 'stage'; readonly stage: string }
  /** More items of a `forEach` are done. */
  | { readonly type: 'items'; readonly stage: string; readonly items: RunItems; readonly total: unknown }
  /** An attempt failed and will be retried. */
  | { readonly type: 'retry'; readonly key: string; readonly attempt: number; readonly error: RunError }
  /** A step called `deadLetter`. */
  | { readonly type: 'dead-letter'; readonly key: string; readonly letter: DeadLetter }
  /** A step called `progress`. A runtime may drop some of several events in quick succession. */
  | { readonly type: 'progress'; readonly key: string; readonly value: unknown };

/** The handle of a run, which may have been started by any process. */
export interface RunHandle<Output = unknown> {
  readonly id: string;
  /**
   * The attempt of the run that this handle controls: the latest one when the handle was created, or the one that its
   * `replay` began. `pause`, `resume`, `cancel` and `replay` throw `invalid-argument` if the run has been replayed
   * through another handle since, so that a call for one attempt never changes the next.
   */
  readonly attempt: number;
  /** @throws SentvecError `run-not-found`, `queue-unavailable` */
  status(): Promise<RunStatus>;
  /**
   * Yields the events of the run, from the beginning or after the event with the id `after`. Ends when the run ends.
   * Old events of a long run are dropped, but each `items` event has the complete progress.
   * @throws SentvecError `invalid-argument`, at the first event, when `after` is not an event id
   */
  events(options?: {
    readonly after?: string | undefined;
    readonly signal?: AbortSignal | undefined;
  }): AsyncIterable<RunEvent>;
  /**
   * Waits for the result, even while the queue is unreachable. Rejects with the error of a failed run, with
   * `incomplete` if some items failed, or with `aborted` if the run was cancelled. Aborting the signal stops waiting, not the run.
   */
  result(options?: { readonly signal?: AbortSignal | undefined }): Promise<Output>;
  /** The dead letters of this attempt: at most a thousand, one per reference. */
  deadLetters(): Promise<readonly DeadLetter[]>;
  /** The items that failed permanently and are not retried until a replay: at most 1001, in their order. */
  failedItems(): Promise<readonly FailedItem[]>;
  /** Pauses the run: active steps finish, and no others begin until `resume`. No effect on a run that has ended. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Cancels the run: active steps are aborted, and no others begin. No effect on a run that has ended. */
  cancel(): Promise<void>;
  /**
   * Runs an ended run again, as its next attempt. Steps can read `runAttempt`, to skip or repair existing results.
   *
   * @param options.items ids of the failed items to retry; the others stay failed. By default all.
   * @throws SentvecError `invalid-argument` while it has not ended, and for an id that is not a failed item
   */
  replay(options?: { readonly items?: readonly string[] | undefined }): Promise<void>;
}

/** Options of {@link Runtime.start}. */
export interface StartOptions {
  /**
   * At most 64 letters, digits, `-` and `_`, beginning with a letter.
   * @default a new id
   */
  readonly id?: string | undefined;
  /**
   * Priority, 1 (highest) to 1000. The in-process runtime ignores it, because its runs do not wait for each other.
   * @default 100
   */
  readonly priority?: number | undefined;
  /**
   * How many items of each `forEach` may fail for good, all their attempts used up: a number up to 1000, or a percentage
   * of all items such as `'1%'`. The run goes on without them and ends as `incomplete`, never as `completed`; `replay`
   * tries them again. When more fail, the run fails.
   * @default 0
   */
  readonly maxFailed?: MaxFailed | undefined;
}

/** Runs workflows. See `runtimeContract` in `@sentvec/testing`. */
export interface Runtime {
  /** The name of the runtime, such as `in-process` or `bullmq`. */
  readonly name: string;
  /**
   * Starts a run, and returns its handle without waiting for the result.
   *
   * Without an id: if a live run has the same request, its handle is returned; see `identify` of `defineWorkflow`. A
   * run that has ended is never returned.
   *
   * With the id of an existing run: its handle is returned if the input is the same, and a failed or cancelled run is
   * replayed. So an id makes a request idempotent as long as the run can be found.
   *
   * @throws SentvecError `invalid-argument` when the input does not match the workflow's schema, or the id belongs to
   * another request; `invalid-output` when a live run writes the same output; `queue-unavailable`
   */
  start<Input, Output>(
    workflow: Workflow<Input, Output>,
    input: Input,
    options?: StartOptions,
  ): Promise<RunHandle<Output>>;
  /** Finds the run with this id, which any process may have started. */
  find(id: string): Promise<RunHandle | undefined>;
  /**
   * Lists the newest runs, newest first.
   * @param options `limit`: maximum number, default 100.
   * @throws SentvecError `invalid-argument`
   */
  list(options?: { readonly limit?: number | undefined }): Promise<readonly RunStatus[]>;
  /** Closes connections. The in-process runtime also cancels its active runs. */
  close(): Promise<void>;
}
