import { once } from 'node:events';
import { eventIdError, type RunEvent, type RunEventPayload } from './runtime.ts';

/** Minimum number of latest events that are kept. */
const storedEvents = 1000;

/** The latest events of a run in this process. Any number of readers can read them at their own speed. */
export class EventLog {
  readonly #changes = new EventTarget();
  #events: RunEvent[] = [];
  #next = 1;
  #open = true;

  add(payload: RunEventPayload): void {
    this.#events.push({ id: String(this.#next), at: Date.now(), ...payload });
    this.#next += 1;
    if (this.#events.length > 2 * storedEvents) this.#events = this.#events.slice(-storedEvents);
    this.#changes.dispatchEvent(new Event('change'));
  }

  /** Ends each reader after it has read all events. */
  close(): void {
    this.#open = false;
    this.#changes.dispatchEvent(new Event('change'));
  }

  /** Reopens the log, so that readers wait for further events again. */
  reopen(): void {
    this.#open = true;
  }

  async *read(after: string | undefined, signal: AbortSignal | undefined): AsyncGenerator<RunEvent, void> {
    if (after !== undefined && !/^\d+$/.test(after)) throw eventIdError(after);
    let last = Number(after ?? 0);
    for (;;) {
      if (signal?.aborted) return;
      const fresh = this.#events.filter((event) => Number(event.id) > last);
      for (const event of fresh) {
        yield event;
        last = Number(event.id);
      }
      if (fresh.length > 0) continue;
      if (!this.#open) return;
      await once(this.#changes, 'change', signal ? { signal } : {}).catch(() => {});
    }
  }
}
