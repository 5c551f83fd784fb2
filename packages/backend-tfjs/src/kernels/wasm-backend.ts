import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { type KernelFunc } from '@tensorflow/tfjs-core';
import type { TensorFlow } from '../tensor-flow.ts';
import { attachKernels } from './kernel-module.ts';
import { batchMatMul, fusedMatMul } from './matrix-product.ts';
import { unsortedSegmentSum } from './segment-sum.ts';

/** Where the files of `@tensorflow/tfjs-backend-wasm` are served: a folder's URL, or a URL for each file name. Node finds them itself. */
export type WasmPaths = string | Readonly<Record<string, string>>;

/** The name under which TensorFlow.js knows its WebAssembly backend with the kernels of this package. */
export const wasmBackend = 'sentvec-wasm';

const kernels: Readonly<Record<string, KernelFunc>> = {
  BatchMatMul: batchMatMul,
  _FusedMatMul: fusedMatMul,
  UnsortedSegmentSum: unsortedSegmentSum,
};

/**
 * Makes the backend known to TensorFlow.js, which starts it when it is chosen. It is a backend of its own: `wasm`, which a page may
 * use for other things, stays as it is.
 */
export async function registerWasmBackend(tf: TensorFlow, paths?: WasmPaths): Promise<void> {
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
  if (paths !== undefined) setWasmPaths(paths);
  const first = tf.registerBackend(wasmBackend, async () => {
    const backend = (await withoutThreads(tf, () => tf.findBackendFactory('wasm')())) as BackendWasm;
    await attachKernels(backend);
    return backend;
  });
  if (!first) return;
  tf.copyRegisteredKernels('wasm', wasmBackend);
  for (const [kernelName, kernelFunc] of Object.entries(kernels)) {
    if (tf.getKernel(kernelName, wasmBackend) !== undefined) tf.unregisterKernel(kernelName, wasmBackend);
    tf.registerKernel({ kernelName, kernelFunc, backendName: wasmBackend });
  }
}

/** The build with threads keeps its memory to itself, and would block a page while it waits for them. */
async function withoutThreads<T>(tf: TensorFlow, start: () => T | Promise<T>): Promise<T> {
  const flag = 'WASM_HAS_MULTITHREAD_SUPPORT';
  const usual = await tf.env().getAsync(flag);
  tf.env().set(flag, false);
  try {
    return await start();
  } finally {
    tf.env().set(flag, usual);
  }
}
