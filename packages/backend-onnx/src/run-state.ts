/**
 * The state of a worker thread in shared memory: whether it is executing onnxruntime. If a thread is stopped while it
 * executes onnxruntime, for example by `process.exit()`, the process crashes with SIGABRT, because the native binding
 * throws into a JavaScript environment that has ended.
 */
const state = { outside: 0, inside: 1, stopping: 2, stopped: 3 } as const;

/**
 * The maximum time in milliseconds for which an exit waits for one thread. A batch of the largest models takes a few
 * seconds.
 */
const maxWait = 60_000;

export function createRunState(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

/**
 * Called by the worker before it calls onnxruntime. It returns false if the process is exiting and the worker must not
 * call it.
 */
export function enter(cell: Int32Array<SharedArrayBuffer>): boolean {
  return Atomics.compareExchange(cell, 0, state.outside, state.inside) === state.outside;
}

/** Called by the worker after a call of onnxruntime. */
export function leave(cell: Int32Array<SharedArrayBuffer>): void {
  if (Atomics.compareExchange(cell, 0, state.inside, state.outside) === state.inside) return;
  Atomics.store(cell, 0, state.stopped);
  Atomics.notify(cell, 0);
}

const watched = new Set<Int32Array<SharedArrayBuffer>>();

/**
 * Called by the main thread: at exit, the process waits until this worker has left onnxruntime. {@link forget} undoes
 * this.
 */
export function waitAtExit(cell: Int32Array<SharedArrayBuffer>): void {
  if (watched.size === 0) process.on('exit', waitForAll);
  watched.add(cell);
}

/** Called by the main thread when the worker has ended. */
export function forget(cell: Int32Array<SharedArrayBuffer>): void {
  watched.delete(cell);
  if (watched.size === 0) process.off('exit', waitForAll);
}

function waitForAll(): void {
  const inside = [...watched].filter((cell) => Atomics.exchange(cell, 0, state.stopping) === state.inside);
  for (const cell of inside) Atomics.wait(cell, 0, state.stopping, maxWait);
}
