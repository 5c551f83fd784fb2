// Compares quantized linear layers with a reference in this file, and quantized encoders of every architecture with
// float32.
import {
  plainIndices,
  OnnxRecorder,
  quantizedLinear,
  readEncoder,
  recordCalibration,
  recordCompactEncoder,
  recordQuantizedEncoder,
  recordTrials,
  remedies,
  type ChannelRanges,
  type EncoderDefinition,
  type InputQuantization,
  type PlainTensor,
} from '@sentvec/architectures';
import { float16ToFloat32 } from '@sentvec/core/head';
import type { TokenBatch } from '@sentvec/core';
import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { activationScale, integerRows, toFloat16 } from '../src/quantization/integers.ts';
import { batchOf, encodePlain, largestDifferenceOf, tokensOf } from './encoding.ts';
import { randomModel, tinyConfigs } from './models.ts';
import { runOnnx } from './onnx-session.ts';
import { random } from './operation-cases.ts';

/** The expected result of a quantized linear layer, computed in float64 by the definition of the quantization. */
function expectedLinear(
  x: PlainTensor,
  weight: PlainTensor,
  bias: ArrayLike<number>,
  { minimum, maximum, mean, divisors, floatChannels = [] }: InputQuantization,
  bits: 7 | 8,
): number[] {
  const [outputs, inputs] = weight.shape as [number, number];
  const { scale, zeroPoint } = activationScale(minimum, maximum);
  const result: number[] = [];
  for (let row = 0; row < x.data.length / inputs; row += 1) {
    for (let output = 0; output < outputs; output += 1) {
      const w = (channel: number): number => weight.data[output * inputs + channel]!;
      const scaled = Array.from({ length: inputs }, (_, channel) =>
        floatChannels.includes(channel) ? 0 : w(channel) * (divisors?.[channel] ?? 1),
      );
      const step = Math.max(...scaled.map(Math.abs)) / (2 ** (bits - 1) - 1);
      let sum = bias[output] ?? 0;
      for (let channel = 0; channel < inputs; channel += 1) {
        const value = x.data[row * inputs + channel]!;
        if (floatChannels.includes(channel)) {
          sum += value * w(channel);
          continue;
        }
        const divisor = divisors?.[channel] ?? 1;
        const byte = Math.max(0, Math.min(255, Math.round(value / divisor / scale) + zeroPoint));
        const rounded = Math.round(scaled[channel]! / step) * step;
        sum += (byte - zeroPoint) * scale * rounded + (mean[channel]! / divisor) * (scaled[channel]! - rounded);
      }
      result.push(sum);
    }
  }
  return result;
}

/** The ranges of the channels of a matrix. */
function rangesOf({ data, shape }: PlainTensor): ChannelRanges {
  const width = shape[1]!;
  const channels = Array.from({ length: width }, (_, channel) =>
    Array.from(data as ArrayLike<number>).filter((__, i) => i % width === channel),
  );
  return {
    minimum: Float32Array.from(channels, (each) => Math.min(...each)),
    maximum: Float32Array.from(channels, (each) => Math.max(...each)),
    mean: Float32Array.from(channels, (each) => each.reduce((sum, value) => sum + value, 0) / each.length),
  };
}

describe('a linear layer in 8-bit integers', () => {
  // Channel 3 of the input is an outlier: 50 times as large as the others.
  const width = 40;
  const plain = random([24, width], 1);
  const x: PlainTensor = {
    ...plain,
    data: plain.data.map((value, i) => Math.fround(i % width === 3 ? value * 50 : value)),
  };
  const weight: PlainTensor = { ...random([8, width], 2), data: random([8, width], 2).data.map(Math.fround) };
  const bias = random([8], 3).data.map(Math.fround);
  const ranges = rangesOf(x);
  const weightExtents = Float32Array.from({ length: width }, (_, channel) =>
    Math.max(...Array.from({ length: 8 }, (__, output) => Math.abs(weight.data[output * width + channel]!))),
  );
  const candidates = remedies(ranges, weightExtents);

  it('has the candidates: the range, equalized channels, and the outlier channel in float32', () => {
    expect(candidates.map(({ name }) => name)).toEqual([
      'range',
      'equalized 0.5',
      'equalized 0.75',
      'float32 channels',
    ]);
    expect(candidates[3]!.quantization.floatChannels).toEqual([3]);
    expect(candidates[3]!.quantization.maximum).toBeLessThan(candidates[0].quantization.maximum / 10);
    // The ratio of the SmoothQuant factors of the outlier channel and another channel.
    const { divisors } = candidates[1]!.quantization;
    const factor = (channel: number): number =>
      Math.sqrt(Math.max(ranges.maximum[channel]!, -ranges.minimum[channel]!) / weightExtents[channel]!);
    expect(divisors![3]! / divisors![0]!).toBeCloseTo(factor(3) / factor(0), 4);
  });

  for (const [bits, withBias] of [
    [7, true],
    [8, true],
    [8, false],
  ] as const) {
    it(`equals the reference with ${bits} bits ${withBias ? 'and a bias' : 'without a bias'} for every candidate`, async () => {
      const errors: number[] = [];
      for (const { quantization } of candidates) {
        const recorder = new OnnxRecorder();
        const input = recorder.input('x', 'float', ['rows', width]);
        const numbers = { name: 'w', numbers: Float32Array.from(weight.data), shape: [8, width] as const, bits };
        const offset = withBias ? recorder.operations.constant(Float32Array.from(bias), [8]) : undefined;
        recorder.output('y', quantizedLinear(recorder.graph, input, numbers, offset, quantization));
        const { y } = await runOnnx(recorder.encode(), { x });
        const exact = expectedLinear(x, weight, withBias ? bias : [], quantization, bits);
        const found = [...y!.data];
        expect(largestDifferenceOf(found, exact)).toBeLessThan(1e-3);
        const float32Result = expectedFloat(x, weight, withBias ? bias : []);
        errors.push(
          Math.sqrt(found.reduce((sum, value, i) => sum + (value - float32Result[i]!) ** 2, 0) / found.length),
        );
      }
      // Each candidate reduces the error of the outlier channel; the error is lowest when it stays in float32.
      expect(errors[1]).toBeLessThan(errors[0]! / 1.5);
      expect(errors[3]).toBeLessThan(errors[0]! / 3);
    });
  }
});

function expectedFloat(x: PlainTensor, weight: PlainTensor, bias: ArrayLike<number>): number[] {
  const [outputs, inputs] = weight.shape as [number, number];
  return Array.from({ length: (x.data.length / inputs) * outputs }, (_, i) => {
    const [row, output] = [Math.floor(i / outputs), i % outputs];
    let sum = bias[output] ?? 0;
    for (let c = 0; c < inputs; c += 1) sum += x.data[row * inputs + c]! * weight.data[output * inputs + c]!;
    return sum;
  });
}

it('integerRows() quantizes rows symmetrically; activationScale() represents 0 exactly', () => {
  const { values, scales } = integerRows(Float32Array.of(-2, 1.1, 0.5, 0, 0, 0), 2, 7);
  expect([...values]).toEqual([-63, 35, 16, 0, 0, 0]);
  expect([...scales]).toEqual([Math.fround(2 / 63), 0]);
  expect(activationScale(-1, 4)).toEqual({ scale: Math.fround(5 / 255), zeroPoint: 51 });
  expect(activationScale(1, 4).zeroPoint).toBe(0);
  expect(activationScale(0, 0)).toEqual({ scale: 1, zeroPoint: 0 });
});

it('toFloat16() rounds like IEEE 754', () => {
  const bits = Uint16Array.from({ length: 0x7c00 }, (_, i) => i);
  const numbers = float16ToFloat32(bits);
  expect(toFloat16(numbers)).toEqual(bits);
  expect(toFloat16(numbers.map((value) => -value))).toEqual(bits.map((each) => each | 0x8000));
  // A number between two neighbours is rounded to the nearer one, in the middle to the even one.
  for (const at of [0, 1, 2, 1022, 1023, 1024, 5000, 5001, 0x7bfe]) {
    const [low, high] = [numbers[at]!, numbers[at + 1]!];
    const between = Float32Array.of(low + (high - low) / 4, low + (high - low) / 2, low + ((high - low) * 3) / 4);
    expect([...toFloat16(between)]).toEqual([at, at % 2 === 0 ? at : at + 1, at + 1]);
  }
  expect([...toFloat16(Float32Array.of(65_519, 65_520, Infinity, NaN, 1e-9))]).toEqual([
    0x7bff, 0x7c00, 0x7c00, 0x7e00, 0,
  ]);
});

/** `TensorProto.DataType.INT8` */
const int8Type = 3;

describe('a quantized encoder', () => {
  const texts = [
    [2, 5, 7, 3, 9],
    [2, 8, 3],
    [2, 4, 6, 10, 3],
  ];

  for (const [name, config] of Object.entries(tinyConfigs).filter(([each]) => each !== 'static-embedding')) {
    it(`of ${name} is near float32, and gives a text the same vectors alone and in a batch`, async () => {
      const files = await randomModel(config);
      const definition = await readEncoder(files);
      const calibrated = await calibrate(definition, texts);
      // The layers of SqueezeBERT are grouped convolutions, which stay in float32.
      expect(calibrated.size > 0).toBe(name !== 'squeezebert');
      const inputs = new Map([...calibrated].map(([input, candidates]) => [input, candidates[0].quantization]));
      const paddingId = definition.network.paddingId ?? 1;
      const batch = batchOf(texts, paddingId);
      const expected = await encodePlain(files, batch);
      const models = {
        int8: [recordQuantizedEncoder(definition, { weightBits: 8, inputs }), 0.15],
        'int8-weights': [recordCompactEncoder(definition, 'int8'), 0.1],
        float16: [recordCompactEncoder(definition, 'float16'), 0.01],
      } as const;
      for (const [precision, [model, allowed]] of Object.entries(models)) {
        const together = await lastHiddenState(model, batch);
        for (const [row, ids] of texts.entries()) {
          const found = tokensOf(together, row, ids.length);
          expect({ precision, near: relativeError(found, tokensOf(expected, row, ids.length)) < allowed }).toEqual({
            precision,
            near: true,
          });
          const alone = await lastHiddenState(model, batchOf([ids], paddingId));
          expect(largestDifferenceOf(found, tokensOf(alone, 0, ids.length))).toBeLessThan(1e-4);
        }
      }
    });
  }

  it('stores a weight once that several layers use with different ranges', async () => {
    const definition = await readEncoder(await randomModel(tinyConfigs['albert']!));
    const candidates = await calibrate(definition, texts);
    const inputs = new Map([...candidates].map(([input, [usual]]) => [input, usual.quantization]));
    expect([...inputs.keys()].some((input) => input.endsWith(' (2)'))).toBe(true);
    const { graph } = fromBinary(ModelProtoSchema, recordQuantizedEncoder(definition, { weightBits: 8, inputs }));
    const matrices = graph!.initializer.filter(({ dataType }) => dataType === int8Type);
    const linear = [...definition.weights].filter(([, shape]) => shape.length === 2);
    const tables = linear.filter(([name]) => /embeddings\.(?:position|token_type)/u.test(name));
    expect(matrices).toHaveLength(linear.length - tables.length);
    const products = graph!.node.filter(({ opType }) => opType === 'MatMulIntegerToFloat');
    expect(products.length).toBeGreaterThan(matrices.length);
  });
});

/**
 * The quantization candidates of each input by its ranges over texts. It also checks that the errors of all candidates
 * are small.
 */
async function calibrate(definition: EncoderDefinition, texts: readonly (readonly number[])[]) {
  const graph = recordCalibration(definition, 'weights');
  const ranges = graph.inputs.map(({ width }) => ({
    minimum: new Float32Array(width).fill(Infinity),
    maximum: new Float32Array(width).fill(-Infinity),
    mean: new Float32Array(width),
  }));
  for (const ids of texts) {
    const outputs = await runSplit(graph.model, ids);
    for (const [index, { minimum, maximum, mean }] of ranges.entries()) {
      for (let channel = 0; channel < minimum.length; channel += 1) {
        minimum[channel] = Math.min(minimum[channel]!, outputs[`minimum ${index}`]![channel]!);
        maximum[channel] = Math.max(maximum[channel]!, outputs[`maximum ${index}`]![channel]!);
        mean[channel]! += outputs[`mean ${index}`]![channel]! / texts.length;
      }
    }
  }
  const candidates = new Map(
    graph.inputs.map(({ name, weightExtents }, index) => [name, remedies(ranges[index]!, weightExtents)]),
  );
  const trials = recordTrials(definition, candidates, 8, 'weights');
  expect(trials.inputs).toEqual(graph.inputs.map(({ name }) => name));
  const errors = await runSplit(trials.model, texts[0]!);
  for (const [index, input] of trials.inputs.entries()) {
    const found = [...errors[`errors ${index}`]!];
    expect(found).toHaveLength(candidates.get(input)!.length);
    for (const error of found) expect(error).toBeLessThan(0.05);
  }
  return candidates;
}

async function runSplit(
  { model, data }: { readonly model: Uint8Array; readonly data: readonly Uint8Array[] },
  ids: readonly number[],
): Promise<Record<string, Float32Array>> {
  const session = await InferenceSession.create(model, {
    ...(data.length > 0 && { externalData: [{ path: 'weights', data: Buffer.concat(data) }] }),
    intraOpNumThreads: 1,
  });
  const input = (numbers: readonly number[]): Tensor =>
    new Tensor('int64', BigInt64Array.from(numbers, BigInt), [1, ids.length]);
  const results = await session.run({ input_ids: input(ids), attention_mask: input(ids.map(() => 1)) });
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, { data: numbers }]) => [name, numbers as Float32Array]),
  );
}

async function lastHiddenState(model: Uint8Array, { ids, mask, rows, cols }: TokenBatch): Promise<PlainTensor> {
  const results = await runOnnx(model, {
    input_ids: plainIndices(ids, [rows, cols]),
    attention_mask: plainIndices(mask, [rows, cols]),
  });
  return results['last_hidden_state']!;
}

function relativeError(found: readonly number[], expected: readonly number[]): number {
  const squares = (numbers: readonly number[]): number => numbers.reduce((sum, each) => sum + each * each, 0);
  return Math.sqrt(squares(found.map((value, i) => value - expected[i]!)) / squares(expected));
}
