// Layers in TensorFlow.js.
import type { LayerOperations, Normalized } from '@sentvec/architectures';
import type { TensorFlow, TfTensor } from '../tensor-flow.ts';
import { layerNormKernel } from '../kernels/layers.ts';
import { differentiable, hasKernel, sumTo } from './differentiable.ts';

export function layers(tf: TensorFlow): LayerOperations<TfTensor> {
  return {
    softmax: (x) => tf.softmax(x),
    matmul: (a, b, { transposeLeft = false, transposeRight = false } = {}) =>
      tf.matMul(a, b, transposeLeft, transposeRight),

    linear(x, weight, bias) {
      const [outputs, inputs] = weight.shape as [number, number];
      const rows = x.rank === 2 ? x : tf.reshape(x, [x.size / inputs, inputs]);
      const product = tf.fused.matMul({ a: rows, b: weight, transposeB: true, ...(bias && { bias }) });
      return x.rank === 2 ? product : tf.reshape(product, [...x.shape.slice(0, -1), outputs]);
    },

    layerNorm: (x, weight, bias, epsilon) => new LayerNorm(tf, x, weight, bias, epsilon),
  };
}

/** The statistics are computed where they are asked for, which encoders do not. */
class LayerNorm implements Normalized<TfTensor> {
  readonly output: TfTensor;
  readonly #tf: TensorFlow;
  readonly #x: TfTensor;
  readonly #epsilon: number;

  constructor(tf: TensorFlow, x: TfTensor, weight: TfTensor, bias: TfTensor, epsilon: number) {
    this.#tf = tf;
    this.#x = x;
    this.#epsilon = epsilon;
    this.output = differentiable(tf, [x, weight, bias], () => ({
      value: hasKernel(tf, layerNormKernel)
        ? tf.engine().runKernel(layerNormKernel, { x, weight, bias }, { epsilon })
        : tf.add(tf.mul(standardize(tf, x, epsilon).standardized, weight), bias),
      saved: [x, weight],
      gradients: (d, [at, by]) => {
        const { standardized, inverseDeviation } = standardize(tf, at!, epsilon);
        const direct = tf.mul(d, by!);
        const throughMean = tf.mean(direct, -1, true);
        const throughDeviation = tf.mul(standardized, tf.mean(tf.mul(direct, standardized), -1, true));
        const towardsInput = tf.mul(inverseDeviation, tf.sub(tf.sub(direct, throughMean), throughDeviation));
        return [towardsInput, sumTo(tf, tf.mul(d, standardized), by!.shape), sumTo(tf, d, by!.shape)];
      },
    }));
  }

  get mean(): TfTensor {
    return this.#tf.mean(this.#x, -1, true);
  }

  get inverseDeviation(): TfTensor {
    return standardize(this.#tf, this.#x, this.#epsilon).inverseDeviation;
  }
}

function standardize(
  tf: TensorFlow,
  x: TfTensor,
  epsilon: number,
): { standardized: TfTensor; inverseDeviation: TfTensor } {
  const centered = tf.sub(x, tf.mean(x, -1, true));
  const inverseDeviation = tf.rsqrt(tf.add(tf.mean(tf.square(centered), -1, true), epsilon));
  return { standardized: tf.mul(centered, inverseDeviation), inverseDeviation };
}
