import { once } from 'node:events';
import type { RunEvent, RunEventPayload } from './runtime.ts';

const kept = 1000;

/** The latest events of a run in this process, for any number of readers at their own pace. */
export class EventLog {
  readonly #changes = new EventTarget();
  #events: RunEvent[] = [];
  #next = 1;
  #open = true;

  add(payload: RunEventPayload): void {
    this.#events.push({ id: String(this.#next), at: Date.now(), ...payload });
    this.#next += 1;
    if (this.#events.length > 2 * kept) this.#events = this.#events.slice(-kept);
    this.#changes.dispatchEvent(new Event('change'));
  }

  /** Ends all readers once they have read everything. */
  close(): void {
    this.#open = false;
    this.#changes.dispatchEvent(new Event('change'));
  }

  /** Lets new readers wait for events again. */
  reopen(): void {
    this.#open = true;
  }

  async *read(after: string | undefined, signal: AbortSignal | undefined): AsyncGenerator<RunEvent, void> {
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
