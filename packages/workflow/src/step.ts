/** Steps: what a workflow is made from. */
import { SentvecError } from '@sentvec/core';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { fullRetryPolicy, type FullRetryPolicy, type RetryPolicy } from './retry.ts';

/** Where steps write their log. A pino logger fits. */
export interface Logger {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** The context of a step: what it can read about its attempt, and how it reports. */
export interface StepContext {
  /** Id of the run. */
  readonly run: string;
  /** Names this piece of work: the same in every attempt and in every process. For idempotent writes. */
  readonly key: string;
  /** Which attempt at this step it is, from 1. */
  readonly attempt: number;
  /** Which attempt of the run it is, from 1. Each replay is one more. See {@link RunStatus.attempt}. */
  readonly runAttempt: number;
  /**
   * How many processes were lost while they executed this step: they ended or froze. Such losses do not count as
   * attempts. A step that may be the cause should take more care from the second loss on.
   */
  readonly losses: number;
  /**
   * Fires when the run is cancelled or has failed elsewhere, when the attempt takes longer than its timeout, and when
   * the process stops.
   */
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /**
   * Reports the progress of this piece of work to watchers of the run. A small JSON value.
   * @throws SentvecError `invalid-argument` for anything else
   */
  readonly progress: (value: unknown) => void;
  /**
   * Records a piece of data that could not be processed, and that does not make the step fail. A second letter with the
   * same reference replaces the first. A reason of more than 4000 characters is shortened.
   * @throws SentvecError `invalid-argument` unless both parts are strings
   */
  readonly deadLetter: (letter: DeadLetter) => void;
  /**
   * In a step that yields items: how many there will be, as far as is known, so that watchers can estimate the time
   * left. `NaN` when it is not known.
   */
  readonly expect: (items: number) => void;
}

/** A piece of data that could not be processed. JSON. */
export interface DeadLetter {
  /** Where it is, such as `corpus.jsonl#17`: a reference, not the data. */
  readonly reference: string;
  /** A sentence for people. */
  readonly reason: string;
}

/** What {@link defineStep} takes. */
export interface StepDefinition<Input extends StandardSchemaV1, Output extends StandardSchemaV1, Result> {
  /** Letters, digits and `-`, unique in its workflow. */
  readonly id: string;
  /** Any Standard Schema. `run` gets its output. */
  readonly input: Input;
  /** Any Standard Schema. When `run` yields items, the schema of an item. */
  readonly output: Output;
  readonly retry?: RetryPolicy | undefined;
  /**
   * Milliseconds that one attempt may take; for a step that yields items, until its next item.
   * @default no limit
   */
  readonly timeout?: number | undefined;
  /**
   * Does the work. Idempotent: executed twice with the same input, it has the same effect as once. Takes and returns
   * small JSON values; data goes to files. As an async generator it yields the items of the `forEach` that follows:
   * always the same items in the same order, because it is read again from its start when the process that reads it
   * dies.
   */
  readonly run: (input: StandardSchemaV1.InferOutput<Input>, context: StepContext) => Result;
}

/** A step or a source, as runtimes see it. */
export interface AnyStep {
  readonly kind: 'step';
  readonly id: string;
  readonly input: StandardSchemaV1;
  readonly output: StandardSchemaV1;
  readonly retry: FullRetryPolicy;
  readonly timeout: number | undefined;
  readonly run: (input: never, context: StepContext) => unknown;
}

/** A step from one value to another. Made by {@link defineStep}. */
export interface Step<Input, Output> extends AnyStep {
  /** For the type checker only. */
  readonly '~step': (input: Input) => Output;
}

/** A step that yields items, for the `forEach` that follows it. Made by {@link defineStep}. */
export interface Source<Input, Item> extends AnyStep {
  /** For the type checker only. */
  readonly '~source': (input: Input) => Item;
}

/** A {@link Source} when `run` returns an async iterable, else a {@link Step}. */
export type DefinedStep<Input extends StandardSchemaV1, Output extends StandardSchemaV1, Result> =
  Result extends AsyncIterable<unknown>
    ? Source<StandardSchemaV1.InferInput<Input>, StandardSchemaV1.InferOutput<Output>>
    : Step<StandardSchemaV1.InferInput<Input>, StandardSchemaV1.InferOutput<Output>>;

/**
 * Defines a step of a workflow.
 *
 * @throws SentvecError `invalid-argument` for an id, retry policy or timeout that cannot be used
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

/** @throws SentvecError `invalid-argument` unless the id is made of letters, digits and `-`, beginning with a letter */
export function checkId(kind: 'step' | 'workflow', id: string): void {
  if (/^[A-Za-z][A-Za-z0-9-]{0,63}$/.test(id)) return;
  throw new SentvecError(
    'invalid-argument',
    `"${id}" cannot be the id of a ${kind}: use up to 64 letters, digits and "-", beginning with a letter.`,
  );
}
