import { SentvecError } from '@sentvec/core';
import { toJsonValue } from './reference.ts';
import type { RunError } from './runtime.ts';
import { checkSchema } from './schema.ts';
import type { AnyStep, Logger, StepContext } from './step.ts';

/** What a runtime knows about one attempt; the step's context is made of it. */
export interface Attempt extends Omit<StepContext, 'expect'> {
  readonly expect?: ((items: number) => void) | undefined;
}

/**
 * One attempt at a step: checks the input, runs the step under its timeout, checks the output. Every runtime executes
 * steps by this function.
 *
 * @throws SentvecError `invalid-argument` for an input or output that does not fit or is not small JSON, `timed-out`,
 * `aborted`; whatever the step throws
 */
export async function attemptStep(step: AnyStep, input: unknown, attempt: Attempt): Promise<unknown> {
  const checked = await checkSchema(step.input, input, `The input of step "${step.id}"`);
  return underDeadline(step, attempt.signal, async (signal) => {
    const output = await step.run(checked as never, { ...attempt, signal, expect: () => {} });
    return checkOutput(step, output);
  });
}

/** Like {@link attemptStep} for a step that yields items. Leaves out the first `skip` of them. */
export async function* attemptSource(
  step: AnyStep,
  input: unknown,
  attempt: Attempt,
  skip: number,
): AsyncGenerator<unknown, void> {
  const checked = await checkSchema(step.input, input, `The input of step "${step.id}"`);
  const items = step.run(checked as never, { ...attempt, expect: attempt.expect ?? (() => {}) });
  if (!isAsyncIterable(items)) {
    throw new SentvecError(
      'invalid-argument',
      `Step "${step.id}" stands before forEach, so its run must be an async generator.`,
    );
  }
  const iterator = items[Symbol.asyncIterator]();
  try {
    for (let index = 0; ; index += 1) {
      const next = await underDeadline(step, attempt.signal, () => iterator.next());
      if (next.done === true) return;
      if (index >= skip) yield await checkOutput(step, next.value);
    }
  } finally {
    // Not awaited: a generator that is stuck in the middle would never return.
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

async function checkOutput(step: AnyStep, output: unknown): Promise<unknown> {
  if (isAsyncIterable(output)) {
    throw new SentvecError('invalid-argument', `Step "${step.id}" yields items: put a forEach behind it.`);
  }
  const what = `The output of step "${step.id}"`;
  return toJsonValue(await checkSchema(step.output, output, what), what);
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** Milliseconds for which a step that was told to stop may still clean up. */
const grace = 1000;

/**
 * Races the work against the step's timeout and the signal, so that a step that ignores its signal cannot hold the run
 * up.
 */
async function underDeadline<T>(
  step: AnyStep,
  outer: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (outer.aborted) throw abortError(outer);
  const inner = new AbortController();
  const { signal } = inner;
  const passOn = () => inner.abort(outer.reason);
  outer.addEventListener('abort', passOn);
  const timer =
    step.timeout === undefined ? undefined : setTimeout(() => inner.abort(timeoutError(step)), step.timeout);
  let patience: NodeJS.Timeout | undefined;
  try {
    return await new Promise<T>((resolve, reject) => {
      signal.addEventListener('abort', () => {
        patience = setTimeout(() => reject(abortError(signal)), grace);
      });
      work(signal).then(resolve, reject);
    });
  } catch (error) {
    // A step that heeds its signal rejects with an error of its own making: the reason for the abort is what counts.
    throw signal.aborted ? abortError(signal) : error;
  } finally {
    clearTimeout(timer);
    clearTimeout(patience);
    outer.removeEventListener('abort', passOn);
  }
}

function timeoutError(step: AnyStep): SentvecError {
  return new SentvecError('timed-out', `Step "${step.id}" took longer than its timeout of ${step.timeout} ms.`, {
    step: step.id,
  });
}

/** The reason of a fired signal, as an error. */
export function abortError(signal: AbortSignal): SentvecError {
  if (SentvecError.is(signal.reason)) return signal.reason;
  return new SentvecError('aborted', 'The work was aborted by its caller.', {}, { cause: signal.reason });
}

/**
 * Any thrown value as a SentvecError in plain form; what has no code of its own is `step-failed`. `details.step` says
 * where.
 */
export function toRunError(error: unknown, step: string): RunError {
  if (SentvecError.is(error)) return { code: error.code, message: error.message, details: { step, ...error.details } };
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'step-failed', message: `Step "${step}" failed: ${message}`, details: { step } };
}

/** A logger that says nothing. */
export const silentLogger: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
