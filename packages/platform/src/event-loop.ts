/** Milliseconds of work after which a computation should yield. A timer of the caller is late by little more. */
const maxSliceMilliseconds = 5;

/**
 * When the event loop last ran, as far as known. All computations share it: two embeddings at once must not take a
 * slice each. Idle time counts as work, so the first slice after it begins by yielding.
 */
let sliceStart = -Infinity;
let pendingTurn: Promise<void> | undefined;

/** Whether the computation has held the event loop for 5 ms, so that it should call {@link yieldToEventLoop}. */
export function shouldYield(): boolean {
  return performance.now() - sliceStart >= maxSliceMilliseconds;
}

/**
 * Cuts a long computation on the caller's thread into slices. Await it between small steps: it returns at once while
 * the slice is young, else after the other tasks that wait have run.
 */
export async function yieldToEventLoop(): Promise<void> {
  while (shouldYield()) {
    pendingTurn ??= startSlice();
    await pendingTurn;
  }
}

async function startSlice(): Promise<void> {
  await nextTask();
  pendingTurn = undefined;
  sliceStart = performance.now();
}

interface TaskQueue {
  setImmediate?: (task: () => void) => unknown;
}

/** Resolves in a new task, after due timers, input and output. A resolved promise would not let them run. */
export function nextTask(): Promise<void> {
  const { setImmediate } = globalThis as TaskQueue;
  if (setImmediate) return new Promise((resolve) => void setImmediate(() => resolve()));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.addEventListener('message', () => {
      port1.close();
      resolve();
    });
    port1.start();
    port2.postMessage(null);
  });
}
