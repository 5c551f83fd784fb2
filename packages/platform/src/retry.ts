/**
 * What may pass is tried again: how long to wait, by the number of failures and by what a server asks for, and when to
 * stop.
 */
import { sleep, throwIfAborted } from './abort.ts';
import { SentvecError } from './errors.ts';

/** Milliseconds that a server may make us wait. */
const maxRetryAfter = 60_000;

/** Options of {@link retryDelay}, in milliseconds. */
export interface RetryDelayOptions {
  /** The wait after the first failure; doubled for each further one. */
  readonly first: number;
  /** The longest wait, however many failures there were. */
  readonly longest: number;
  /** What the server asks for: see {@link retryAfter}. @default 0 */
  readonly demanded?: number | undefined;
}

/**
 * Milliseconds before the next attempt: longer with each failure, and at least what the server asks for. A random quarter
 * more or less, so that processes that failed together do not come back together.
 * @param failures how many there have been in a row, at least 1
 */
export function retryDelay(failures: number, { first, longest, demanded = 0 }: RetryDelayOptions): number {
  const wait = Math.min(first * 2 ** (failures - 1), longest) * (0.75 + Math.random() / 2);
  return Math.max(wait, demanded * (1 + Math.random() / 4));
}

/**
 * What an answer asks to wait, in milliseconds, at most a minute: `Retry-After` (a number of seconds, or a date), or
 * `RateLimit` with nothing remaining (`"api";r=0;t=55`, as the Hugging Face hub sends it). 0 without one.
 */
export function retryAfter(headers: Headers): number {
  const reset = /;\s*r=0\s*;\s*t=(\d+)/u.exec(headers.get('ratelimit') ?? '')?.[1];
  const value = headers.get('retry-after') ?? reset ?? '';
  const wait = /^\s*\d+\s*$/u.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return wait > 0 ? Math.min(wait, maxRetryAfter) : 0;
}

/** A failure that may be over when the request is made again. */
export class PassingFailure extends Error {
  /** Milliseconds that the server asks to wait. */
  readonly wait: number;

  constructor(message: string, wait = 0) {
    super(message);
    this.wait = wait;
  }
}

/** Options of {@link waitToRetry}. */
export interface WaitToRetryOptions extends Pick<RetryDelayOptions, 'first' | 'longest'> {
  /** Failures in a row after which it is given up. */
  readonly attempts: number;
  /** The error when it is given up. `reason` has the messages of the failure and of its causes. */
  readonly failed: (reason: string) => SentvecError;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits before something is tried again; or throws, when the failure is permanent or there have been too many. Every
 * failure except a SentvecError counts as temporary: what a broken connection throws has no class of its own.
 * @param failures how many there have been in a row, this one included
 * @throws SentvecError `aborted`, what `failed` gives, or the failure itself
 */
export async function waitToRetry(failure: unknown, failures: number, options: WaitToRetryOptions): Promise<void> {
  const { attempts, failed, signal, ...waits } = options;
  throwIfAborted(signal);
  if (SentvecError.is(failure)) throw failure;
  if (failures >= attempts) throw failed(describe(failure));
  const demanded = failure instanceof PassingFailure ? failure.wait : 0;
  await sleep(retryDelay(failures, { ...waits, demanded }), signal);
}

/** The message with those of its causes, which say what really happened. */
function describe(failure: unknown): string {
  if (!(failure instanceof Error)) return String(failure);
  const cause = failure.cause === undefined ? '' : ` (${describe(failure.cause)})`;
  return `${failure.message || failure.name}${cause}`;
}
