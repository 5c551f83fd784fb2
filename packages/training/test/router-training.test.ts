// Training of models with a Router: each column uses its route, both routes are trained, and modules after the Router
// are shared. Steps are compared with those of sentence-transformers.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { plainBackend } from '@sentvec/architectures';
import { type ModelFiles, writeSafetensors } from '@sentvec/core';
import { directoryModel, loadEmbedder } from '@sentvec/core/node';
import { goldenModel, goldenPath } from '@sentvec/testing';
import {
  adaptiveLayerLoss,
  makeBatch,
  multipleNegativesRankingLoss,
  recordGraphs,
  trainableTensors,
  type TrainingEngine,
} from '@sentvec/training';
import { loadTrainable, onnxEngine, parseTrainingConfig, type LoadedTrainable } from '@sentvec/training/node';
import { tfjsEngine } from '@sentvec/training/tfjs';
import { embedWith } from '../src/embed-texts.ts';
import { samplePairs } from './sample-pairs.ts';
import { errorOf, TrainingFolder } from './training-folder.ts';

const golden = JSON.parse(readFileSync(goldenPath('router-steps.json'), 'utf8')) as {
  readonly anchors: readonly string[];
  readonly positives: readonly string[];
  readonly cases: readonly {
    readonly model: string;
    readonly with_dense: boolean;
    readonly value: number;
    readonly gradient_norms: Readonly<Record<string, number>>;
  }[];
};

const place = new TrainingFolder();

/** A model with a dense module after its Router, which both routes share. */
function withDense(model: ModelFiles, inputs: number): ModelFiles {
  const numbers = (count: number, wave: (i: number) => number) =>
    Float32Array.from({ length: count }, (_, i) => wave(i) / 5);
  const modules = [
    { idx: 0, name: '0', path: '', type: 'sentence_transformers.base.modules.router.Router' },
    { idx: 1, name: '1', path: '1_Normalize', type: 'sentence_transformers.base.modules.normalize.Normalize' },
    { idx: 2, name: '2', path: '2_Dense', type: 'sentence_transformers.base.modules.dense.Dense' },
  ];
  const activation = 'torch.nn.modules.activation.Tanh';
  const config = { in_features: inputs, out_features: 12, bias: true, activation_function: activation };
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const added: Readonly<Record<string, Uint8Array>> = {
    'modules.json': encode(modules),
    '2_Dense/config.json': encode(config),
    '2_Dense/model.safetensors': writeSafetensors({
      'linear.weight': { shape: [12, inputs], data: numbers(12 * inputs, Math.sin) },
      'linear.bias': { shape: [12], data: numbers(12, Math.cos) },
    }),
  };
  return {
    name: `${model.name} with a dense module`,
    list: async () => [...new Set([...(await model.list()), ...Object.keys(added)])],
    read: async (path) => added[path] ?? model.read(path),
    size: async (path) => added[path]?.length ?? model.size!(path),
  };
}

const withNames = (name: string, withDenseModule: boolean): Promise<LoadedTrainable> =>
  loadTrainable(withDenseModule ? withDense(goldenModel(name), 32) : goldenModel(name));

async function batchOf({ reader }: LoadedTrainable) {
  const columns = [];
  for (const [task, texts] of [
    ['query', golden.anchors],
    ['document', golden.positives],
  ] as const) {
    const route = reader.router!.routeOf(task);
    const own = reader.router!.readers[route]!;
    columns.push({ texts: await own.tokenizer.encode(texts, own), route });
  }
  return makeBatch(columns);
}

/** Returns the name of a tensor in sentence-transformers. */
function libraryName(name: string): string {
  return name
    .replace(/^(\w+?)_(\d+)_Transformer\//u, '0.sub_modules.$1.$2.model.')
    .replace(/^(\w+?)_(\d+)_StaticEmbedding\//u, '0.sub_modules.$1.$2.')
    .replace(/^2_Dense\./u, '2.linear.');
}

/** Returns the gradient norms of the first step by tensor name. The gradients are ten times the first moments. */
async function gradientNorms(engine: TrainingEngine, loaded: LoadedTrainable): Promise<Map<string, number>> {
  const { firstMoments } = await engine.state();
  const norms = new Map<string, number>();
  let offset = 0;
  for (const { name, data } of trainableTensors(loaded.model)) {
    norms.set(name, 10 * Math.hypot(...firstMoments.subarray(offset, offset + data.length)));
    offset += Math.ceil(data.length / 4) * 4;
  }
  return norms;
}

const loss = multipleNegativesRankingLoss();
const objectives = [{ loss, columns: 2 }];

test.each(golden.cases.map((one) => [`${one.model}${one.with_dense ? ', dense' : ''}`, one] as const))(
  '%s: has the loss and the gradient norms of sentence-transformers, on onnxruntime and TensorFlow.js',
  async (_, { model: name, with_dense: dense, value, gradient_norms: norms }) => {
    const loaded = await withNames(name, dense);
    const { model, dimension } = loaded;
    const trained = new Set(trainableTensors(model).map((tensor) => tensor.name));
    expect(new Set([...trained].map(libraryName))).toEqual(new Set(Object.keys(norms)));
    const options = { objectives, trained, dropout: false, optimizer: { clipNorm: Infinity } };
    const batch = await batchOf(loaded);
    for (const engine of [
      onnxEngine(recordGraphs(model, dimension, options), { threads: 1 }),
      onnxEngine(recordGraphs(model, dimension, { ...options, cachedExamples: 3 }), { threads: 1 }),
      await tfjsEngine(model, { ...options, device: 'wasm' }),
    ]) {
      const found = await engine.step({ batches: [batch], learningRate: 0 });
      expect(Math.abs(found.loss - value)).toBeLessThan(1e-4);
      for (const [tensor, norm] of await gradientNorms(engine, loaded)) {
        const expected = norms[libraryName(tensor)]!;
        expect.soft(Math.abs(norm - expected), `${engine.name}: ${tensor}`).toBeLessThan(3e-4 * expected + 2e-5);
      }
      await engine.dispose();
    }
    for (const { tokenizer } of Object.values(loaded.reader.router!.readers)) await tokenizer.dispose();
  },
);

const trainConfig = (name: string, output: string, changes: object = {}) => ({
  ...place.config(output),
  model: goldenPath(`models/${name}`),
  data: [{ file: 'pairs.jsonl', columns: ['a', 'b'], label: 'score', loss: 'CoSENTLoss' }],
  routerMapping: { a: 'query', b: 'document' },
  evaluation: { type: 'retrieval', file: 'pairs.jsonl', columns: ['a', 'b'] },
  ...changes,
});

async function vectorsOf(folder: string, as: 'query' | 'document'): Promise<Float32Array> {
  await using embedder = await loadEmbedder(folder, { backend: plainBackend(), onWarning: () => {} });
  const texts = samplePairs(4, 5).map(({ a }) => a);
  const { vectors } = await (as === 'query' ? embedder.embedQuery(texts) : embedder.embedDocuments(texts));
  return Float32Array.from(vectors.data);
}

const furthest = (a: Float32Array, b: Float32Array) => Math.max(...a.map((entry, i) => Math.abs(entry - b[i]!)));

test.each(['st6-router', 'st6-router-static'])('%s: both routes learn, and the folder loads', async (name) => {
  const { output } = await place.run(trainConfig(name, `trained-${name}`, { maxSteps: 4, evaluation: undefined }));
  for (const as of ['query', 'document'] as const)
    expect(furthest(await vectorsOf(output, as), await vectorsOf(goldenPath(`models/${name}`), as))).toBeGreaterThan(
      1e-3,
    );
  const files = await (await directoryModel(output)).list();
  const originals = (await goldenModel(name).list()).filter((path) => path !== 'expected.json');
  expect(files).toEqual(expect.arrayContaining(originals));
  expect(files.filter((path) => path.endsWith('model.onnx'))).toHaveLength(name === 'st6-router' ? 2 : 1);
});

test('a route that is frozen, or that no column uses, is not changed', async () => {
  const name = 'st6-router';
  const original = goldenPath(`models/${name}`);
  const frozen = await place.run(
    trainConfig(name, 'frozen', { maxSteps: 4, evaluation: undefined, freeze: ['document_0_Transformer/'] }),
  );
  const one = await place.run(
    trainConfig(name, 'one-route', { maxSteps: 4, evaluation: undefined, routerMapping: { a: 'query', b: 'query' } }),
  );
  for (const { output } of [frozen, one]) {
    expect(furthest(await vectorsOf(output, 'document'), await vectorsOf(original, 'document'))).toBeLessThan(1e-6);
    expect(furthest(await vectorsOf(output, 'query'), await vectorsOf(original, 'query'))).toBeGreaterThan(1e-3);
  }
});

test('evaluation embeds queries and documents with their routes, as inference does', async () => {
  const loaded = await withNames('st6-router', false);
  const options = {
    objectives,
    trained: new Set(trainableTensors(loaded.model).map(({ name }) => name)),
    dropout: false,
  };
  const engine = onnxEngine(recordGraphs(loaded.model, loaded.dimension, options), { threads: 1 });
  await using embedder = await loadEmbedder(goldenPath('models/st6-router'), {
    backend: plainBackend(),
    onWarning: () => {},
  });
  for (const route of ['query', 'document']) {
    const { data } = await embedWith(engine, loaded.reader)(golden.anchors, { route });
    const { vectors } = await embedder.embed(golden.anchors, { route, prompt: null });
    expect(furthest(data, Float32Array.from(vectors.data))).toBeLessThan(1e-5);
  }
  await engine.dispose();
  const { outcome } = await place.run(trainConfig('st6-router', 'evaluated', { maxSteps: 1 }));
  expect(outcome.history.evaluations.map(({ step }) => step)).toEqual([0, 1]);
});

test('a routerMapping that does not match the model or the data is refused', async () => {
  const run = (name: string, changes: object) => errorOf(() => place.run(trainConfig(name, 'refused', changes)));
  expect((await run('st6-router', { routerMapping: undefined })).message).toContain('routerMapping');
  expect((await run('st6-bert', {})).message).toContain('has no Router');
  expect((await run('st6-router', { routerMapping: { a: 'query', b: 'answer' } })).message).toContain(
    'has no route for "answer"',
  );
  expect((await run('st6-router', { lora: {} })).message).toContain('has several routes');
  const data = [{ file: 'a.csv', columns: ['a', 'b'], loss: 'CoSENTLoss', label: 'c' }];
  expect(() => parseTrainingConfig({ output: 'x', data, routerMapping: { question: 'query' } }, 'config.json')).toThrow(
    'routerMapping contains the column "question", but the columns of the data are a, b',
  );
  const loaded = await withNames('st6-router', false);
  const layers = {
    objectives: [{ loss: adaptiveLayerLoss(loss), columns: 2 }],
    trained: new Set(['x']),
    dropout: false,
  };
  expect(() => recordGraphs(loaded.model, loaded.dimension, layers)).toThrow('several routes');
});
