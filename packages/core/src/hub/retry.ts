import { waitToRetry } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';

/** How failures of the hub that may pass are dealt with. */
export interface RetryOptions {
  /** How often a request is made again, with longer and longer waits. */
  readonly retries: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits before the hub is asked again, see {@link waitToRetry}.
 * @param failures how many there have been in a row, this one included
 * @param what the thing that fails, for the message
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
    const message = `${what} failed${times}: ${reason}. Check the network and HF_ENDPOINT, then try again: what has arrived is kept.`;
    return new SentvecError('download-failed', message, {}, { cause: failure });
  };
  return waitToRetry(failure, failures, { first: 500, longest: 8000, attempts: retries + 1, failed, signal });
}
