import { erf, gelu } from './error-function.ts';
import { layerNorm } from './layer-norm.ts';
import { matrixProduct } from './matrix-product.ts';
import { transpose } from './transpose.ts';

const functions: readonly string[] = [matrixProduct, transpose, layerNorm, erf, gelu];

/** The module in WebAssembly text. Its memory is that of TensorFlow.js: the import `memory` of the module `tensorflow`. */
export const moduleText: string = `(module (import "tensorflow" "memory" (memory 1)) ${functions.join('')})`;
