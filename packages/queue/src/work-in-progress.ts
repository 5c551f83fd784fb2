import { once } from 'node:events';

/** This worker stops; it lost its lock on the job; another coordinator owns the run. */
export type InterruptionReason = 'stopping' | 'lock lost' | 'superseded';

/** Why work is given up without its own fault: it goes back into the queue, or another worker has it already. */
export class Interruption extends Error {
  override readonly name = 'Interruption';
  readonly reason: InterruptionReason;

  constructor(reason: InterruptionReason) {
    super(`The work was interrupted: ${reason}.`);
    this.reason = reason;
  }
}

/** The jobs of one BullMQ worker that are being processed, each with a way to interrupt it. */
export class WorkInProgress {
  readonly #controllers = new Map<string, AbortController>();
  readonly #changes = new EventTarget();

  get size(): number {
    return this.#controllers.size;
  }

  /**
   * Runs the work with a signal that fires for an interruption, or for the other signal; then its reason is what this
   * rejects with.
   */
  async do<T>(jobId: string, other: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    const passOn = () => controller.abort(other.reason);
    if (other.aborted) passOn();
    other.addEventListener('abort', passOn);
    this.#controllers.set(jobId, controller);
    try {
      return await work(controller.signal);
    } catch (error) {
      throw controller.signal.aborted ? controller.signal.reason : error;
    } finally {
      other.removeEventListener('abort', passOn);
      this.#controllers.delete(jobId);
      this.#changes.dispatchEvent(new Event('end'));
    }
  }

  /** Resolves when nothing is in progress. */
  async ended(): Promise<void> {
    while (this.size > 0) await once(this.#changes, 'end');
  }

  /** Interrupts some jobs, or all. */
  interrupt(reason: InterruptionReason, jobIds: readonly string[] = [...this.#controllers.keys()]): void {
    for (const id of jobIds) this.#controllers.get(id)?.abort(new Interruption(reason));
  }
}
