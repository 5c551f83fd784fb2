import * as onnxruntime from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { memoryModel, type ModelFiles } from '@sentvec/core';
import { loadEmbedder } from '@sentvec/core/node';
import { onnx } from '@sentvec/backend-onnx';
import {
  evaluateSts,
  fromScratch,
  graphEngine,
  lossFromName,
  recordGraphs,
  train,
  trainableTensors,
  trainedModelFiles,
  trainedWeights,
  trainWordPiece,
} from '@sentvec/training';
import { loadTrainable } from '@sentvec/training/node';
import { slotsOf } from '../src/optimizer/parameters.ts';
import { samplePairs } from './sample-pairs.ts';

test('WordPiece learns the most frequent merges', () => {
  const pieces = trainWordPiece(['low low low low lower lower', 'newest newest newest widest, Widest!'], {
    size: 30,
    minFrequency: 2,
  });
  expect(pieces.slice(0, 5)).toEqual(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']);
  // "##ow" and "lo" occur 6 times each; "##ow" comes first in code-point order. "##es" and "##st" occur 5 times each.
  const at = (piece: string) => pieces.indexOf(piece);
  expect(at('##ow')).toBeGreaterThan(0);
  expect(at('low')).toBeGreaterThan(at('##ow'));
  expect(at('##est')).toBeGreaterThan(at('##es'));
  expect(pieces).toContain(',');
  expect(new Set(pieces).size).toBe(pieces.length);
});

async function trainOn(files: ModelFiles): Promise<{ before: number; after: number; trained: ModelFiles }> {
  const { model, reader, dimension } = await loadTrainable(files);
  const tensors = trainableTensors(model);
  const objectives = [{ loss: lossFromName('CoSENTLoss'), columns: 2 }];
  const graphs = recordGraphs(model, dimension, {
    objectives,
    trained: new Set(tensors.map(({ name }) => name)),
    dropout: false,
  });
  const engine = await graphEngine(onnxruntime, graphs, { name: 'test' });
  const pairs = samplePairs(300);
  const [first, second, labels] = [pairs.map(({ a }) => a), pairs.map(({ b }) => b), pairs.map(({ score }) => score)];
  const unseen = samplePairs(200, 7);
  const scored = {
    first: unseen.map(({ a }) => a),
    second: unseen.map(({ b }) => b),
    scores: Float32Array.from(unseen, ({ score }) => score),
  };
  const { history } = await train({
    engine,
    reader,
    sets: [{ name: 'pairs', loss: objectives[0]!.loss, examples: { columns: [first, second], labels } }],
    options: { epochs: 3, learningRate: 1e-3 },
    evaluate: (embed) => evaluateSts(embed, scored),
  });
  const trained = memoryModel(
    'trained',
    await trainedModelFiles(files, model, trainedWeights(slotsOf(tensors), await engine.state())),
  );
  await engine.dispose();
  return {
    before: history.evaluations[0]!.score,
    after: Math.max(...history.evaluations.map(({ score }) => score)),
    trained,
  };
}

test.each([
  [
    'distilbert',
    { dim: 48, n_layers: 2, n_heads: 4, hidden_dim: 96, activation: 'gelu', max_position_embeddings: 64 },
    48,
  ],
  ['static-embedding', { hidden_size: 32 }, 32],
])('%s with random weights learns, and its folder can be loaded', async (modelType, config, dimension) => {
  const texts = samplePairs(300).flatMap(({ a, b }) => [a, b]);
  const files = await fromScratch('scratch', texts, {
    config: { model_type: modelType, ...config },
    vocabularySize: 120,
    maxLength: 64,
    tokenNorms: 'equal',
  });
  const { before, after, trained } = await trainOn(files);
  expect(after).toBeGreaterThan(before);
  const embedder = await loadEmbedder(trained, { backend: onnx() });
  const { vectors } = await embedder.embed(['the quick brown fox', 'music query']);
  expect(vectors.cols).toBe(dimension);
  await embedder.dispose();
});
