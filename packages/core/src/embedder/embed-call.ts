import { SentvecError } from '../errors.ts';

/**
 * One call of `embed` or `embedStream`, as far as it can be ended from outside: by the caller's signal, by a failure in
 * one of its parts, by the disposal of the embedder. Whatever comes first is the error of all that still runs.
 */
export class EmbedCall {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #onAbort = (): void =>
    this.fail(new SentvecError('aborted', 'The work was aborted by its caller.', {}, { cause: this.#outer?.reason }));

  constructor(outer: AbortSignal | undefined) {
    this.#outer = outer;
    if (outer?.aborted) this.#onAbort();
    else outer?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Fires with the error that ends the call as its reason. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends the call with an error, unless it has ended before. */
  fail(error: unknown): void {
    this.#controller.abort(error);
  }

  /** Ends what may still be running, and lets go of the caller's signal. */
  close(): void {
    this.#outer?.removeEventListener('abort', this.#onAbort);
    this.fail(new SentvecError('aborted', 'The work was no longer wanted.'));
  }
}

/** The promise, or the signal's reason as soon as the signal fires, whatever becomes of the promise then. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => {});
  signal.throwIfAborted();
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
