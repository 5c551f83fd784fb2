// All kernels, module by module: what `src/binaries.ts` is compiled from.
import { sumOfSquares, update } from './adamw.ts';
import { erf, gelu } from './error-function.ts';
import { layerNorm } from './layer-norm.ts';
import { matrixProduct, type MultiplyAdd } from './matrix-product.ts';
import { scores } from './scores.ts';
import { transpose } from './transpose.ts';

const inTwoSteps: MultiplyAdd = (x, y, sum) => `(f32x4.add ${sum} (f32x4.mul ${x} ${y}))`;
const inOneStep: MultiplyAdd = (x, y, sum) => `(f32x4.relaxed_madd ${x} ${y} ${sum})`;

const layers = (multiplyAdd: MultiplyAdd): string[] => [matrixProduct(multiplyAdd), transpose, layerNorm, erf, gelu];

/** A module whose memory comes from outside, as the import `memory` of `sentvec`. */
const module = (...functions: readonly string[]): string =>
  `(module (import "sentvec" "memory" (memory 1)) ${functions.join('')})`;

/** The text of each module, by the name that its binary has in `src/binaries.ts`. */
export const modules: Readonly<Record<string, string>> = {
  scores: module(scores),
  optimizer: module(sumOfSquares, update),
  layers: module(...layers(inTwoSteps)),
  // For engines with relaxed SIMD. Where the cores of a CPU share their units, a product takes three quarters of the time.
  relaxedLayers: module(...layers(inOneStep)),
};
