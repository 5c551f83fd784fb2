import { erf, gelu } from './error-function.ts';
import { layerNorm } from './layer-norm.ts';
import { matrixProduct, type MultiplyAdd } from './matrix-product.ts';
import { transpose } from './transpose.ts';

const inTwoSteps: MultiplyAdd = (x, y, sum) => `(f32x4.add ${sum} (f32x4.mul ${x} ${y}))`;
const inOneStep: MultiplyAdd = (x, y, sum) => `(f32x4.relaxed_madd ${x} ${y} ${sum})`;

/**
 * The module in WebAssembly text. Its memory is that of TensorFlow.js: the import `memory` of the module `tensorflow`.
 */
function moduleOf(multiplyAdd: MultiplyAdd): string {
  const functions = [matrixProduct(multiplyAdd), transpose, layerNorm, erf, gelu];
  return `(module (import "tensorflow" "memory" (memory 1)) ${functions.join('')})`;
}

/** For every engine with SIMD. */
export const moduleText: string = moduleOf(inTwoSteps);

/**
 * For engines with relaxed SIMD: on a processor whose cores share their units, a product takes three quarters of the
 * time.
 */
export const relaxedModuleText: string = moduleOf(inOneStep);
