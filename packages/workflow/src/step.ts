/** Steps, the parts of workflows. */
import { SentvecError } from '@sentvec/core';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { fullRetryPolicy, type FullRetryPolicy, type RetryPolicy } from './retry.ts';

/** The logger of steps. A pino logger can be used. */
export interface Logger {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** The context of a step: information about its attempt, and functions to report. */
export interface StepContext {
  /** Id of the run. */
  readonly run: string;
  /**
   * Identifies this execution of the step. It is the same in every attempt and process, so use it for idempotent
   * writes.
   */
  readonly key: string;
  /** Number of the attempt of this step, from 1. */
  readonly attempt: number;
  /** Number of the attempt of the run, from 1. Each replay is a new attempt. See {@link RunStatus.attempt}. */
  readonly runAttempt: number;
  /**
   * How many processes crashed or froze while they executed this step. These losses do not count as attempts. If the
   * step may be the cause, it should be more careful from the second loss on.
   */
  readonly losses: number;
  /**
   * Aborted when the run is cancelled or has failed, when the attempt exceeds its timeout, or when the process stops.
   */
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /**
   * Reports the progress of this step to watchers of the run, as a small JSON value.
   * @throws SentvecError `invalid-argument` for any other value
   */
  readonly progress: (value: unknown) => void;
  /**
   * Records data that could not be processed, without failing the step. A second letter with the same reference
   * replaces the first. A reason of more than 4000 characters is shortened.
   * @throws SentvecError `invalid-argument` unless both parts are strings
   */
  readonly deadLetter: (letter: DeadLetter) => void;
  /**
   * For a step that yields items: sets the expected number of items, so that watchers can estimate the time left. `NaN`
   * if it is unknown.
   */
  readonly expect: (items: number) => void;
}

/** A dead letter: a reference to data that could not be processed. JSON. */
export interface DeadLetter {
  /** The location of the data, such as `corpus.jsonl#17`. */
  readonly reference: string;
  /** An explanation in a sentence. */
  readonly reason: string;
}

/** The argument of {@link defineStep}. */
export interface StepDefinition<Input extends StandardSchemaV1, Output extends StandardSchemaV1, Result> {
  /** Letters, digits and `-`, unique in its workflow. */
  readonly id: string;
  /** Any Standard Schema. Its output is passed to `run`. */
  readonly input: Input;
  /** Any Standard Schema. If `run` yields items: the schema of an item. */
  readonly output: Output;
  readonly retry?: RetryPolicy | undefined;
  /**
   * Timeout of one attempt in milliseconds. For a step that yields items: the timeout of each next item.
   * @default no limit
   */
  readonly timeout?: number | undefined;
  /**
   * Names an input for people if the step fails permanently as the body of a `forEach`: a file with rows, a URL.
   * @default the input as JSON
   */
  readonly reference?: ((input: StandardSchemaV1.InferOutput<Input>) => string) | undefined;
  /**
   * Does the work. It must be idempotent: executing it twice with the same input has the same effect as once. Input and
   * output are small JSON values; data belongs in files. An async generator yields the items of the following
   * `forEach`. It must always yield the same items in the same order, because it is read again from the start if its
   * process dies.
   */
  readonly run: (input: StandardSchemaV1.InferOutput<Input>, context: StepContext) => Result;
}

/** A step or a source without its types, for runtimes. */
export interface AnyStep {
  readonly kind: 'step';
  readonly id: string;
  readonly input: StandardSchemaV1;
  readonly output: StandardSchemaV1;
  readonly retry: FullRetryPolicy;
  readonly timeout: number | undefined;
  readonly reference?: ((input: never) => string) | undefined;
  readonly run: (input: never, context: StepContext) => unknown;
}

/** A step from an input to an output. Made by {@link defineStep}. */
export interface Step<Input, Output> extends AnyStep {
  /** For the type checker only. */
  readonly '~step': (input: Input) => Output;
}

/** A step that yields items for the following `forEach`. Made by {@link defineStep}. */
export interface Source<Input, Item> extends AnyStep {
  /** For the type checker only. */
  readonly '~source': (input: Input) => Item;
}

/** A {@link Source} if `run` returns an async iterable, else a {@link Step}. */
export type DefinedStep<Input extends StandardSchemaV1, Output extends StandardSchemaV1, Result> =
  Result extends AsyncIterable<unknown>
    ? Source<StandardSchemaV1.InferInput<Input>, StandardSchemaV1.InferOutput<Output>>
    : Step<StandardSchemaV1.InferInput<Input>, StandardSchemaV1.InferOutput<Output>>;

/**
 * Defines a step of a workflow.
 *
 * @throws SentvecError `invalid-argument` for an invalid id, retry policy or timeout
 */
export function defineStep<
  Input extends StandardSchemaV1,
  Output extends StandardSchemaV1,
  Result extends
    | StandardSchemaV1.InferInput<Output>
    | Promise<StandardSchemaV1.InferInput<Output>>
    | AsyncIterable<StandardSchemaV1.InferInput<Output>>,
>(definition: StepDefinition<Input, Output, Result>): DefinedStep<Input, Output, Result> {
  checkId('step', definition.id);
  const { timeout } = definition;
  if (timeout !== undefined && !(timeout > 0)) {
    throw new SentvecError(
      'invalid-argument',
      `The timeout of step "${definition.id}" must be more than 0 milliseconds, not ${timeout}.`,
    );
  }
  const step: AnyStep = { ...definition, kind: 'step', retry: fullRetryPolicy(definition.retry), timeout };
  return step as DefinedStep<Input, Output, Result>;
}

/**
 * Validates an id.
 * @throws SentvecError `invalid-argument` unless it has letters, digits and `-`, beginning with a letter
 */
export function checkId(kind: 'step' | 'workflow', id: string): void {
  if (/^[A-Za-z][A-Za-z0-9-]{0,63}$/.test(id)) return;
  throw new SentvecError(
    'invalid-argument',
    `"${id}" is not a valid ${kind} id. Use up to 64 letters, digits and "-", beginning with a letter.`,
  );
}
