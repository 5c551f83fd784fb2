/** When a failed step is tried again, and after which delay. */
import { SentvecError, type ErrorCode } from '@sentvec/core';

/** When and how often a failed step is tried again. */
export interface RetryPolicy {
  /**
   * The most attempts in all.
   * @default 3
   */
  readonly attempts?: number | undefined;
  /**
   * Milliseconds before the second attempt; doubled before each further one.
   * @default 1000
   */
  readonly delay?: number | undefined;
  /**
   * The random share of a delay, 0 to 1, so that a fleet does not retry at the same moment.
   * @default 0.5
   */
  readonly jitter?: number | undefined;
  /**
   * Whether another attempt may succeed.
   * @default {@link isTransient}
   */
  readonly when?: ((error: unknown) => boolean) | undefined;
}

/** A retry policy with every default filled in. */
export type FullRetryPolicy = { readonly [Key in keyof RetryPolicy]-?: NonNullable<RetryPolicy[Key]> };

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
 * Whether another attempt may succeed: after a full disk, a lost connection, a timeout, anything unknown. An error that
 * would come again, such as a wrong argument, is not transient.
 */
export function isTransient(error: unknown): boolean {
  return !(SentvecError.is(error) && permanent.has(error.code));
}

const workerCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'model-not-found',
  'model-access-denied',
  'invalid-model',
  'unsupported-model',
  'backend-unavailable',
  'backend-wrong',
  'space-mismatch',
  'missing-dependency',
  'job-refused',
]);

/** Error numbers of the system that say that this machine, or this user, cannot reach a file. */
const unreachable: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'ENOTCONN', 'EHOSTDOWN']);

/**
 * Whether an error may be the worker's own: another model or other weights, a missing mount, library or plugin. The same
 * step may succeed in another worker.
 */
export function dependsOnWorker(error: unknown): boolean {
  if (!SentvecError.is(error)) return false;
  const { missing, errno } = error.details;
  return workerCodes.has(error.code) || missing === true || unreachable.has(String(errno));
}

/** @throws SentvecError `invalid-argument` for numbers that make no sense */
export function fullRetryPolicy(policy: RetryPolicy = {}): FullRetryPolicy {
  const { attempts = 3, delay = 1000, jitter = 0.5, when = isTransient } = policy;
  const invalid = (message: string): SentvecError => new SentvecError('invalid-argument', message);
  if (!Number.isInteger(attempts) || attempts < 1)
    throw invalid(`retry.attempts must be a whole number of at least 1, not ${attempts}.`);
  if (!(delay >= 0)) throw invalid(`retry.delay must be at least 0 milliseconds, not ${delay}.`);
  if (!(jitter >= 0 && jitter <= 1)) throw invalid(`retry.jitter must be between 0 and 1, not ${jitter}.`);
  return { attempts, delay, jitter, when };
}

/** Milliseconds to wait after the given failed attempt (1 is the first): exponential, with a random share. */
export function retryDelay(policy: FullRetryPolicy, attempt: number): number {
  const longest = policy.delay * 2 ** (attempt - 1);
  return Math.round(longest * (1 - policy.jitter * Math.random()));
}
