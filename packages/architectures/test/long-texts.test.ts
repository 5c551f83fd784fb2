// Texts longer than those whose scores of attention are computed all at once, on every kind of attention.
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
import { batchOf, largestGap, tokensOf } from './encoding.ts';
import { type Config, randomModel, tinyConfigs } from './models.ts';
import { runOnnx } from './onnx-session.ts';

/** One text of several blocks, the last one not full, and one that ends within a block and is padded. */
const lengths = [520, 515];
const texts = lengths.map((length, row) => Array.from({ length }, (_, i) => 2 + ((i * i + 3 * i + 5 * row) % 8)));
const batch = batchOf(texts, 1);
const shape = [batch.rows, batch.cols];
const inputs = { ids: plainIndices(batch.ids, shape), mask: plainIndices(batch.mask, shape) };

/** A configuration whose layers attend in one way each. */
const kinds: Readonly<Record<string, Config>> = {
  'all tokens (BERT)': tinyConfigs['bert']!,
  'all tokens and a window (ModernBERT)': tinyConfigs['modernbert']!,
  'all tokens, groups of queries sharing keys (Llama, bidirectional)': {
    ...tinyConfigs['llama'],
    is_causal: false,
  },
  'tokens before (Llama)': { ...tinyConfigs['llama'], is_causal: true },
  'a window of tokens before (Qwen3)': tinyConfigs['qwen3']!,
  'a window larger than a block (Gemma 3)': { ...tinyConfigs['gemma3_text'], sliding_window: 300 },
  'a bias by bucket of distance (MPNet)': tinyConfigs['mpnet']!,
  'a bias by bucket of distance in each layer (UMT5)': tinyConfigs['umt5']!,
  'a bias by distance (JinaBERT)': tinyConfigs['bert with alibi']!,
  'products with positions (DeBERTa)': tinyConfigs['deberta-v2']!,
};

describe.each(Object.entries(kinds))('attention to %s', (_, config) => {
  it('gives in blocks what it gives over all pairs', async () => {
    const definition = await readEncoder(await randomModel({ ...config, max_position_embeddings: 640 }));
    const expected = overAllPairs(definition);
    const found = definition.network.encode(plainOperations, constantWeights(plainOperations, definition), inputs);
    expect(gap(found, expected)).toBeLessThan(1e-9);
    for (const operators of ['standard', 'onnxruntime'] as const)
      expect(gap(await throughOnnx(definition, operators), expected)).toBeLessThan(2e-5);
  });
});

it('never computes the scores of all pairs of a long text', async () => {
  // 32,768 tokens: the scores of one head alone would take 4 GiB.
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

/** A tape computes without blocks, whatever the length. */
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

/** The largest difference at a token, not at padding. */
function gap(found: PlainTensor, expected: PlainTensor): number {
  return Math.max(
    ...lengths.map((length, row) => largestGap(tokensOf(found, row, length), tokensOf(expected, row, length))),
  );
}
