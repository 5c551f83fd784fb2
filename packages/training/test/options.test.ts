import { memoryModel, type Matrix } from '@sentvec/core';
import * as training from '@sentvec/training';
import * as node from '@sentvec/training/node';
import * as tfjs from '@sentvec/training/tfjs';
import { expect, test } from 'vitest';
import { scriptedEngine } from './scripted-engine.ts';

const vectors: Matrix = { data: Float32Array.of(1, 0, 0, 1), rows: 2, cols: 2 };
const parameters = new training.Parameters([]);
const reader = {} as training.TextReader;
const embed = async () => vectors;
const texts = { texts: ['a', 'b'], classes: ['a', 'b'] };
// A misspelled option, which TypeScript would reject but JavaScript does not.
const wrong = { topk: 3 } as object;
const engine = scriptedEngine(() => ({}));

const calls: Readonly<Record<string, () => unknown>> = {
  'train()': () => training.train({ engine, reader, sets: [], options: wrong }),
  'train() as a request': () => training.train({ engine, reader, sets: [], ...wrong }),
  'fitLinearProbe()': () => training.fitLinearProbe(vectors, [0, 1], 2, wrong),
  'kMeans()': () => training.kMeans(vectors, 2, wrong),
  'evaluateClustering()': () => training.evaluateClustering(embed, texts, wrong),
  'evaluateClassification()': () => training.evaluateClassification(embed, texts, texts, wrong),
  'evaluateReranking()': () => training.evaluateReranking(embed, [], 'cosine', 10, wrong),
  'evaluateSearch() by evaluateRetrieval': () =>
    training.evaluateRetrieval(embed, { queries: {}, corpus: {}, relevant: {} }, 'cosine', wrong),
  'mineHardNegatives()': () =>
    training.mineHardNegatives(vectors, vectors, { candidates: vectors, isPositive: () => false }, wrong),
  'fromScratch()': () => training.fromScratch('scratch', ['a'], wrong),
  'trainWordPiece()': () => training.trainWordPiece(['a'], wrong),
  AdamW: () => new training.AdamW(parameters, wrong),
  GradientEngine: () =>
    new training.GradientEngine({} as training.BatchGradients, parameters, {
      name: 'engine',
      objectives: [{}],
      dropout: false,
      ...wrong,
    }),
  'graphEngine()': () =>
    training.graphEngine({} as training.OnnxRuntime, {} as training.EngineGraphs, { name: 'engine', ...wrong }),
  'recordGraphs()': () =>
    training.recordGraphs({} as training.TrainableModel, 2, wrong as unknown as training.RecordOptions),
  'tfjsEngine()': () => tfjs.tfjsEngine({} as training.TrainableModel, wrong as unknown as tfjs.TfjsEngineOptions),
  'onnxEngine()': () => node.onnxEngine({} as training.EngineGraphs, wrong),
  'trainFromConfig()': () =>
    node.trainFromConfig({} as node.TrainingConfig, { openModel: async () => memoryModel('m', {}), ...wrong }),
  'contrastiveLoss()': () => training.contrastiveLoss(wrong),
  'onlineContrastiveLoss()': () => training.onlineContrastiveLoss(wrong),
  'multipleNegativesRankingLoss()': () => training.multipleNegativesRankingLoss(wrong),
  'multipleNegativesSymmetricRankingLoss()': () => training.multipleNegativesSymmetricRankingLoss(wrong),
  'cosentLoss()': () => training.cosentLoss(wrong),
  'angleLoss()': () => training.angleLoss(wrong),
  'marginMseLoss()': () => training.marginMseLoss(wrong),
  'tripletLoss()': () => training.tripletLoss(wrong),
  'batchHardTripletLoss()': () => training.batchHardTripletLoss(wrong),
  'batchAllTripletLoss()': () => training.batchAllTripletLoss(wrong),
};

test.each(Object.keys(calls))('%s refuses an unknown option', async (call) => {
  const name = call.split(' ')[0]!;
  await expect((async () => calls[call]!())()).rejects.toMatchObject({
    code: 'invalid-argument',
    message: expect.stringContaining(`${name} has no option "topk". It has `),
  });
});
