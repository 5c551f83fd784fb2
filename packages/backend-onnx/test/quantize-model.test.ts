// Quantized models: their quality beside float32, what is done about channels that are far larger than the others, and
// what is refused.
import { onnx } from '@sentvec/backend-onnx';
import { quantizeModel, type QuantizedModel } from '@sentvec/backend-onnx/quantization';
import { memoryModel, readWeights, rowOf, writeSafetensors, type ModelFiles } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';
import { goldenModel } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';

const words = 'whales swim in the cold sea and ships follow them north until winter comes to stay'.split(' ');
const texts = Array.from({ length: 64 }, (_, i) =>
  Array.from({ length: 1 + ((i * 7) % 19) }, (__, j) => words[(i * 5 + j * (1 + (i % 4))) % words.length]!).join(' '),
).map((text, i) => `${text} ${i}`);

/** The files of a model in memory, some of them replaced or added. */
async function inMemory(
  model: ModelFiles,
  changes: Readonly<Record<string, Uint8Array | string>>,
): Promise<ModelFiles> {
  const files = await Promise.all((await model.list()).map(async (path) => [path, await model.read(path)] as const));
  return memoryModel(model.name, { ...Object.fromEntries(files), ...changes });
}

/**
 * The default model, computing the same, with channels far larger than the others in what its attention and feed-forward
 * layers read: as trained transformers have them (Dettmers et al., 2022), which the default model does not.
 */
async function withLargeChannels(factor: number): Promise<ModelFiles> {
  const model = await useLite();
  const weights = await readWeights(model);
  const tensors = Object.fromEntries(
    weights
      .names()
      .map((name) => [name, { ...weights.tensor(name), data: weights.tensor(name).data.slice() }] as const),
  );
  const scale = (norm: string, readers: readonly string[], channels: readonly number[]): void => {
    for (const channel of channels) {
      for (const part of ['weight', 'bias']) tensors[`${norm}.${part}`]!.data[channel]! *= factor;
      for (const reader of readers) {
        const { data, shape } = tensors[`${reader}.weight`]!;
        for (let at = channel; at < data.length; at += shape[1]!) data[at]! /= factor;
      }
    }
  };
  for (const layer of ['encoder.layer.0', 'encoder.layer.1']) {
    const attention = ['query', 'key', 'value'].map((part) => `${layer}.attention.${part}`);
    scale(`${layer}.attention.LayerNorm`, attention, [7, 100, 201]);
    scale(`${layer}.feed_forward.LayerNorm`, [`${layer}.feed_forward.intermediate`], [30, 381]);
  }
  const changed = { 'model.safetensors': writeSafetensors(tensors, { format: 'pt' }) };
  return inMemory(model, changed);
}

const withFile = (model: ModelFiles, { variant, bytes }: QuantizedModel): Promise<ModelFiles> =>
  inMemory(model, { [`onnx/${variant}.onnx`]: bytes });

describe('the default model as int8', () => {
  it('is near to float32, a quarter of the size, and gives a text the same vector alone and in any batch', async () => {
    const model = await useLite();
    const steps = new Set<string>();
    const quantized = await quantizeModel(model, { onProgress: ({ step }) => steps.add(step) });
    const { report, variant } = quantized;
    expect(variant).toBe('model_int8');
    expect(report.quality.meanCosine).toBeGreaterThan(0.999);
    expect(report.quality.minimumCosine).toBeGreaterThan(0.99);
    expect(report.quality.topOverlap).toBeGreaterThan(0.95);
    expect(report.bytes.quantized).toBeLessThan(report.bytes.float32 / 3);
    expect(report.attempts.at(-1)!.reached).toBe(true);
    expect(steps).toContain('Measuring the ranges of activations');

    const embedder = await loadEmbedder(await withFile(model, quantized), { backend: onnx({ variant }) });
    const original = await loadEmbedder(model, { backend: onnx() });
    try {
      const { vectors } = await embedder.embed(texts);
      for (const row of [0, 13, 40]) {
        const { vector } = await embedder.embed(texts[row]!);
        expect(largestGap(vector, rowOf(vectors, row))).toBeLessThan(1e-5);
      }
      expect((await embedder.fingerprint()).hash).not.toBe((await original.fingerprint()).hash);
    } finally {
      await Promise.all([embedder.dispose(), original.dispose()]);
    }
  });

  it('with channels far larger than the others, needs remedies, and says which', async () => {
    const { report } = await quantizeModel(await withLargeChannels(60), { weightBits: 8 });
    const [first, second] = report.attempts;
    expect(first!.reached).toBe(false);
    expect(second!.quality.meanCosine).toBeGreaterThan(first!.quality.meanCosine);
    expect(report.attempts.at(-1)!.reached).toBe(true);
    expect(Object.keys(report.remedies)).toContain('encoder.layer.0.attention.query');
    expect(report.quality.meanCosine).toBeGreaterThan(0.999);
  });
});

describe('a tiny model', () => {
  const model = goldenModel('tiny-bert');

  it('keeps the layers in float32 that hurt most, as few as it takes', async () => {
    const { report } = await quantizeModel(model, { texts, weightBits: 8 });
    const { float32Inputs, attempts, quality, remedies } = report;
    expect(quality.meanCosine).toBeGreaterThanOrEqual(0.999);
    expect(1 - quality.rankCorrelation).toBeLessThanOrEqual(0.002);
    expect(float32Inputs.length).toBeGreaterThan(0);
    expect(float32Inputs.length).toBeLessThan(12);
    expect(Object.keys(remedies).some((input) => float32Inputs.includes(input))).toBe(false);
    // With one input fewer the bar is not reached.
    const fewer = attempts.find(({ description }) => description.startsWith(`${float32Inputs.length - 1} of 12`));
    expect((fewer ?? attempts[1])!.reached).toBe(false);
  });

  it('gives the same bytes each time', async () => {
    const options = { texts, bar: { meanCosine: 0.99, minimumCosine: 0.98, rankLoss: 0.01 } };
    const [first, again] = [await quantizeModel(model, options), await quantizeModel(model, options)];
    expect(Buffer.compare(first.bytes, again.bytes)).toBe(0);
    expect(first.report.float32Inputs).toEqual([]);
  });

  it('is stored as weights of 8 bits and in half precision, for standard operators', async () => {
    for (const [precision, variant, cosine] of [
      ['int8-weights', 'model_int8_weights', 0.999],
      ['float16', 'model_fp16', 0.999999],
    ] as const) {
      const quantized = await quantizeModel(model, { texts, precision });
      expect(quantized.variant).toBe(variant);
      expect(quantized.report.quality.meanCosine).toBeGreaterThan(cosine);
      expect(new TextDecoder('latin1').decode(quantized.bytes)).not.toContain('com.microsoft');
    }
  });

  it('refuses what it cannot do, with what to do instead', async () => {
    await expect(quantizeModel(model, { texts: texts.slice(0, 20) })).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining('at least 64 different texts'),
    });
    await expect(quantizeModel(model, { texts, bar: { meanCosine: 2 } })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
    await expect(quantizeModel(model, { texts, bits: 4 } as object)).rejects.toThrow('has no option "bits"');
    await expect(quantizeModel(model, { texts, bar: { meanCosine: 1, minimumCosine: 1 } })).rejects.toMatchObject({
      code: 'unsupported-model',
      message: expect.stringContaining('does not reach the minimum quality'),
    });
    await expect(quantizeModel(goldenModel('st6-static'), { texts })).rejects.toThrow('static embeddings');
    await expect(quantizeModel(goldenModel('tiny-squeezebert'), { texts })).rejects.toThrow('int8-weights');
    await expect(quantizeModel(model, { texts, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'aborted',
    });
  });
});

function largestGap(a: Float32Array, b: Float32Array): number {
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
}
