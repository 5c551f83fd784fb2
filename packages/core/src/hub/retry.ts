import { retryDelay, SentvecError, sleep, throwIfAborted } from '@sentvec/platform';
import { PassingFailure } from './errors.ts';

/** How failures that may pass are dealt with. */
export interface RetryOptions {
  /** How often a request is made again, with longer and longer waits. */
  readonly retries: number;
  readonly signal?: AbortSignal | undefined;
}

/** Milliseconds before the first repetition; doubled for each further one, up to the longest. */
const firstWait = 500;
const longestWait = 8000;

/**
 * Waits before something is tried again; or throws, when the failure is permanent or there have been too many. Every
 * failure except a SentvecError counts as temporary, because `fetch` has no error class for a broken network.
 * @param failures how many there have been in a row, this one included
 * @param what the thing that fails, for the message
 * @throws SentvecError `aborted`, `download-failed`, or the failure itself
 */
export async function waitToRetry(
  failure: unknown,
  failures: number,
  what: string,
  { retries, signal }: RetryOptions,
): Promise<void> {
  throwIfAborted(signal);
  if (SentvecError.is(failure)) throw failure;
  if (failures > retries) {
    const times = failures === 1 ? '' : `, ${failures} times in a row`;
    const message = `${what} failed${times}: ${describe(failure)}. Check the network and HF_ENDPOINT, then try again: what has arrived is kept.`;
    throw new SentvecError('download-failed', message, {}, { cause: failure });
  }
  const demanded = failure instanceof PassingFailure ? failure.wait : 0;
  await sleep(retryDelay(failures, { first: firstWait, longest: longestWait, demanded }), signal);
}

/** The message with those of its causes, which say what really happened. */
function describe(failure: unknown): string {
  if (!(failure instanceof Error)) return String(failure);
  const cause = failure.cause === undefined ? '' : ` (${describe(failure.cause)})`;
  return `${failure.message || failure.name}${cause}`;
}
