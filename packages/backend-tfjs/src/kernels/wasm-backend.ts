// A WebAssembly backend of TensorFlow.js with our kernels in place of some of its own.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import type { KernelFunc, NamedAttrMap } from '@tensorflow/tfjs-core';
import type { TensorFlow } from '../tensor-flow.ts';
import { attachKernels } from './kernel-module.ts';
import { erf, gelu, geluKernel, layerNorm, layerNormKernel } from './layers.ts';
import { batchMatMul, fusedMatMul } from './matrix-product.ts';
import { gatherRows, unsortedSegmentSum } from './rows.ts';

/**
 * Where the files of `@tensorflow/tfjs-backend-wasm` are served: a folder's URL, or a URL for each file name. Node
 * finds them itself.
 */
export type WasmPaths = string | Readonly<Record<string, string>>;

/** The name under which TensorFlow.js knows its WebAssembly backend with the kernels of this package. */
export const wasmBackend = 'sentvec-wasm';

/** Kernels that replace those of the same name: for calls whose attributes `only` accepts, or for all. */
const kernels: readonly {
  readonly name: string;
  readonly compute: KernelFunc;
  readonly only?: ((attributes: NamedAttrMap) => boolean) | undefined;
}[] = [
  { name: 'BatchMatMul', compute: batchMatMul },
  { name: '_FusedMatMul', compute: fusedMatMul, only: ({ activation }) => activation === 'linear' },
  { name: 'UnsortedSegmentSum', compute: unsortedSegmentSum },
  { name: 'GatherV2', compute: gatherRows, only: ({ axis, batchDims }) => axis === 0 && !batchDims },
  { name: 'Erf', compute: erf },
  { name: layerNormKernel, compute: layerNorm },
  { name: geluKernel, compute: gelu },
];

/**
 * Makes the backend known to TensorFlow.js, which starts it when it is chosen. It is a backend of its own: `wasm`,
 * which a page may use for other things, stays as it is.
 */
export async function registerWasmBackend(tf: TensorFlow, paths?: WasmPaths): Promise<void> {
  if (tf.findBackendFactory(wasmBackend) !== null) return;
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
  if (paths !== undefined) setWasmPaths(paths);
  const first = tf.registerBackend(wasmBackend, async () => {
    const backend = (await withoutListeners(() =>
      withoutThreads(tf, () => tf.findBackendFactory('wasm')()),
    )) as BackendWasm;
    attachKernels(backend);
    return backend;
  });
  // Another call has registered it meanwhile.
  if (!first) return;
  tf.copyRegisteredKernels('wasm', wasmBackend);
  for (const { name, compute, only } of kernels) {
    const original = tf.getKernel(name, wasmBackend);
    if (original !== undefined) tf.unregisterKernel(name, wasmBackend);
    tf.registerKernel({
      ...original,
      kernelName: name,
      backendName: wasmBackend,
      kernelFunc: (call) =>
        original === undefined || (only?.(call.attrs!) ?? true) ? compute(call) : original.kernelFunc(call),
    });
  }
}

/** The build with threads does not expose its memory, and would block a page while it waits for them. */
async function withoutThreads<T>(tf: TensorFlow, start: () => T | Promise<T>): Promise<T> {
  const flag = 'WASM_HAS_MULTITHREAD_SUPPORT';
  const previous = await tf.env().getAsync(flag);
  tf.env().set(flag, false);
  try {
    return await start();
  } finally {
    tf.env().set(flag, previous);
  }
}

const failures = ['uncaughtException', 'unhandledRejection'] as const;

/**
 * In Node the module listens for uncaught errors of the whole program and throws them again from its own code. Those
 * listeners are removed: the errors are not its own.
 */
async function withoutListeners<T>(start: () => Promise<T>): Promise<T> {
  const { process } = globalThis as { process?: NodeJS.Process };
  const before = failures.map((event) => new Set(process?.listeners?.(event as 'uncaughtException')));
  try {
    return await start();
  } finally {
    for (const [index, event] of failures.entries()) {
      for (const listener of process?.listeners?.(event as 'uncaughtException') ?? []) {
        if (!before[index]!.has(listener)) process!.off(event, listener);
      }
    }
  }
}
