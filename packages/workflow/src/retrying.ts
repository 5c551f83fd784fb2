/** Executes steps in this process with retries. */
import { SentvecError } from '@sentvec/core';
import { sleep, throwIfAborted } from '@sentvec/platform';
import { attemptSource, attemptStep, toRunError, type Attempt } from './attempt.ts';
import { finalError, retryDelay } from './retry.ts';
import type { RunEventPayload } from './runtime.ts';
import type { AnyStep, DeadLetter, Logger } from './step.ts';
import { maxReasonLength, shorten, toJsonValue } from './values.ts';

/** The scope of a run for steps that are executed in this process. */
export interface LocalScope {
  readonly run: string;
  readonly runAttempt: number;
  /**
   * See {@link StepContext.losses}.
   * @default 0
   */
  readonly losses?: number | undefined;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /** Number of concurrent items of a `forEach` without its own `concurrency`. */
  readonly concurrency: number;
  /** Resolves when work may begin. Waits while the run is paused. */
  readonly untilResumed: () => Promise<void>;
  readonly emit: (payload: RunEventPayload) => void;
}

/** Executes a step with retries according to its policy. */
export async function attemptWithRetries(
  step: AnyStep,
  value: unknown,
  key: string,
  scope: LocalScope,
): Promise<unknown> {
  const retries = new Retries(step, key, scope);
  for (let attempt = 1; ; attempt += 1) {
    await scope.untilResumed();
    try {
      return await attemptStep(step, value, createAttempt(key, attempt, scope));
    } catch (error) {
      await retries.delayOrThrow(error, attempt);
    }
  }
}

/** Options of {@link readSource}. */
export interface ReadSourceOptions {
  /** Called with the number of items that the source expects. */
  readonly expect: (items: number) => void;
  /**
   * Number of items to skip at the beginning.
   * @default 0
   */
  readonly skip?: number | undefined;
  /**
   * How many items the source yielded when it was read before by another process.
   * @default `skip`
   */
  readonly least?: number | undefined;
}

/**
 * Yields the items of a source. If the source fails in the middle, it is read again, and the items that were already
 * yielded are skipped.
 */
export async function* readSource(
  step: AnyStep,
  input: unknown,
  key: string,
  scope: LocalScope,
  { expect, skip = 0, least = skip }: ReadSourceOptions,
): AsyncGenerator<unknown, void> {
  const retries = new Retries(step, key, scope);
  let done = skip;
  for (let attempt = 1; ; attempt += 1) {
    try {
      await scope.untilResumed();
      const reading = { skip: done, least: Math.max(least, done) };
      for await (const item of attemptSource(step, input, { ...createAttempt(key, attempt, scope), expect }, reading)) {
        done += 1;
        yield item;
      }
      return;
    } catch (error) {
      await retries.delayOrThrow(error, attempt);
    }
  }
}

/** Creates an attempt that sends its progress and dead letters to the scope's `emit`. */
export function createAttempt(
  key: string,
  attempt: number,
  { run, runAttempt, losses = 0, signal, logger, emit }: Omit<LocalScope, 'concurrency' | 'untilResumed'>,
): Attempt {
  return {
    run,
    key,
    attempt,
    runAttempt,
    losses,
    signal,
    logger,
    progress: (value) => emit({ type: 'progress', key, value: toJsonValue(value, `The progress of step "${key}"`) }),
    deadLetter: (letter) => emit({ type: 'dead-letter', key, letter: checkLetter(letter, key) }),
  };
}

/** Validates a dead letter, and shortens a long reason. */
function checkLetter({ reference, reason }: DeadLetter, key: string): DeadLetter {
  if (typeof reference === 'string' && typeof reason === 'string' && reference.length <= maxReasonLength)
    return { reference, reason: shorten(reason, maxReasonLength) };
  const message = `A dead letter of step "${key}" must have a reference of up to ${maxReasonLength} characters and a reason, both strings.`;
  throw new SentvecError('invalid-argument', message, { step: key });
}

/** The retries of one step. */
class Retries {
  readonly #step: AnyStep;
  readonly #key: string;
  readonly #scope: LocalScope;
  #firstFailure: number | undefined;

  constructor(step: AnyStep, key: string, scope: LocalScope) {
    this.#step = step;
    this.#key = key;
    this.#scope = scope;
  }

  /** Waits until the next attempt, or throws the error if there is none. */
  async delayOrThrow(error: unknown, attempt: number): Promise<void> {
    const { signal, emit, logger } = this.#scope;
    throwIfAborted(signal);
    const now = performance.now();
    this.#firstFailure ??= now;
    const failures = { attempts: attempt, milliseconds: now - this.#firstFailure };
    const plain = toRunError(error, this.#key);
    const delay = retryDelay(this.#step.retry, error, failures);
    if (delay === undefined) {
      const { code, message, details } = finalError(plain, failures);
      throw new SentvecError(code, message, details, { cause: error });
    }
    emit({ type: 'retry', key: this.#key, attempt, error: plain });
    logger.warn({ key: this.#key, attempt, delay, error: plain }, 'a step failed and will be retried');
    await sleep(delay, signal);
  }
}
