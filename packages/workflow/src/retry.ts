/** When a failed step is tried again, and after which delay. */
import { SentvecError, type ErrorCode } from '@sentvec/core';
import type { RunError } from './runtime.ts';
import { describeThrown } from './values.ts';

/** When and how often a failed step is tried again. */
export interface RetryPolicy {
  /**
   * The most attempts in all.
   * @default no limit for a fault that passes by itself ({@link isPassingFault}), 4 for any other
   */
  readonly attempts?: number | undefined;
  /**
   * Milliseconds before the second attempt; doubled before each further one, up to `maxDelay`.
   * @default 1000
   */
  readonly delay?: number | undefined;
  /**
   * The longest delay, in milliseconds.
   * @default 30_000, or `delay` when that is more
   */
  readonly maxDelay?: number | undefined;
  /**
   * Milliseconds after the first failure after which a step is not tried again.
   * @default 900_000, 15 minutes
   */
  readonly totalTime?: number | undefined;
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
]);

/**
 * Whether another attempt may succeed: after a full disk, a lost connection, a timeout, anything unknown. An error that
 * would come again, such as a wrong argument, is not transient.
 */
export function isTransient(error: unknown): boolean {
  return !(SentvecError.is(error) && (permanent.has(error.code) || dependsOnWorker(error)));
}

const passingCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['io-failed', 'download-failed', 'queue-unavailable']);

/** Error numbers of the system for what ends when a disk is cleaned, remounted or reconnected, or a network is back. */
const passingErrnos: ReadonlySet<unknown> = new Set(
  (
    'ENOSPC EDQUOT EROFS EIO ESTALE EBUSY EAGAIN EMFILE ENFILE ENOMEM ETIMEDOUT ECONNRESET ECONNREFUSED ECONNABORTED ' +
    'EPIPE EHOSTUNREACH ENETUNREACH ENETDOWN EAI_AGAIN UND_ERR_CONNECT_TIMEOUT UND_ERR_SOCKET'
  ).split(' '),
);

/** Whether an error is known to pass by itself within minutes: a full or read-only disk, a network that is away. */
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

/** The most milliseconds of any delay: a week. */
const longestDelay = 7 * 24 * 3_600_000;

/** How often a step has failed, and for how long. */
export interface Failures {
  /** How many attempts have failed, at least 1. */
  readonly attempts: number;
  /** Milliseconds since the first of them. */
  readonly milliseconds: number;
}

/** The most attempts at a step that fails for a reason that is not known to pass. */
const defaultAttempts = 4;

/**
 * Milliseconds until the next attempt: exponential, with a random share.
 *
 * @returns `undefined` when there is no next attempt
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
    const message = `retry.when failed: ${describeThrown(cause)}. It was asked about: ${describeThrown(error)}`;
    throw new SentvecError('step-failed', message, {}, { cause: error });
  }
}

/** The error of a step that is not tried again, with how often and how long it was tried. */
export function finalError(error: RunError, { attempts, milliseconds }: Failures): RunError {
  if (attempts === 1) return error;
  const seconds = Math.round(milliseconds / 1000);
  const time = seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  return { ...error, message: `${error.message} (Tried ${attempts} times in ${time}.)` };
}
