// Layers in TensorFlow.js.
import type { LayerOperations, Normalized } from '@sentvec/architectures';
import type { TensorFlow, TfTensor } from '../tensor-flow.ts';
import { layerNormKernel } from '../kernels/layers.ts';
import { detached, differentiable, hasKernel, sumTo } from './differentiable.ts';

export function layers(tf: TensorFlow): Omit<LayerOperations<TfTensor>, 'attention'> {
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

    rmsNorm(x, weight, epsilon) {
      const inverseOf = (input: TfTensor): TfTensor => tf.rsqrt(tf.add(tf.mean(tf.square(input), -1, true), epsilon));
      return differentiable(tf, [x, weight], () => ({
        value: tf.mul(tf.mul(x, inverseOf(x)), weight),
        saved: [x, weight],
        gradients: (d, [input, factor]) => {
          const inverse = inverseOf(input!);
          const scaled = tf.mul(input!, inverse);
          const direct = tf.mul(d, factor!);
          const throughScale = tf.mul(scaled, tf.mean(tf.mul(direct, scaled), -1, true));
          return [tf.mul(inverse, tf.sub(direct, throughScale)), sumTo(tf, tf.mul(d, scaled), factor!.shape)];
        },
      }));
    },

    rotate(x, cosines, sines) {
      const [cos, sin] = [detached(tf, cosines), detached(tf, sines)];
      return differentiable(tf, [x], () => ({
        value: rotated(tf, x, cos, sin),
        saved: [cos, sin],
        gradients: (d, saved) => [rotated(tf, d, saved[0]!, tf.neg(saved[1]!))],
      }));
    },
  };
}

function rotated(tf: TensorFlow, x: TfTensor, cosines: TfTensor, sines: TfTensor): TfTensor {
  const [first, second] = tf.split(x, 2, -1) as [TfTensor, TfTensor];
  return tf.concat(
    [tf.sub(tf.mul(first, cosines), tf.mul(second, sines)), tf.add(tf.mul(second, cosines), tf.mul(first, sines))],
    -1,
  );
}

/** The statistics are computed where they are asked for, which encoders do not. */
class LayerNorm implements Normalized<TfTensor> {
  readonly output: TfTensor;
  readonly #tf: TensorFlow;
  readonly #x: TfTensor;
  readonly #epsilon: number;

  constructor(tf: TensorFlow, x: TfTensor, weight: TfTensor, bias: TfTensor | undefined, epsilon: number) {
    this.#tf = tf;
    this.#x = x;
    this.#epsilon = epsilon;
    this.output = differentiable(tf, [x, weight, ...(bias ? [bias] : [])], () => ({
      value: hasKernel(tf, layerNormKernel)
        ? tf.engine().runKernel(layerNormKernel, { x, weight, bias: bias ?? tf.zerosLike(weight) }, { epsilon })
        : tf.add(tf.mul(standardize(tf, x, epsilon).standardized, weight), bias ?? 0),
      saved: [x, weight],
      gradients: (d, [input, factor]) => {
        const { standardized, inverseDeviation } = standardize(tf, input!, epsilon);
        const direct = tf.mul(d, factor!);
        const throughMean = tf.mean(direct, -1, true);
        const throughDeviation = tf.mul(standardized, tf.mean(tf.mul(direct, standardized), -1, true));
        const towardsInput = tf.mul(inverseDeviation, tf.sub(tf.sub(direct, throughMean), throughDeviation));
        const towardsWeight = sumTo(tf, tf.mul(d, standardized), factor!.shape);
        return [towardsInput, towardsWeight, ...(bias ? [sumTo(tf, d, factor!.shape)] : [])];
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
