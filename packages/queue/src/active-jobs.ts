// The jobs that a BullMQ worker is processing, and the reasons for which one is interrupted.
import { once } from 'node:events';
import { AbortScope } from '@sentvec/platform';

/**
 * Why a job is interrupted: the worker stops, the worker lost the lock of the job, another coordinator owns the run, or no
 * worker has the model of the run.
 */
export type InterruptionReason = 'stopping' | 'lock lost' | 'superseded' | 'unserved';

/** Aborts work that has not failed. Its job returns to the queue, or another worker has it already. */
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
   * @param outer a signal that also aborts the work
   * @param work gets a signal that is aborted when the job is interrupted or `outer` is aborted. `run` then rejects
   * with the reason of that signal, even if the work rejects with another error
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
