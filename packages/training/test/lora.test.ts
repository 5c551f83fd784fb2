// LoRA training: every engine computes the gradients of PEFT, and the written folders load.
import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import * as onnxruntime from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder, openModel } from '@sentvec/core/node';
import { goldenPath } from '@sentvec/testing';
import {
  graphEngine,
  makeBatch,
  multipleNegativesRankingLoss,
  recordGraphs,
  trainableTensors,
  trainedNames,
  withLora,
  type TrainableModel,
} from '@sentvec/training';
import { tfjsEngine } from '@sentvec/training/tfjs';
import { differenceFrom, plainStep, type Sums } from './plain-step.ts';
import { samplePairs } from './sample-pairs.ts';
import { column, tiny } from './tiny-model.ts';
import { errorOf, TrainingFolder } from './training-folder.ts';

const place = new TrainingFolder();

/** Results of PEFT in float64, written by lora.py. */
const golden = JSON.parse(readFileSync(goldenPath('lora.json'), 'utf8')) as {
  readonly anchors: readonly number[];
  readonly positives: readonly number[];
  readonly models: Readonly<Record<string, { readonly loss: number; readonly gradients: Record<string, Sums> }>>;
};

/** Sets the weights of the golden adapters. */
function withGoldenNumbers(model: TrainableModel): TrainableModel {
  const adapted = withLora(model, { rank: 4, alpha: 6 });
  const { tensors, ...adapters } = adapted.adapters!;
  const numbers = tensors.map((tensor) => ({
    ...tensor,
    data: tensor.data.map((_, i) => (tensor.name.includes('lora_A') ? Math.cos(i) / 10 : Math.sin(i) / 20)),
  }));
  return { ...adapted, adapters: { ...adapters, tensors: numbers } };
}

async function goldenStep(name: string) {
  const { model, expected } = await tiny(name);
  const batch = makeBatch([column(expected.cases, golden.anchors), column(expected.cases, golden.positives)]);
  return { model: withGoldenNumbers(model), batch, dimension: expected.dimension };
}

test.each(Object.entries(golden.models))('%s: loss and gradients of adapters match PEFT', async (name, expected) => {
  const { model, batch } = await goldenStep(name);
  const found = plainStep(model, batch, multipleNegativesRankingLoss());
  expect(Math.abs(found.loss - expected.loss)).toBeLessThan(1e-4);
  const adapters = [...found.gradients].filter(([tensor]) => tensor.includes('.lora_'));
  expect(adapters.map(([tensor]) => tensor).toSorted()).toEqual(Object.keys(expected.gradients).toSorted());
  expect(adapters.flatMap(([tensor, entries]) => differenceFrom(expected.gradients[tensor]!, entries, tensor))).toEqual(
    [],
  );
});

test.each([0, 0.3])(
  'all engines train only adapters and head, with the same gradients; dropout %s',
  async (dropout) => {
    const { model: golden4, batch, dimension } = await goldenStep('tiny-bert-multipool');
    const model = { ...golden4, adapters: { ...golden4.adapters!, dropout } };
    const trained = trainedNames(model);
    expect([...trained].filter((name) => !name.includes('.lora_'))).toEqual([
      'projection.0.weight',
      'projection.0.bias',
    ]);
    const loss = multipleNegativesRankingLoss();
    const plain = plainStep(model, batch, loss);
    const optimizer = { clipNorm: Infinity };
    const moments = [];
    for (const cachedExamples of [undefined, 2]) {
      const options = { objectives: [{ loss, columns: 2 }], trained, dropout: false, cachedExamples, optimizer };
      for (const engine of [
        await graphEngine(onnxruntime, recordGraphs(model, dimension, options), { name: 'test' }),
        await tfjsEngine(model, { ...options, device: 'wasm' }),
      ]) {
        await engine.step({ batches: [batch], learningRate: 0, seed: 7 });
        moments.push((await engine.state()).firstMoments);
        await engine.dispose();
      }
    }
    const gradients = trainableTensors(model).filter(({ name }) => trained.has(name));
    expect(moments[0]!.length).toBe(gradients.reduce((sum, { data }) => sum + Math.ceil(data.length / 4) * 4, 0));
    const worstFrom = (one: Float32Array, other: Float32Array) =>
      one.reduce((most, entry, i) => Math.max(most, Math.abs(entry - other[i]!)), 0);
    const expected = new Float32Array(moments[0]!.length);
    let start = 0;
    for (const { name, data } of gradients) {
      expected.set(
        Array.from(plain.gradients.get(name)!, (entry) => entry / 10),
        start,
      );
      start += Math.ceil(data.length / 4) * 4;
    }
    const [largest] = expected.map(Math.abs).toSorted().toReversed();
    const apart = (one: Float32Array, other: Float32Array) => worstFrom(one, other) / largest!;
    expect(moments.map((each) => apart(each, expected) < 1e-4)).toEqual(moments.map(() => dropout === 0));
    expect(apart(moments[0]!, moments[1]!)).toBeLessThan(1e-4);
    expect(apart(moments[2]!, moments[3]!)).toBeLessThan(1e-4);
  },
);

test('adapters are initialized as in PEFT and do not change the vectors; options are checked', async () => {
  const { model, expected } = await tiny('tiny-bert');
  const targets = ['query', 'encoder.layer.1.output.dense'];
  const { adapters } = withLora(model, { rank: 2, targets });
  expect(adapters!.modules).toEqual([
    'encoder.layer.0.attention.self.query',
    'encoder.layer.1.attention.self.query',
    'encoder.layer.1.output.dense',
    'encoder.layer.2.attention.self.query',
  ]);
  for (const { name, shape, data } of adapters!.tensors) {
    const largest = data.reduce((most, entry) => Math.max(most, Math.abs(entry)), 0);
    const bound = name.includes('lora_A') ? 1 / Math.sqrt(shape[1]!) : 0;
    expect([largest <= bound, largest >= 0.9 * bound]).toEqual([true, true]);
  }
  const batch = makeBatch([column(expected.cases, [1, 2]), column(expected.cases, [3, 4])]);
  const loss = multipleNegativesRankingLoss();
  expect(plainStep(withLora(model), batch, loss).loss).toBe(plainStep(model, batch, loss).loss);
  for (const [options, message] of [
    [{ targets: ['q_proj'] }, /no linear layer has the name or suffix "q_proj".*query, key, value/],
    [{ rank: 0 }, /rank of LoRA must be a whole number of at least 1, not 0/],
    [{ alpha: -1 }, /alpha of LoRA/],
    [{ dropout: 1 }, /dropout of LoRA/],
    [{ ranks: 3 }, /ranks/],
  ] as const)
    expect(() => withLora(model, options as object)).toThrow(message);
});

const texts = samplePairs(6, 9).flatMap(({ a, b }) => [a, b]);

async function vectorsOf(folder: string): Promise<Float32Array> {
  await using embedder = await loadEmbedder(await openModel(folder), { backend: onnx() });
  expect(embedder.selfCheck).toMatchObject({ state: 'passed', reference: 'stored' });
  return (await embedder.embed(texts)).vectors.data;
}

test('a run saves the adapter merged, or apart in PEFT format, with the same vectors', async () => {
  const lora = { rank: 4, targets: ['query', 'dense'], dropout: 0.1 };
  const changes = { lora, evaluation: undefined, learningRate: 1e-2, maxSteps: 4 };
  const { output: merged } = await place.run(place.config('merged', changes));
  const { output: apart } = await place.run(place.config('apart', { ...changes, lora: { ...lora, save: 'apart' } }));
  const names = await readdir(apart);
  expect(names).toEqual(expect.arrayContaining(['adapter_config.json', 'adapter_model.safetensors', 'tokenizer.json']));
  expect(names.filter((name) => /^(config|model)\./u.test(name) || name === 'onnx')).toEqual([]);
  expect(JSON.parse(await readFile(`${apart}/adapter_config.json`, 'utf8'))).toMatchObject({ r: 4, lora_alpha: 8 });
  const [one, other] = [await vectorsOf(merged), await vectorsOf(apart)];
  const worst = one.reduce((most, entry, i) => Math.max(most, Math.abs(entry - other[i]!)), 0);
  expect(worst).toBeLessThan(1e-5);
  await using before = await loadEmbedder(await openModel(goldenPath('models/tiny-bert-multipool')), {
    backend: onnx(),
  });
  const { data } = (await before.embed(texts)).vectors;
  expect(one.reduce((most, entry, i) => Math.max(most, Math.abs(entry - data[i]!)), 0)).toBeGreaterThan(1e-2);
});

test('an adapter without a base model that can be loaded is refused before training', async () => {
  const lora = { save: 'apart' };
  const scratch = { model: { fromScratch: { vocabularySize: 100 } }, lora };
  expect(await errorOf(() => place.run(place.config('refused', scratch)))).toMatchObject({
    code: 'invalid-argument',
    message: expect.stringMatching(/needs a base model.*"merged"/),
  });
  const adapter = { model: place.file('apart'), lora };
  expect((await errorOf(() => place.run(place.config('refused', adapter), { openModel }))).message).toMatch(
    /itself an adapter/,
  );
});
