// Exports every golden model, loads the folder in transformers.js, and compares the values with those of PyTorch.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AutoTokenizer, env, LogLevel, pipeline, PreTrainedModel, type Tensor } from '@huggingface/transformers';
import { applyProjections, createPooling, type Matrix, readModelFolder, rowOf, type TokenBatch } from '@sentvec/core';
import { directoryModel } from '@sentvec/core/node';
import { writeFolderAtomically } from '@sentvec/platform/node';
import { goldenArchitectureNames, goldenExpectation, goldenModelNames, goldenPath } from '@sentvec/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { exportedFiles } from '../src/export/exported-files.ts';
import { largestDifference } from './sentvec.ts';

/** Poolings of transformers.js: a single mode, and the last token only if the tokenizer pads on the left. */
const ownPooling: Readonly<Record<string, 'mean' | 'cls' | 'last_token'>> = {
  mean: 'mean',
  cls: 'cls',
  lasttoken: 'last_token',
};

/**
 * `pipeline` loads an encoder and a decoder for these, whatever `architectures` says, so the encoder is loaded
 * directly.
 */
const encoderDecoders = new Set(['t5', 'mt5']);

/** Models that cannot be exported, with the expected error of `sentvec export`. */
const refused: Readonly<Record<string, RegExp>> = {
  'st6-router': /several routes.*Export the folder of a route/,
  'st6-router-static': /several routes.*Export the folder of a route/,
  'st6-static': /static embeddings.*Copy the folder instead/,
};

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sentvec-export-'));
  env.allowRemoteModels = false;
  env.localModelPath = directory;
  env.logLevel = LogLevel.ERROR; // For unknown model types it loads a plain encoder and logs a warning.
});

afterAll(() => rm(directory, { recursive: true, force: true }));

interface Outputs {
  readonly ids: Tensor;
  readonly mask: Tensor;
  readonly tokens: Tensor;
  /** Pooled by transformers.js, if it supports the pooling. */
  readonly pooled: Tensor | undefined;
}

/** Embeds texts in one batch with transformers.js. */
async function outputsOf(name: string, modelType: string, texts: string[], pooling: string): Promise<Outputs> {
  if (encoderDecoders.has(modelType)) {
    const tokenizer = await AutoTokenizer.from_pretrained(name);
    const model = await PreTrainedModel.from_pretrained(name, { dtype: 'fp32', device: 'cpu' });
    const inputs = tokenizer(texts, { padding: true, truncation: true });
    const { last_hidden_state: tokens } = (await model(inputs)) as { last_hidden_state: Tensor };
    await model.dispose();
    return { ids: inputs.input_ids, mask: inputs.attention_mask, tokens, pooled: undefined };
  }
  const extractor = await pipeline('feature-extraction', name, { dtype: 'fp32', device: 'cpu' });
  const inputs = extractor.tokenizer(texts, { padding: true, truncation: true });
  const own = ownPooling[pooling];
  const pools = own !== undefined && (own !== 'last_token' || extractor.tokenizer.padding_side === 'left');
  const tokens = await extractor(texts);
  const pooled = pools ? await extractor(texts, { pooling: own }) : undefined;
  await extractor.dispose();
  return { ids: inputs.input_ids, mask: inputs.attention_mask, tokens, pooled };
}

function batchOf({ ids, mask }: Outputs): TokenBatch {
  const [rows, cols] = ids.dims as [number, number];
  return { ids: Int32Array.from(ids.data, Number), mask: Int32Array.from(mask.data, Number), rows, cols };
}

function matrixOf(tensor: Tensor): Matrix {
  const cols = tensor.dims.at(-1)!;
  return { data: tensor.data as Float32Array, rows: tensor.data.length / cols, cols };
}

it.each([...goldenModelNames, ...goldenArchitectureNames])(
  'transformers.js computes the same values with the export of %s',
  async (name) => {
    const model = await directoryModel(goldenPath(`models/${name}`));
    const { head, encoderFiles } = await readModelFolder(model);
    const { measured, max_seq_length: limit } = goldenExpectation(name);
    const { model_type: modelType } = JSON.parse(new TextDecoder().decode(await encoderFiles.read('config.json')));
    await writeFolderAtomically(join(directory, name), await exportedFiles(model, limit ?? Infinity), {
      doing: 'Writing',
    });
    // transformers.js truncates a long text without keeping the special token at its end.
    const cases = goldenExpectation(name).cases.filter(({ truncated }) => !truncated);
    const modes = head.pooling.modes!;
    const texts = cases.map(({ text }) => text);
    const outputs = await outputsOf(name, modelType, texts, modes.join());
    const batch = batchOf(outputs);
    const tokens = matrixOf(outputs.tokens);
    const pooled = createPooling(modes).pool(tokens, batch);
    const final = applyProjections(head.projections, pooled);
    const { tolerance = 5e-5, token_tolerance: ofTokens = 5e-5 } = measured;
    for (const [row, one] of cases.entries()) {
      const read = Array.from({ length: batch.cols }, (_, col) => row * batch.cols + col).filter(
        (at) => batch.mask[at],
      );
      expect(read.map((at) => batch.ids[at])).toEqual(one.ids);
      for (const [index, token] of (one.token_embeddings ?? []).entries())
        expect(largestDifference(rowOf(tokens, read[index]!), Float32Array.from(token))).toBeLessThan(ofTokens);
      expect(largestDifference(rowOf(final, row), Float32Array.from(one.embedding))).toBeLessThan(tolerance);
    }
    expect(largestDifference((outputs.pooled?.data ?? pooled.data) as Float32Array, pooled.data)).toBeLessThan(1e-5);
  },
);

it.each(Object.entries(refused))('%s is refused with a message that describes the fix', async (name, message) => {
  const model = await directoryModel(goldenPath(`models/${name}`));
  await expect(exportedFiles(model, 64)).rejects.toThrow(message);
});
