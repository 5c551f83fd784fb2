/**
 * Whether a worker thread is inside onnxruntime, in memory that it shares with the main thread. A thread that is stopped while it is inside (by `process.exit`, say) takes the process down with SIGABRT,
 * because the binding throws into a JavaScript environment that has ended.
 */
const state = { outside: 0, inside: 1, stopping: 2, stopped: 3 } as const;

/** The longest that an exit waits for one thread, milliseconds. A batch of the largest models takes a few seconds. */
const maxWait = 60_000;

export function createRunState(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

/** For the worker: marks that it goes inside. False when it must not, because the process is about to exit. */
export function enter(cell: Int32Array<SharedArrayBuffer>): boolean {
  return Atomics.compareExchange(cell, 0, state.outside, state.inside) === state.outside;
}

/** For the worker: marks that it came out. */
export function leave(cell: Int32Array<SharedArrayBuffer>): void {
  if (Atomics.compareExchange(cell, 0, state.inside, state.outside) === state.inside) return;
  Atomics.store(cell, 0, state.stopped);
  Atomics.notify(cell, 0);
}

const watched = new Set<Int32Array<SharedArrayBuffer>>();

/** For the main thread: when the process exits, it first waits until this worker is outside. Until {@link forget}. */
export function waitAtExit(cell: Int32Array<SharedArrayBuffer>): void {
  if (watched.size === 0) process.on('exit', waitForAll);
  watched.add(cell);
}

/** For the main thread: the worker has ended. */
export function forget(cell: Int32Array<SharedArrayBuffer>): void {
  watched.delete(cell);
  if (watched.size === 0) process.off('exit', waitForAll);
}

function waitForAll(): void {
  const inside = [...watched].filter((cell) => Atomics.exchange(cell, 0, state.stopping) === state.inside);
  for (const cell of inside) Atomics.wait(cell, 0, state.stopping, maxWait);
}
