import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { withRelaxedSimd } from '#relaxed-simd';
import { kernelModuleBinary, relaxedKernelModuleBinary } from './kernel-module-binary.ts';

/**
 * The functions of kernels/, over addresses in the memory of TensorFlow.js. Sizes count entries; everything is float32,
 * row-major.
 */
export interface KernelModule {
  /** c = a · bᵀ + bias, where a is [rows, inner], b is [cols, inner] and bias is [cols], or 0 for none. */
  matrixProduct(a: number, b: number, c: number, bias: number, rows: number, cols: number, inner: number): void;
  /** Writes the matrix [rows, cols] as [cols, rows]. */
  transpose(from: number, to: number, rows: number, cols: number): void;
  /** Layer normalization of [rows, width]; weight and bias are [width]. */
  layerNorm(from: number, to: number, weight: number, bias: number, rows: number, width: number, epsilon: number): void;
  /** The error function of each entry. */
  erf(from: number, to: number, count: number): void;
  /** x · (1 + erf(x / √2)) / 2 of each entry. */
  gelu(from: number, to: number, count: number): void;
}

const modules = new WeakMap<BackendWasm, KernelModule>();

/**
 * Puts the kernels beside those of the backend, in the same memory. @throws Error when the backend does not share it
 */
export async function attachKernels(backend: BackendWasm): Promise<void> {
  const { memory } = (backend.wasm as unknown as { readonly asm: { readonly memory?: WebAssembly.Memory } }).asm;
  if (memory === undefined)
    throw new Error('The WebAssembly backend of TensorFlow.js does not give access to its memory.');
  const { exports } = await WebAssembly.instantiate(compileKernels(), { tensorflow: { memory } });
  modules.set(backend, exports as unknown as KernelModule);
}

/** They are small: some kilobytes, compiled in a millisecond. */
function compileKernels(): WebAssembly.Module {
  const relaxed = bytesOf(relaxedKernelModuleBinary);
  return withRelaxedSimd(
    () => new WebAssembly.Module(WebAssembly.validate(relaxed) ? relaxed : bytesOf(kernelModuleBinary)),
  );
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** The kernels that were attached to the backend. */
export function kernelsOf(backend: BackendWasm): KernelModule {
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
