// The layers of an encoder, for a runtime that has WebAssembly but no fast kernels of its own.
import { layers, relaxedLayers } from './binaries.ts';
import { compileKernels, instantiateKernels, type KernelMemory } from './instantiate.ts';
import { withRelaxedSimd } from './relaxed-simd.ts';

/** Functions over addresses in a memory. Sizes count entries; everything is float32, row-major. */
export interface LayerKernels {
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

/**
 * The kernels over a memory, with relaxed SIMD where the engine has it. @throws Error where WebAssembly may not be
 * compiled, or has no 128-bit SIMD
 */
export function layerKernels(memory: KernelMemory): LayerKernels {
  const module = withRelaxedSimd(() => compileKernels(relaxedLayers, layers));
  return instantiateKernels(module, memory) as LayerKernels;
}
