// Every kind of attention with texts that are so long that attention is computed in blocks.
import { describe, expect, it } from 'vitest';
import {
  constantWeights,
  type EncoderDefinition,
  OnnxRecorder,
  plainIndices,
  plainOperations,
  type PlainTensor,
  readEncoder,
  Tape,
} from '@sentvec/architectures';
import { batchOf, largestDifferenceOf, tokensOf } from './encoding.ts';
import { type Config, randomModel, tinyConfigs } from './models.ts';
import { runOnnx } from './onnx-session.ts';

/** A text whose last block is not full, and a shorter text that is padded. */
const lengths = [520, 515];
const texts = lengths.map((length, row) => Array.from({ length }, (_, i) => 2 + ((i * i + 3 * i + 5 * row) % 8)));
const batch = batchOf(texts, 1);
const shape = [batch.rows, batch.cols];
const inputs = { ids: plainIndices(batch.ids, shape), mask: plainIndices(batch.mask, shape) };

/** Configurations with different kinds of attention. */
const kinds: Readonly<Record<string, Config>> = {
  'full attention (BERT)': tinyConfigs['bert']!,
  'full and sliding-window attention (ModernBERT)': tinyConfigs['modernbert']!,
  'grouped-query attention (bidirectional Llama)': {
    ...tinyConfigs['llama'],
    is_causal: false,
  },
  'causal attention (Llama)': { ...tinyConfigs['llama'], is_causal: true },
  'causal sliding-window attention (Qwen3)': tinyConfigs['qwen3']!,
  'a sliding window larger than a block (Gemma 3)': { ...tinyConfigs['gemma3_text'], sliding_window: 300 },
  'a relative position bias (MPNet)': tinyConfigs['mpnet']!,
  'a relative position bias in each layer (UMT5)': tinyConfigs['umt5']!,
  'ALiBi (JinaBERT)': tinyConfigs['bert with alibi']!,
  'disentangled attention (DeBERTa)': tinyConfigs['deberta-v2']!,
};

describe.each(Object.entries(kinds))('%s', (_, config) => {
  it('gives the same result in blocks as over all pairs', async () => {
    const definition = await readEncoder(await randomModel({ ...config, max_position_embeddings: 640 }));
    const expected = overAllPairs(definition);
    const found = definition.network.encode(plainOperations, constantWeights(plainOperations, definition), inputs);
    expect(largestDifferenceOfTokens(found, expected)).toBeLessThan(1e-9);
    for (const operators of ['standard', 'onnxruntime'] as const)
      expect(largestDifferenceOfTokens(await throughOnnx(definition, operators), expected)).toBeLessThan(2e-5);
  });
});

it('attention to a long text takes little memory', async () => {
  // The scores of all pairs of 32,768 tokens would take 4 GiB for one head.
  const recorder = new OnnxRecorder();
  const { operations: ops } = recorder;
  const x = recorder.input('x', 'float', [1, 1, 'length', 8]);
  recorder.output('y', ops.attention(x, x, x));
  const length = 32_768;
  const data = new Float64Array(length * 8).fill(1);
  const before = process.resourceUsage().maxRSS;
  const { y } = await runOnnx(recorder.encode(), { x: { data, shape: [1, 1, length, 8] } });
  expect(Math.max(...y!.data.subarray(0, 80_000))).toBeCloseTo(1, 5);
  expect((process.resourceUsage().maxRSS - before) / 1024).toBeLessThan(400);
});

/** The result without blocks: a tape never computes in blocks. */
function overAllPairs(definition: EncoderDefinition): PlainTensor {
  const tape = new Tape(plainOperations);
  const weight = constantWeights(plainOperations, definition);
  const fixed = { ids: tape.fixed(inputs.ids), mask: tape.fixed(inputs.mask) };
  return definition.network.encode(tape.operations, (name) => tape.fixed(weight(name)), fixed).value;
}

async function throughOnnx(definition: EncoderDefinition, operators: 'standard' | 'onnxruntime'): Promise<PlainTensor> {
  const recorder = new OnnxRecorder({ operators });
  const ids = recorder.input('ids', 'index', ['batch', 'length']);
  const mask = recorder.input('mask', 'index', ['batch', 'length']);
  const weight = constantWeights(recorder.operations, definition);
  recorder.output('tokens', definition.network.encode(recorder.operations, weight, { ids, mask }));
  return (await runOnnx(recorder.encode(), inputs))['tokens']!;
}

/** The largest absolute difference at tokens; padding is ignored. */
function largestDifferenceOfTokens(found: PlainTensor, expected: PlainTensor): number {
  return Math.max(
    ...lengths.map((length, row) => largestDifferenceOf(tokensOf(found, row, length), tokensOf(expected, row, length))),
  );
}
