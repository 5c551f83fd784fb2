/** One attempt at a step. Every runtime executes steps through these functions. */
import { SentvecError } from '@sentvec/core';
import { withDeadline } from '@sentvec/platform';
import type { RunError } from './runtime.ts';
import type { AnyStep, Logger, StepContext } from './step.ts';
import { checkSchema, toJsonValue } from './values.ts';

/** What a runtime knows about one attempt. The step's context is made from it. */
export interface Attempt extends Omit<StepContext, 'expect'> {
  readonly expect?: ((items: number) => void) | undefined;
}

/** Milliseconds for which a step whose signal has fired may still clean up. */
const cleanUpTime = 1000;

/**
 * Checks the input, runs the step within its timeout, checks the output.
 *
 * @throws SentvecError `invalid-argument` for an input or output that does not fit or is not small JSON, `timed-out`,
 * `aborted`; whatever the step throws
 */
export async function attemptStep(step: AnyStep, input: unknown, attempt: Attempt): Promise<unknown> {
  const checked = await checkInputOf(step, input);
  return withinTimeout(step, attempt.signal, async (signal) => {
    const output = await step.run(checked as never, { ...attempt, signal, expect: () => {} });
    return checkOutputOf(step, output);
  });
}

/** Like {@link attemptStep} for a step that yields items. Leaves out the first `skip` of them. */
export async function* attemptSource(
  step: AnyStep,
  input: unknown,
  attempt: Attempt,
  skip: number,
): AsyncGenerator<unknown, void> {
  const checked = await checkInputOf(step, input);
  const items = step.run(checked as never, { ...attempt, expect: attempt.expect ?? (() => {}) });
  if (!isAsyncIterable(items)) {
    const message = `Step "${step.id}" is followed by forEach, so its run must be an async generator.`;
    throw new SentvecError('invalid-argument', message);
  }
  const iterator = items[Symbol.asyncIterator]();
  try {
    for (let index = 0; ; index += 1) {
      const next = await withinTimeout(step, attempt.signal, () => iterator.next());
      if (next.done === true) return;
      if (index >= skip) yield await checkOutputOf(step, next.value);
    }
  } finally {
    // Not awaited: a generator that hangs in the middle would never return.
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

function checkInputOf(step: AnyStep, input: unknown): Promise<unknown> {
  return checkSchema(step.input, input, `The input of step "${step.id}"`);
}

async function checkOutputOf(step: AnyStep, output: unknown): Promise<unknown> {
  if (isAsyncIterable(output)) {
    throw new SentvecError('invalid-argument', `Step "${step.id}" yields items: put a forEach after it.`);
  }
  const what = `The output of step "${step.id}"`;
  return toJsonValue(await checkSchema(step.output, output, what), what);
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** A step that ignores its signal does not hold up the run. */
function withinTimeout<T>(step: AnyStep, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { id, timeout } = step;
  const error = (): SentvecError =>
    new SentvecError('timed-out', `Step "${id}" took longer than its timeout of ${timeout} ms.`, { step: id });
  return withDeadline(work, { milliseconds: timeout, error, signal, grace: cleanUpTime });
}

/**
 * Any thrown value as a SentvecError in plain form. What has no code of its own is `step-failed`. `details.step` says
 * where it happened.
 */
export function toRunError(error: unknown, step: string): RunError {
  if (SentvecError.is(error)) return { code: error.code, message: error.message, details: { step, ...error.details } };
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'step-failed', message: `Step "${step}" failed: ${message}`, details: { step } };
}

/** A logger that writes nothing. */
export const silentLogger: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
