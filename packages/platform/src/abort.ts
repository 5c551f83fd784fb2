/*
 * How work ends before it is done: by its caller's signal, by a deadline, by the failure of one of its parts. Every
 * package aborts through these functions, so that an abort always looks the same.
 */
import { SentvecError } from './errors.ts';

/**
 * The error of work that a signal stopped: the signal's reason when that is a SentvecError, else an `aborted` error
 * with the reason as its cause.
 */
export function abortError(signal: AbortSignal): SentvecError {
  if (SentvecError.is(signal.reason)) return signal.reason;
  return new SentvecError('aborted', 'The work was aborted by its caller.', {}, { cause: signal.reason });
}

/** @throws SentvecError `aborted` when the signal has fired; see {@link abortError} */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal);
}

interface SignalListeners {
  readonly all: Set<() => void>;
  readonly notify: () => void;
}

/** A signal gets one listener, however much work shares it: Node warns of a leak at more than ten. */
const listenersOf = new WeakMap<AbortSignal, SignalListeners>();

/**
 * Calls the listener once when the signal fires, at once when it has fired already.
 * @param listener must not throw
 * @returns a function that stops listening
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) {
    listener();
    return () => {};
  }
  const { all, notify } = listenersOf.get(signal) ?? listenTo(signal);
  const own = (): void => listener();
  all.add(own);
  return () => {
    if (!all.delete(own) || all.size > 0) return;
    signal.removeEventListener('abort', notify);
    listenersOf.delete(signal);
  };
}

function listenTo(signal: AbortSignal): SignalListeners {
  const all = new Set<() => void>();
  const notify = (): void => {
    for (const listener of all) listener();
    all.clear();
  };
  signal.addEventListener('abort', notify, { once: true });
  listenersOf.set(signal, { all, notify });
  return { all, notify };
}

/**
 * The promise, or the signal's error as soon as the signal fires, whatever becomes of the promise then.
 * @throws SentvecError `aborted`
 */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  promise.catch(() => {}); // After an abort, nobody else handles its rejection.
  let stopListening = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stopListening = onAbort(signal, () => reject(abortError(signal)));
  });
  try {
    return await Promise.race([aborted, promise]);
  } finally {
    stopListening();
  }
}

/** What `setTimeout` takes at most, 24 days: it calls back at once for more. */
const maxTimerDelay = 2 ** 31 - 1;

/**
 * Calls back once, after any number of milliseconds; never for `Infinity`.
 * @returns a function that stops waiting
 */
export function startTimer(milliseconds: number, callback: () => void): () => void {
  const wait = (): void => {
    const next = Math.min(left, maxTimerDelay);
    left -= next;
    timer = setTimeout(left > 0 ? wait : callback, next);
  };
  let left = milliseconds;
  let timer: ReturnType<typeof setTimeout>;
  wait();
  return () => clearTimeout(timer);
}

/**
 * Waits.
 * @throws SentvecError `aborted` as soon as the signal fires
 */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  let stop = (): void => {};
  try {
    await abortable(new Promise<void>((resolve) => (stop = startTimer(milliseconds, resolve))), signal);
  } finally {
    stop();
  }
}

/** One error for all scopes: creating it takes longer than the rest of `close`, with which nearly all work ends. */
let notWanted: SentvecError | undefined;

/**
 * Work whose parts end together. Its signal fires for the caller's signal, for the failure of a part, or when the work
 * is closed; whatever comes first is the reason for all parts that still run.
 */
export class AbortScope {
  readonly #controller = new AbortController();
  readonly #leave: () => void;

  /** @param outer the caller's signal */
  constructor(outer?: AbortSignal) {
    this.#leave = onAbort(outer, () => this.abort(outer!.reason));
  }

  /** For the parts of the work. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends the work, unless it has ended before. */
  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** Ends parts that still run, and stops listening to the caller's signal. Call it when the work is done. */
  close(): void {
    this.#leave();
    this.abort((notWanted ??= new SentvecError('aborted', 'The work was no longer wanted.')));
  }
}

/** Options of {@link withDeadline}. */
export interface DeadlineOptions {
  /** How long the work may take. @default no limit */
  readonly milliseconds?: number | undefined;
  /** The error of work that takes longer. */
  readonly error: () => Error;
  /** The caller's signal, which may end the work before. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for which work whose signal has fired may still clean up. @default 0 */
  readonly grace?: number | undefined;
}

/**
 * Runs work that has a deadline. Once the deadline or the caller's signal has ended it, that is its error, whatever the
 * work itself throws, and work that ignores its signal is not waited for.
 * @param work gets a signal that fires at the deadline and with the caller's signal
 * @throws the error of the deadline; SentvecError `aborted`; what the work throws
 */
export async function withDeadline<T>(
  work: (signal: AbortSignal) => Promise<T>,
  { milliseconds, error, signal: outer, grace = 0 }: DeadlineOptions,
): Promise<T> {
  throwIfAborted(outer);
  const controller = new AbortController();
  const { signal } = controller;
  let end: Error | undefined;
  const stop = (reason: unknown, first: Error): void => {
    end ??= first;
    controller.abort(reason);
  };
  const onDeadline = (): void => {
    const late = error();
    stop(late, late);
  };
  const leave = onAbort(outer, () => stop(outer!.reason, abortError(outer!)));
  const stopTimer = milliseconds === undefined ? undefined : startTimer(milliseconds, onDeadline);
  let graceEnd: ReturnType<typeof setTimeout> | undefined;
  try {
    return await new Promise<T>((resolve, reject) => {
      onAbort(signal, () => {
        graceEnd = setTimeout(() => reject(end), grace);
      });
      work(signal).then(resolve, reject);
    });
  } catch (failure) {
    throw end ?? failure;
  } finally {
    leave();
    stopTimer?.();
    clearTimeout(graceEnd);
  }
}
