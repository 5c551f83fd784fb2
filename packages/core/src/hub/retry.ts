import { SentvecError, sleep, throwIfAborted } from '@sentvec/platform';
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
 * Waits before something is tried again; or throws, when its failure will not pass or there have been too many. All
 * failures pass but SentvecErrors: what a broken network makes of `fetch` has no class of its own.
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
  await sleep(waitBefore(failures, failure instanceof PassingFailure ? failure.wait : 0), signal);
}

/**
 * Milliseconds before the next attempt: longer with each failure, up to the longest, and at least what the server asks
 * for. A random quarter more or less, so that processes that failed together do not come back together.
 */
function waitBefore(failures: number, demanded: number): number {
  const wait = Math.min(firstWait * 2 ** (failures - 1), longestWait) * (0.75 + Math.random() / 2);
  return Math.max(wait, demanded * (1 + Math.random() / 4));
}

/** The message with those of its causes, which say what really happened. */
function describe(failure: unknown): string {
  if (!(failure instanceof Error)) return String(failure);
  const cause = failure.cause === undefined ? '' : ` (${describe(failure.cause)})`;
  return `${failure.message || failure.name}${cause}`;
}
