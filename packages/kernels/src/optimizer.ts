// The passes of an optimizer step over all parameters.
import { optimizer } from './binaries.ts';
import { compileKernels, instantiateKernels, type KernelMemory } from './instantiate.ts';

/**
 * Functions over addresses of float32 numbers in a memory. Counts are multiples of 4: buffers are padded with zeros.
 */
export interface OptimizerKernels {
  /** Σ x², added up in double precision. */
  sumOfSquares(x: number, count: number): number;
  /**
   * One AdamW update in place of `count` weights with their first and second moments. A gradient is multiplied by
   * `scale` as it is read.
   *
   *     m ← beta1·m + (1-beta1)·g    v ← beta2·v + (1-beta2)·g²    w ← w·keep - step · m / (√v · correction + epsilon)
   *
   * In step t: `keep` is 1 - learning rate · weight decay, `step` is learning rate / (1 - beta1^t), and `correction` is
   * 1 / √(1 - beta2^t).
   */
  update(
    weights: number,
    firstMoments: number,
    secondMoments: number,
    gradients: number,
    count: number,
    scale: number,
    beta1: number,
    beta2: number,
    keep: number,
    step: number,
    correction: number,
    epsilon: number,
  ): void;
}

/** The kernels over a memory. @throws Error where WebAssembly may not be compiled, or has no 128-bit SIMD */
export function optimizerKernels(memory: KernelMemory): OptimizerKernels {
  return instantiateKernels(compileKernels(optimizer), memory) as OptimizerKernels;
}
