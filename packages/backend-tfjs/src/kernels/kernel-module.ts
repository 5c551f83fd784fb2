import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { type LayerKernels, layerKernels } from '@sentvec/kernels';

const modules = new WeakMap<BackendWasm, LayerKernels>();

/**
 * Puts the kernels beside those of the backend, in the same memory. @throws Error when the backend does not share it
 */
export function attachKernels(backend: BackendWasm): void {
  const { memory } = (backend.wasm as unknown as { readonly asm: { readonly memory?: WebAssembly.Memory } }).asm;
  if (memory === undefined)
    throw new Error('The WebAssembly backend of TensorFlow.js does not give access to its memory.');
  modules.set(backend, layerKernels(memory));
}

/** The kernels that were attached to the backend. */
export function kernelsOf(backend: BackendWasm): LayerKernels {
  const kernels = modules.get(backend);
  if (kernels === undefined) throw new Error('No kernels were attached to this backend.');
  return kernels;
}

/** Where the entries of a tensor begin. */
export function addressOf(backend: BackendWasm, { dataId }: TensorInfo): number {
  return backend.getMemoryOffset(dataId);
}

/** Number of entries. */
export function sizeOf({ shape }: TensorInfo): number {
  return shape.reduce((count, size) => count * size, 1);
}
