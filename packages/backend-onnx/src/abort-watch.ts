/**
 * Listens to the abort signals of many jobs: once to each signal, however many jobs share it. A listener for each job
 * would make Node warn of a leak.
 */
export class AbortWatch {
  readonly #jobsOf = new Map<AbortSignal, { readonly jobs: Set<number>; readonly listener: () => void }>();
  readonly #onAbort: (job: number, signal: AbortSignal) => void;

  /** @param onAbort called for each job whose signal fires */
  constructor(onAbort: (job: number, signal: AbortSignal) => void) {
    this.#onAbort = onAbort;
  }

  add(job: number, signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const known = this.#jobsOf.get(signal);
    if (known !== undefined) {
      known.jobs.add(job);
      return;
    }
    const jobs = new Set([job]);
    const listener = (): void => {
      this.#jobsOf.delete(signal);
      for (const each of jobs) this.#onAbort(each, signal);
    };
    this.#jobsOf.set(signal, { jobs, listener });
    signal.addEventListener('abort', listener, { once: true });
  }

  /** The job is done. */
  remove(job: number, signal: AbortSignal | undefined): void {
    const known = signal && this.#jobsOf.get(signal);
    if (known === undefined || !known.jobs.delete(job) || known.jobs.size > 0) return;
    signal!.removeEventListener('abort', known.listener);
    this.#jobsOf.delete(signal!);
  }
}
