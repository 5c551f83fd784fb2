/** Steps that are executed in this process, with further attempts after those that failed. */
import { SentvecError } from '@sentvec/core';
import { sleep, throwIfAborted } from '@sentvec/platform';
import { attemptSource, attemptStep, toRunError, type Attempt } from './attempt.ts';
import { finalError, retryDelay } from './retry.ts';
import type { RunEventPayload } from './runtime.ts';
import type { AnyStep, DeadLetter, Logger } from './step.ts';
import { maxReasonLength, shorten, toJsonValue } from './values.ts';

/** What steps that are executed in this process know about their run. */
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
  /** Items in progress at once, for a `forEach` that does not say. */
  readonly concurrency: number;
  /** Resolves when work may begin: at once, or when a paused run is resumed. */
  readonly untilResumed: () => Promise<void>;
  readonly emit: (payload: RunEventPayload) => void;
}

/** Executes a step, with the further attempts and delays that its policy allows. */
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
  /** Called with the number of items that the source says there will be. */
  readonly expect: (items: number) => void;
  /**
   * How many items to leave out at the beginning.
   * @default 0
   */
  readonly skip?: number | undefined;
  /**
   * How many items the source has yielded when it was read before, in another process.
   * @default `skip`
   */
  readonly least?: number | undefined;
}

/** The items of a source. A source that fails in the middle is read again, without the items that it yielded already. */
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

/** An attempt that sends its progress and dead letters to the scope's `emit`. */
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

/** A letter as it is stored: a long reason is shortened. */
function checkLetter({ reference, reason }: DeadLetter, key: string): DeadLetter {
  if (typeof reference === 'string' && typeof reason === 'string' && reference.length <= maxReasonLength)
    return { reference, reason: shorten(reason, maxReasonLength) };
  const message = `A dead letter of step "${key}" must have a reference of up to ${maxReasonLength} characters and a reason, both strings.`;
  throw new SentvecError('invalid-argument', message, { step: key });
}

/** The further attempts at one step. */
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

  /** Waits until the next attempt is due, or throws the error when there is none. */
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
    logger.warn({ key: this.#key, attempt, delay, error: plain }, 'a step failed and will be tried again');
    await sleep(delay, signal);
  }
}
