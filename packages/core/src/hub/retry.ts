import { waitToRetry } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';

/** Options for retrying requests that failed temporarily. */
export interface RetryOptions {
  /** How often a request is retried, with exponential backoff. */
  readonly retries: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits before the next attempt, see {@link waitToRetry}.
 * @param failures number of consecutive failures, including this one
 * @param what the subject of the error message, such as "The download of FILE"
 * @throws SentvecError `aborted`, `download-failed`, or the failure itself
 */
export function waitForHub(
  failure: unknown,
  failures: number,
  what: string,
  { retries, signal }: RetryOptions,
): Promise<void> {
  const failed = (reason: string): SentvecError => {
    const times = failures === 1 ? '' : `, ${failures} times in a row`;
    const message = `${what} failed${times}: ${reason}. Check the network and HF_ENDPOINT, then try again: a partial download is resumed.`;
    return new SentvecError('download-failed', message, {}, { cause: failure });
  };
  return waitToRetry(failure, failures, { first: 500, longest: 8000, attempts: retries + 1, failed, signal });
}
