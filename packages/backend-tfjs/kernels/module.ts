import { matrixProduct } from './matrix-product.ts';
import { transpose } from './transpose.ts';

/** The module in WebAssembly text. Its memory is that of TensorFlow.js: the import `memory` of the module `tensorflow`. */
export const moduleText: string = `(module (import "tensorflow" "memory" (memory 1)) ${matrixProduct} ${transpose})`;
