import type { Normalized, Operations } from '@sentvec/architectures';
import type { TensorFlow, TfTensor } from '../tensor-flow.ts';
import { differentiable, sumTo } from './differentiable.ts';

type Layers = Pick<Operations<TfTensor>, 'softmax' | 'matmul' | 'linear' | 'layerNorm'>;

export function layers(tf: TensorFlow): Layers {
  return {
    softmax: (x) => tf.softmax(x),
    matmul: (a, b, { transposeLeft = false, transposeRight = false } = {}) => tf.matMul(a, b, transposeLeft, transposeRight),

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
    this.output = differentiable(tf, [x, weight, bias], () => {
      const centered = tf.sub(x, this.mean);
      const inverseDeviation = inverseDeviationOf(tf, centered, epsilon);
      const standardized = tf.mul(centered, inverseDeviation);
      return {
        value: tf.add(tf.mul(standardized, weight), bias),
        saved: [standardized, inverseDeviation, weight],
        gradients: (d, [z, scale, by]) => {
          const direct = tf.mul(d, by!);
          const throughMean = tf.mean(direct, -1, true);
          const throughDeviation = tf.mul(z!, tf.mean(tf.mul(direct, z!), -1, true));
          const towardsInput = tf.mul(scale!, tf.sub(tf.sub(direct, throughMean), throughDeviation));
          return [towardsInput, sumTo(tf, tf.mul(d, z!), by!.shape), sumTo(tf, d, by!.shape)];
        },
      };
    });
  }

  get mean(): TfTensor {
    return this.#tf.mean(this.#x, -1, true);
  }

  get inverseDeviation(): TfTensor {
    return inverseDeviationOf(this.#tf, this.#tf.sub(this.#x, this.mean), this.#epsilon);
  }
}

function inverseDeviationOf(tf: TensorFlow, centered: TfTensor, epsilon: number): TfTensor {
  return tf.rsqrt(tf.add(tf.mean(tf.square(centered), -1, true), epsilon));
}
