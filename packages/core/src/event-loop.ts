/**
 * Milliseconds of work after which the event loop gets its turn. A timer of the caller is late by little more than
 * this.
 */
const longestSlice = 5;

/**
 * When the event loop last had its turn, as far as known. Shared by all that computes here: two embeddings at once must
 * not take a slice each. Long idle counts as work, so the first slice after it begins with a turn of the loop.
 */
let sliceStart = -Infinity;
let nextTurn: Promise<void> | undefined;

/** Whether the present slice of work has lasted long enough, and the event loop is due for its turn. */
export function sliceIsOver(): boolean {
  return performance.now() - sliceStart >= longestSlice;
}

/**
 * Cuts long computations on the caller's thread into slices: awaited between small steps, it returns at once while the
 * slice is young, else after the other tasks that wait have had a turn.
 */
export async function giveWay(): Promise<void> {
  while (sliceIsOver()) {
    nextTurn ??= takeTurn();
    await nextTurn;
  }
}

async function takeTurn(): Promise<void> {
  await nextTask();
  nextTurn = undefined;
  sliceStart = performance.now();
}

interface TaskQueue {
  setImmediate?: (task: () => void) => unknown;
}

/**
 * Resolves in a new task, behind timers and input and output that are due: a resolved promise alone would not let them
 * run.
 */
function nextTask(): Promise<void> {
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
