// Quantized linear layers, and weights that are stored as integers or in half precision, as ONNX operators.
import { productOf } from '../dimensions.ts';
import {
  activationScale,
  integerRows,
  toFloat16,
  transposed,
  type IntegerRows,
  type WeightBits,
} from '../quantization/integers.ts';
import type { InputQuantization } from '../quantization/plan.ts';
import { linearShape } from '../shapes.ts';
import type { GraphBuilder, OnnxTensor } from './graph-builder.ts';
import { elementTypes } from './model.ts';
import { movement } from './movement.ts';

/** The weight of a linear layer: a matrix `[outputs, inputs]`. */
export interface LinearWeight {
  /** The name of the weight. Layers with the same weight share its stored integers. */
  readonly name: string;
  readonly numbers: Float32Array;
  readonly shape: readonly [outputs: number, inputs: number];
  readonly bits: WeightBits;
}

/**
 * Computes `x · weightᵀ + bias` with 8-bit integers: activations are unsigned with one scale, weights are signed with a
 * scale for each output. Layers with the same input share its quantized values.
 */
export function quantizedLinear(
  graph: GraphBuilder,
  x: OnnxTensor,
  weight: LinearWeight,
  bias: OnnxTensor | undefined,
  input: InputQuantization,
): OnnxTensor {
  const moves = movement(graph);
  const [outputs, inputs] = weight.shape;
  const shape = linearShape(x.shape, weight.shape, bias?.shape);
  const rows = moves.reshape(x, [productOf(x.shape.slice(0, -1)), inputs]);
  const numbers = weightsToQuantize(weight, input);
  const integers = integerRows(numbers, outputs, weight.bits);
  const { floatChannels = [] } = input;
  const key = JSON.stringify([weight.name, weight.bits, input.divisors && [...input.divisors], floatChannels]);
  const matrix = graph.storedMatrix(key, () => ({
    values: graph.initializer(transposed(integers.values, outputs), [inputs, outputs]),
    scales: graph.initializer(integers.scales, [outputs]),
  }));
  const { scale, zeroPoint } = activationScale(input.minimum, input.maximum);
  const activationsScale = graph.sharedInitializer(Float32Array.of(scale), []);
  const activationsZero = graph.sharedInitializer(Uint8Array.of(zeroPoint), []);
  const bytes = graph.value('QuantizeLinear', [divided(graph, rows, input).name, activationsScale, activationsZero]);
  const correction = graph.initializer(meanError(numbers, integers, input), [outputs]);
  // Both operands are constants, so onnxruntime adds them when it loads the model.
  const offset = bias === undefined ? correction : graph.value('Add', [bias.name, correction]);
  const operands = [bytes, matrix.values, activationsScale, matrix.scales, activationsZero, '', offset];
  const product = graph.float('MatMulIntegerToFloat', operands, [rows.shape[0]!, outputs]);
  return moves.reshape(addFloatChannels(graph, product, rows, weight, floatChannels), shape);
}

/** The error of each output for the mean input that is caused by rounding the weights. */
function meanError(
  numbers: Float32Array,
  { values, scales }: IntegerRows,
  { mean, divisors }: InputQuantization,
): Float32Array {
  const width = mean.length;
  return scales.map((scale, output) => {
    let sum = 0;
    for (let channel = 0; channel < width; channel += 1) {
      const at = output * width + channel;
      sum += (mean[channel]! / (divisors?.[channel] ?? 1)) * (numbers[at]! - values[at]! * scale);
    }
    return sum;
  });
}

/** Adds the products of the channels that stay in float32. */
function addFloatChannels(
  graph: GraphBuilder,
  product: OnnxTensor,
  rows: OnnxTensor,
  weight: LinearWeight,
  channels: readonly number[],
): OnnxTensor {
  if (channels.length === 0) return product;
  const indices = graph.sharedInitializer(BigInt64Array.from(channels, BigInt), [channels.length]);
  const kept = graph.value('Gather', [rows.name, indices], { axis: 1 });
  const weights = graph.initializer(columnsOf(weight, channels), [weight.shape[0], channels.length]);
  return graph.float('Gemm', [kept, weights, product.name], product.shape, { transB: 1 });
}

/** Divides each channel of the input by its divisor, if there are any. */
function divided(graph: GraphBuilder, rows: OnnxTensor, { divisors }: InputQuantization): OnnxTensor {
  if (divisors === undefined) return rows;
  const factors = graph.sharedInitializer(
    divisors.map((divisor) => 1 / divisor),
    [divisors.length],
  );
  return graph.float('Mul', [rows.name, factors], rows.shape);
}

/** The weights for the quantized input: multiplied by the divisors, and 0 for channels that stay in float32. */
function weightsToQuantize(
  { numbers, shape }: LinearWeight,
  { divisors, floatChannels }: InputQuantization,
): Float32Array {
  if (divisors === undefined && floatChannels === undefined) return numbers;
  const [outputs, inputs] = shape;
  const kept = new Set(floatChannels);
  const result = new Float32Array(numbers.length);
  for (let channel = 0; channel < inputs; channel += 1) {
    if (kept.has(channel)) continue;
    const factor = divisors?.[channel] ?? 1;
    for (let output = 0; output < outputs; output += 1) {
      result[output * inputs + channel] = numbers[output * inputs + channel]! * factor;
    }
  }
  return result;
}

function columnsOf({ numbers, shape: [outputs, inputs] }: LinearWeight, channels: readonly number[]): Float32Array {
  const result = new Float32Array(outputs * channels.length);
  for (let output = 0; output < outputs; output += 1) {
    for (const [at, channel] of channels.entries()) {
      result[output * channels.length + at] = numbers[output * inputs + channel]!;
    }
  }
  return result;
}

/**
 * A weight matrix that is stored as 8-bit integers with a scale for each row. `gather` converts only the gathered rows
 * to float32. Other operations use the whole matrix in float32, which onnxruntime computes once when it loads the
 * model.
 */
export function integerWeight(graph: GraphBuilder, numbers: Float32Array, shape: readonly number[]): OnnxTensor {
  const rows = shape[0]!;
  const { values, scales } = integerRows(numbers, rows, 8);
  const stored = graph.initializer(values, shape);
  const rowScales = graph.initializer(scales, [rows, ...shape.slice(1).map(() => 1)]);
  const wide = graph.value('Cast', [stored], { to: elementTypes.float });
  return { ...graph.float('Mul', [wide, rowScales], shape), integers: { values: stored, scales: rowScales } };
}

/** A weight that is stored in half precision and converted to float32 when it is used. */
export function halfWeight(graph: GraphBuilder, numbers: Float32Array, shape: readonly number[]): OnnxTensor {
  const half = graph.initializer(toFloat16(numbers), shape);
  return { ...graph.float('Cast', [half], shape, { to: elementTypes.float }), half };
}
