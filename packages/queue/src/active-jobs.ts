import { once } from 'node:events';
import { AbortScope } from '@sentvec/platform';

/** The worker stops; it lost the job's lock; another coordinator owns the run. */
export type InterruptionReason = 'stopping' | 'lock lost' | 'superseded';

/** Ends work that has not failed: its job goes back into the queue, or another worker has it already. */
export class Interruption extends Error {
  override readonly name = 'Interruption';
  readonly reason: InterruptionReason;

  constructor(reason: InterruptionReason) {
    super(`The work was interrupted: ${reason}.`);
    this.reason = reason;
  }
}

/** The jobs that one BullMQ worker is processing, each with a way to interrupt it. */
export class ActiveJobs {
  readonly #scopes = new Map<string, AbortScope>();
  readonly #changes = new EventTarget();

  get size(): number {
    return this.#scopes.size;
  }

  /**
   * Runs the work of a job.
   *
   * @param outer a signal that also ends the work
   * @param work gets a signal that fires when the job is interrupted or `outer` fires; `run` then rejects with the
   *   reason of that signal, whatever the work rejects with
   */
  async run<T>(jobId: string, outer: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const scope = new AbortScope(outer);
    const { signal } = scope;
    this.#scopes.set(jobId, scope);
    try {
      return await work(signal);
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      scope.close();
      this.#scopes.delete(jobId);
      this.#changes.dispatchEvent(new Event('end'));
    }
  }

  /** Resolves when no job is active. */
  async idle(): Promise<void> {
    while (this.size > 0) await once(this.#changes, 'end');
  }

  /** Interrupts some jobs, by default all. */
  interrupt(reason: InterruptionReason, jobIds: readonly string[] = [...this.#scopes.keys()]): void {
    for (const id of jobIds) this.#scopes.get(id)?.abort(new Interruption(reason));
  }
}
