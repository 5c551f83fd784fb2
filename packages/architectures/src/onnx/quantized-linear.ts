// Linear layers on bytes, and weights that are stored in fewer bytes, as ONNX operators.
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

/** The weight of a linear layer as numbers, `[outputs, inputs]`. */
export interface LinearWeight {
  /** Of the weight: layers that use it again share what is stored of it. */
  readonly name: string;
  readonly numbers: Float32Array;
  readonly shape: readonly [outputs: number, inputs: number];
  readonly bits: WeightBits;
}

/**
 * `x · weightᵀ + bias`, multiplied as bytes: activations unsigned with one scale for all, weights signed with a scale
 * for each output. Layers that have the same input share its bytes.
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
  const numbers = weightsOfBytes(weight, input);
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
  // Of two constants: onnxruntime adds them when it opens the model.
  const offset = bias === undefined ? correction : graph.value('Add', [bias.name, correction]);
  const operands = [bytes, matrix.values, activationsScale, matrix.scales, activationsZero, '', offset];
  const product = graph.float('MatMulIntegerToFloat', operands, [rows.shape[0]!, outputs]);
  return moves.reshape(addFloatChannels(graph, product, rows, weight, floatChannels), shape);
}

/** What rounding the weights takes from each output, for the mean input. */
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

/** Adds what channels in float32 contribute. */
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

/** The input with each channel divided, where that is planned. */
function divided(graph: GraphBuilder, rows: OnnxTensor, { divisors }: InputQuantization): OnnxTensor {
  if (divisors === undefined) return rows;
  const factors = graph.sharedInitializer(
    divisors.map((divisor) => 1 / divisor),
    [divisors.length],
  );
  return graph.float('Mul', [rows.name, factors], rows.shape);
}

/** The weights for the bytes of the input: those of channels in float32 are 0. */
function weightsOfBytes(
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
 * A matrix of weights that is stored as integers of 8 bits, with a scale for each row. Rows that are gathered of it are
 * widened alone; whatever else uses it gets all of it in float32, which onnxruntime computes once, when it opens the model.
 */
export function integerWeight(graph: GraphBuilder, numbers: Float32Array, shape: readonly number[]): OnnxTensor {
  const rows = shape[0]!;
  const { values, scales } = integerRows(numbers, rows, 8);
  const stored = graph.initializer(values, shape);
  const rowScales = graph.initializer(scales, [rows, ...shape.slice(1).map(() => 1)]);
  const wide = graph.value('Cast', [stored], { to: elementTypes.float });
  return { ...graph.float('Mul', [wide, rowScales], shape), integers: { values: stored, scales: rowScales } };
}

/** Weights that are stored in half precision. */
export function halfWeight(graph: GraphBuilder, numbers: Float32Array, shape: readonly number[]): OnnxTensor {
  const half = graph.initializer(toFloat16(numbers), shape);
  return { ...graph.float('Cast', [half], shape, { to: elementTypes.float }), half };
}
