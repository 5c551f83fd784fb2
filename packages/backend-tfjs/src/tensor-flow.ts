import type * as Core from '@tensorflow/tfjs-core';

/** The API of TensorFlow.js, from whichever of its packages brings it. */
export type TensorFlow = typeof Core;

/** A tensor of TensorFlow.js. */
export type TfTensor = Core.Tensor;
