/** Executes one attempt of a step. All runtimes use these functions. */
import { SentvecError, type ErrorDetails } from '@sentvec/core';
import { withDeadline } from '@sentvec/platform';
import type { RunError } from './runtime.ts';
import type { AnyStep, Logger, StepContext } from './step.ts';
import { checkSchema, describeThrown, maxReasonLength, shorten, toJsonValue } from './values.ts';

/** The data of one attempt, from which the context of the step is made. */
export interface Attempt extends Omit<StepContext, 'expect'> {
  readonly expect?: ((items: number) => void) | undefined;
}

/** Milliseconds that a step may take to clean up after its signal was aborted. */
const cleanUpTime = 1000;

/**
 * Validates the input, runs the step within its timeout, and validates the output.
 *
 * @throws SentvecError `invalid-argument` for an input or output that does not match its schema or is not small JSON;
 * `timed-out`; `aborted`; the errors of the step
 */
export async function attemptStep(step: AnyStep, input: unknown, attempt: Attempt): Promise<unknown> {
  const checked = await checkInputOf(step, input);
  return withinTimeout(step, attempt.signal, async (signal) => {
    const output = await step.run(checked as never, { ...attempt, signal, expect: () => {} });
    return checkOutputOf(step, output);
  });
}

/**
 * Like {@link attemptStep}, for a step that yields items. Skips the first `skip` items.
 *
 * @param least how many items the source yielded when it was read before
 * @throws SentvecError the errors of {@link attemptStep}; `invalid-argument` when there are fewer than `least` items
 */
export async function* attemptSource(
  step: AnyStep,
  input: unknown,
  attempt: Attempt,
  { skip, least }: { readonly skip: number; readonly least: number },
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
      if (next.done === true) {
        if (index < least) throw shorterError(step, index, least);
        return;
      }
      if (index >= skip) yield await checkOutputOf(step, next.value);
    }
  } finally {
    // Not awaited, because a generator that hangs never returns.
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

/** The error for a source that yielded fewer items when it was read again. */
function shorterError({ id }: AnyStep, items: number, earlier: number): SentvecError {
  return new SentvecError(
    'invalid-argument',
    `Step "${id}" yielded ${items} items when it was read again, but at least ${earlier} before. It must always yield the same items in the same order.`,
    { step: id },
  );
}

function checkInputOf(step: AnyStep, input: unknown): Promise<unknown> {
  return checkSchema(step.input, input, `The input of step "${step.id}"`);
}

async function checkOutputOf(step: AnyStep, output: unknown): Promise<unknown> {
  if (isAsyncIterable(output)) {
    throw new SentvecError('invalid-argument', `Step "${step.id}" yields items, so a forEach must follow it.`);
  }
  const what = `The output of step "${step.id}"`;
  return toJsonValue(await checkSchema(step.output, output, what), what);
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** Runs a step within its timeout. A step that ignores its signal does not block the run. */
function withinTimeout<T>(step: AnyStep, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { id, timeout } = step;
  const error = (): SentvecError =>
    new SentvecError('timed-out', `Step "${id}" took longer than its timeout of ${timeout} ms.`, { step: id });
  return withDeadline(work, { milliseconds: timeout, error, signal, grace: cleanUpTime });
}

/**
 * Converts any thrown value to the JSON form of a SentvecError, of bounded size. Values without an error code become
 * `step-failed`. `details.step` is the step. Never throws.
 */
export function toRunError(error: unknown, step: string): RunError {
  if (SentvecError.is(error)) {
    const details = plainDetails({ step, ...error.details });
    return { code: error.code, message: shorten(error.message, maxReasonLength), details };
  }
  return { code: 'step-failed', message: `Step "${step}" failed: ${describeThrown(error)}`, details: { step } };
}

/** Replaces details that are large or not JSON by a short text. */
function plainDetails(details: ErrorDetails): ErrorDetails {
  const facts = Object.entries(details).filter(([, fact]) => fact !== undefined);
  return Object.fromEntries(facts.map(([name, fact]) => [name, plainFact(fact)]));
}

function plainFact(fact: unknown): unknown {
  try {
    return toJsonValue(fact, 'A detail', maxReasonLength);
  } catch {
    return describeThrown(fact);
  }
}

/** A logger that writes nothing. */
export const silentLogger: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
