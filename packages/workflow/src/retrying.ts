/** Steps that are executed in this process, with further attempts after those that failed. */
import { SentvecError } from '@sentvec/core';
import { sleep, throwIfAborted } from '@sentvec/platform';
import { attemptSource, attemptStep, toRunError, type Attempt } from './attempt.ts';
import { retryDelay } from './retry.ts';
import type { RunEventPayload } from './runtime.ts';
import type { AnyStep, Logger } from './step.ts';

/** What steps that are executed in this process know about their run. */
export interface LocalScope {
  readonly run: string;
  readonly runAttempt: number;
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
  for (let attempt = 1; ; attempt += 1) {
    await scope.untilResumed();
    try {
      return await attemptStep(step, value, createAttempt(key, attempt, scope));
    } catch (error) {
      await delayOrThrow(step, error, key, attempt, scope);
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
}

/** The items of a source. A source that fails in the middle is read again, without the items that it yielded already. */
export async function* readSource(
  step: AnyStep,
  input: unknown,
  key: string,
  scope: LocalScope,
  { expect, skip = 0 }: ReadSourceOptions,
): AsyncGenerator<unknown, void> {
  let done = skip;
  for (let attempt = 1; ; attempt += 1) {
    try {
      await scope.untilResumed();
      for await (const item of attemptSource(step, input, { ...createAttempt(key, attempt, scope), expect }, done)) {
        done += 1;
        yield item;
      }
      return;
    } catch (error) {
      await delayOrThrow(step, error, key, attempt, scope);
    }
  }
}

/** An attempt that sends its progress and dead letters to the scope's `emit`. */
export function createAttempt(
  key: string,
  attempt: number,
  { run, runAttempt, signal, logger, emit }: Omit<LocalScope, 'concurrency' | 'untilResumed'>,
): Attempt {
  return {
    run,
    key,
    attempt,
    runAttempt,
    signal,
    logger,
    progress: (value) => emit({ type: 'progress', key, value }),
    deadLetter: (letter) => emit({ type: 'dead-letter', key, letter }),
  };
}

/** Waits until the next attempt is due, or throws the error when there is none. */
async function delayOrThrow(
  step: AnyStep,
  error: unknown,
  key: string,
  attempt: number,
  scope: LocalScope,
): Promise<void> {
  throwIfAborted(scope.signal);
  const plain = toRunError(error, key);
  if (attempt >= step.retry.attempts || !step.retry.when(error)) {
    throw new SentvecError(plain.code, plain.message, plain.details, { cause: error });
  }
  scope.emit({ type: 'retry', key, attempt, error: plain });
  scope.logger.warn({ key, attempt, error: plain }, 'a step failed and will be tried again');
  await sleep(retryDelay(step.retry, attempt), scope.signal);
}
