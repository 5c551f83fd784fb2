import { SentvecError, type ErrorCode } from '@sentvec/core';

/** When and how often a failed step is tried again. */
export interface RetryPolicy {
  /** How often the step is tried in all. Default 3. */
  readonly attempts?: number;
  /** Milliseconds before the second attempt; doubled before each further one. Default 1000. */
  readonly delay?: number;
  /** The share of a delay that is left to chance, 0 to 1, so that a fleet does not retry in step. Default 0.5. */
  readonly jitter?: number;
  /** Whether an error may go away by itself. Default {@link isTransient}. */
  readonly when?: (error: unknown) => boolean;
}

/** A retry policy with every default filled in. */
export type FullRetryPolicy = Required<RetryPolicy>;

const permanent: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'invalid-argument',
  'model-not-found',
  'model-access-denied',
  'invalid-model',
  'unsupported-model',
  'backend-unavailable',
  'backend-wrong',
  'disposed',
  'aborted',
  'invalid-text',
  'invalid-corpus',
  'space-mismatch',
  'invalid-output',
  'missing-dependency',
  'job-refused',
  'run-not-found',
]);

/**
 * Whether an error may go away by itself: a full disk, a lost connection, a timeout, anything unknown. What cannot
 * succeed is not retried.
 */
export function isTransient(error: unknown): boolean {
  return !(SentvecError.is(error) && permanent.has(error.code));
}

/** The policy with its defaults. @throws SentvecError `invalid-argument` */
export function fullRetryPolicy(policy: RetryPolicy = {}): FullRetryPolicy {
  const full = { attempts: 3, delay: 1000, jitter: 0.5, when: isTransient, ...policy };
  if (!Number.isInteger(full.attempts) || full.attempts < 1) {
    throw new SentvecError(
      'invalid-argument',
      `retry.attempts must be a whole number of at least 1, not ${full.attempts}.`,
    );
  }
  if (!(full.delay >= 0))
    throw new SentvecError('invalid-argument', `retry.delay must be at least 0 milliseconds, not ${full.delay}.`);
  if (!(full.jitter >= 0 && full.jitter <= 1)) {
    throw new SentvecError('invalid-argument', `retry.jitter must be between 0 and 1, not ${full.jitter}.`);
  }
  return full;
}

/** Milliseconds to wait after the given failed attempt (1 is the first): exponential, with a random share. */
export function retryDelay(policy: FullRetryPolicy, attempt: number): number {
  const longest = policy.delay * 2 ** (attempt - 1);
  return Math.round(longest * (1 - policy.jitter * Math.random()));
}
