import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { kernelModuleBinary } from './kernel-module-binary.ts';

/** The functions of kernels/, over addresses in the memory of TensorFlow.js. Sizes count entries. */
export interface KernelModule {
  /** c = a · bᵀ + bias, where a is [rows, inner], b is [cols, inner] and bias is [cols], or 0 for none. */
  matrixProduct(a: number, b: number, c: number, bias: number, rows: number, cols: number, inner: number): void;
  /** Writes the matrix [rows, cols] at `from` as [cols, rows] to `to`. */
  transpose(from: number, to: number, rows: number, cols: number): void;
}

const modules = new WeakMap<BackendWasm, KernelModule>();

/** Puts the kernels beside those of the backend, in the same memory. @throws Error when the backend does not share it */
export async function attachKernels(backend: BackendWasm): Promise<void> {
  const { memory } = (backend.wasm as unknown as { readonly asm: { readonly memory?: WebAssembly.Memory } }).asm;
  if (memory === undefined) throw new Error('The WebAssembly backend of TensorFlow.js does not give access to its memory.');
  const binary = Uint8Array.from(atob(kernelModuleBinary), (character) => character.charCodeAt(0));
  const { instance } = await WebAssembly.instantiate(binary, { tensorflow: { memory } });
  modules.set(backend, instance.exports as unknown as KernelModule);
}

/** The kernels that were attached to the backend. */
export function kernelsOf(backend: BackendWasm): KernelModule {
  const kernels = modules.get(backend);
  if (kernels === undefined) throw new Error('No kernels were attached to this backend.');
  return kernels;
}
