/** How long to wait before something is tried again, by the number of its failures and by what a server asks for. */

/** Milliseconds that a server may make us wait. */
const longestDemand = 60_000;

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

/** `Retry-After` of an answer in milliseconds, at most a minute: a number of seconds, or a date. 0 without one. */
export function retryAfter(headers: Headers): number {
  const value = headers.get('retry-after') ?? '';
  const wait = /^\s*\d+\s*$/u.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return wait > 0 ? Math.min(wait, longestDemand) : 0;
}
