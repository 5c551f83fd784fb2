/** Retry policies: whether a failed step is retried, and after which delay. */
import { SentvecError, type ErrorCode } from '@sentvec/core';
import type { RunError } from './runtime.ts';
import { describeThrown } from './values.ts';

/** How a failed step is retried. */
export interface RetryPolicy {
  /**
   * Maximum number of attempts, including the first.
   * @default no limit for a temporary fault ({@link isPassingFault}), 4 for any other error
   */
  readonly attempts?: number | undefined;
  /**
   * Milliseconds before the second attempt. The delay doubles for each further attempt, up to `maxDelay`.
   * @default 1000
   */
  readonly delay?: number | undefined;
  /**
   * Maximum delay in milliseconds.
   * @default 30_000, or `delay` if that is more
   */
  readonly maxDelay?: number | undefined;
  /**
   * Milliseconds after the first failure during which the step is retried.
   * @default 900_000, 15 minutes
   */
  readonly totalTime?: number | undefined;
  /**
   * The random share of a delay, 0 to 1. It prevents all workers from retrying at the same time.
   * @default 0.5
   */
  readonly jitter?: number | undefined;
  /**
   * Returns whether another attempt may succeed after this error.
   * @default {@link isTransient}
   */
  readonly when?: ((error: unknown) => boolean) | undefined;
}

/** A retry policy with every default filled in. */
export interface FullRetryPolicy extends Required<RetryPolicy> {
  readonly delay: number;
  readonly maxDelay: number;
  readonly totalTime: number;
  readonly jitter: number;
  readonly when: (error: unknown) => boolean;
}

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
  'incomplete',
]);

/**
 * Whether another attempt may succeed: for example after a full disk, a lost connection, a timeout, or an unknown
 * error. Errors that would occur again, such as a wrong argument, are not transient.
 */
export function isTransient(error: unknown): boolean {
  return !(SentvecError.is(error) && (permanent.has(error.code) || dependsOnWorker(error)));
}

const passingCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['io-failed', 'download-failed', 'queue-unavailable']);

/** System error codes of temporary faults of disks and networks. */
const passingErrnos: ReadonlySet<unknown> = new Set(
  (
    'ENOSPC EDQUOT EROFS EIO ESTALE EBUSY EAGAIN EMFILE ENFILE ENOMEM ETIMEDOUT ECONNRESET ECONNREFUSED ECONNABORTED ' +
    'EPIPE EHOSTUNREACH ENETUNREACH ENETDOWN EAI_AGAIN UND_ERR_CONNECT_TIMEOUT UND_ERR_SOCKET'
  ).split(' '),
);

/** Whether an error is a temporary fault, such as a full or read-only disk or an unreachable network. */
export function isPassingFault(error: unknown): boolean {
  if (SentvecError.is(error)) {
    const { errno } = error.details;
    if (errno !== undefined) return passingErrnos.has(errno);
    if (passingCodes.has(error.code)) return true;
  }
  if (!(error instanceof Error)) return false;
  return ('code' in error && passingErrnos.has(error.code)) || isPassingFault(error.cause);
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

/** System error codes that mean that a file is not accessible on this machine or for this user. */
const unreachable: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'ENOTCONN', 'EHOSTDOWN']);

/**
 * Whether an error may be specific to this worker: another model or other weights, a missing mount, library or plugin.
 * The step may then succeed on another worker.
 */
export function dependsOnWorker(error: unknown): boolean {
  if (!SentvecError.is(error)) return false;
  const { missing, errno } = error.details;
  return workerCodes.has(error.code) || missing === true || unreachable.has(String(errno));
}

/** Fills in the defaults. @throws SentvecError `invalid-argument` for numbers out of range */
export function fullRetryPolicy(policy: RetryPolicy = {}): FullRetryPolicy {
  const { attempts, delay = 1000, maxDelay = Math.max(30_000, delay) } = policy;
  const { totalTime = 900_000, jitter = 0.5, when = isTransient } = policy;
  const invalid = (message: string): SentvecError => new SentvecError('invalid-argument', message);
  if (attempts !== undefined && (!Number.isInteger(attempts) || attempts < 1))
    throw invalid(`retry.attempts must be a whole number of at least 1, not ${attempts}.`);
  for (const [name, value] of Object.entries({ delay, maxDelay, totalTime }))
    if (!(value >= 0)) throw invalid(`retry.${name} must be at least 0 milliseconds, not ${value}.`);
  if (delay > longestDelay) throw invalid(`retry.delay must be at most ${longestDelay} milliseconds, not ${delay}.`);
  if (!(jitter >= 0 && jitter <= 1)) throw invalid(`retry.jitter must be between 0 and 1, not ${jitter}.`);
  return { attempts, delay, maxDelay, totalTime, jitter, when };
}

/** Upper limit of any delay in milliseconds: a week. */
const longestDelay = 7 * 24 * 3_600_000;

/** The failures of a step so far. */
export interface Failures {
  /** Number of failed attempts, at least 1. */
  readonly attempts: number;
  /** Milliseconds since the first failure. */
  readonly milliseconds: number;
}

/** Default maximum number of attempts for errors that are not temporary faults. */
const defaultAttempts = 4;

/**
 * Milliseconds until the next attempt: exponential backoff with jitter.
 *
 * @returns `undefined` if there is no next attempt
 * @throws SentvecError `step-failed` when `retry.when` throws
 */
export function retryDelay(policy: FullRetryPolicy, error: unknown, failures: Failures): number | undefined {
  const { attempts = isPassingFault(error) ? Infinity : defaultAttempts, delay, maxDelay, totalTime, jitter } = policy;
  if (failures.attempts >= attempts || failures.milliseconds >= totalTime || !mayRetry(policy, error)) return undefined;
  const longest = Math.min(delay * 2 ** (failures.attempts - 1), maxDelay, longestDelay);
  return Math.round(longest * (1 - jitter * Math.random()));
}

function mayRetry({ when }: FullRetryPolicy, error: unknown): boolean {
  try {
    return when(error);
  } catch (cause) {
    const message = `retry.when failed: ${describeThrown(cause)}. The error of the step was: ${describeThrown(error)}`;
    throw new SentvecError('step-failed', message, {}, { cause: error });
  }
}

/** Adds the number of attempts and their total time to the error of a step that is not retried again, also as `details.attempts`. */
export function finalError(error: RunError, { attempts, milliseconds }: Failures): RunError {
  if (attempts === 1) return error;
  const seconds = Math.round(milliseconds / 1000);
  const time = seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  const message = `${error.message} (Tried ${attempts} times in ${time}.)`;
  return { ...error, message, details: { ...error.details, attempts } };
}
