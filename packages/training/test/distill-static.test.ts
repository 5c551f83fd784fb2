import { plainBackend } from '@sentvec/architectures';
import { loadEmbedder, memoryModel, readWeights, SentvecError, type Embedder, type ModelFiles } from '@sentvec/core';
import { directoryModel } from '@sentvec/core/node';
import { goldenPath } from '@sentvec/testing';
import { distillStatic } from '@sentvec/training';
import { afterAll, beforeAll, expect, it } from 'vitest';

let teacher: Embedder;
beforeAll(async () => {
  const base = await directoryModel(goldenPath('models/tiny-bert'));
  const licensed: ModelFiles = {
    name: base.name,
    list: async () => [...(await base.list()), 'LICENSE'],
    read: async (path) => (path === 'LICENSE' ? new TextEncoder().encode('terms') : base.read(path)),
  };
  teacher = await loadEmbedder(licensed, { backend: plainBackend() });
});
afterAll(() => teacher.dispose());

const tokens = [7, 100, 101, 500, 640];

/** Embeds single tokens with the teacher: the mean over the token and the special tokens around it. */
async function teacherVectors(ids: readonly number[]): Promise<number[][]> {
  const { prefix, suffix } = teacher.tokenizer.specialTokens;
  const cols = prefix.length + 1 + suffix.length;
  const batch = ids.flatMap((id) => [...prefix, id, ...suffix]);
  const mask = new Int32Array(batch.length).fill(1);
  const { data } = await teacher.encoder.encode({ ids: Int32Array.from(batch), mask, rows: ids.length, cols });
  const width = teacher.encoder.hiddenSize;
  return ids.map((_, row) =>
    Array.from({ length: width }, (_unused, entry) => {
      let sum = 0;
      for (let col = 0; col < cols; col += 1) sum += data[(row * cols + col) * width + entry]! / cols;
      return sum;
    }),
  );
}

const minus = (a: readonly number[], b: readonly number[]): number[] => a.map((value, index) => value - b[index]!);
const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, index) => sum + value * b[index]!, 0);

it('keeps the licence of the teacher', async () => {
  const model = await distillStatic(teacher, { dimension: 4 });
  expect(new TextDecoder().decode(await model.read('LICENSE'))).toBe('terms');
});

it('keeps the differences between token vectors, scaled by the weight of each token', async () => {
  const model = await distillStatic(teacher, { dimension: 1000, smoothing: 0.5 });
  const { data, shape } = (await readWeights(await only(model))).tensor('embedding.weight');
  const [rows, width] = shape as [number, number];
  expect([rows, width]).toEqual([teacher.tokenizer.vocabularySize, teacher.dimension]);
  const total = Array.from({ length: rows }, (_, rank) => 1 / (rank + 2)).reduce((sum, share) => sum + share, 0);
  // The token weights are smooth inverse frequencies, where the frequency of each rank follows Zipf's law.
  const found = tokens.map((id) => {
    const weight = 0.5 / (0.5 + 1 / (id + 2) / total);
    return [...data.subarray(id * width, (id + 1) * width)].map((value) => value / weight);
  });
  // The teacher normalizes its vectors. PCA rotates them about the mean, which preserves dot products of differences.
  const unit = (await teacherVectors(tokens)).map((vector) => vector.map((value) => value / Math.hypot(...vector)));
  for (const [i, a] of unit.entries())
    for (const [j, b] of unit.entries())
      expect(dot(minus(found[i]!, found[j]!), minus(found[0]!, found[j]!))).toBeCloseTo(
        dot(minus(a, b), minus(unit[0]!, b)),
        4,
      );
});

it('writes a model that embeds a text as the mean of its tokens, without special tokens', async () => {
  const model = await distillStatic(teacher, { dimension: 8 });
  const student = await loadEmbedder(model);
  expect([student.dimension, student.encoder.vocabularySize]).toEqual([8, teacher.tokenizer.vocabularySize]);
  const { data } = (await readWeights(await only(model))).tensor('embedding.weight');
  const text = 'the cat sat on the mat';
  const [tokenized] = await student.tokenizer.encode([text], { maxLength: 100, addSpecialTokens: false });
  const mean = Array.from({ length: 8 }, (_, entry) =>
    tokenized!.ids.reduce((sum, id) => sum + data[id * 8 + entry]!, 0),
  );
  const { vector } = await student.embed(text);
  for (const [entry, value] of mean.entries()) expect(vector[entry]).toBeCloseTo(value / Math.hypot(...mean), 5);
  for (const id of [...teacher.tokenizer.specialTokens.prefix, teacher.tokenizer.paddingId])
    expect(data.subarray(id * 8, id * 8 + 8).every((value) => value === 0)).toBe(true);
});

it('computes token frequencies from the given texts', async () => {
  const common = await distillStatic(teacher, { dimension: 8, texts: Array<string>(50).fill('the') });
  const rare = await distillStatic(teacher, { dimension: 8, texts: Array<string>(50).fill('mat') });
  const [the] = await teacher.tokenizer.encode(['the'], { maxLength: 9, addSpecialTokens: false });
  const length = async (model: ModelFiles): Promise<number> => {
    const { data } = (await readWeights(await only(model))).tensor('embedding.weight');
    return Math.hypot(...data.subarray(the!.ids[0]! * 8, the!.ids[0]! * 8 + 8));
  };
  expect((await length(common)) * 2).toBeLessThan(await length(rare));
});

it.each([{ dimension: 0 }, { smoothing: 0 }, { size: 3 }])('refuses %o', async (options) => {
  await expect(distillStatic(teacher, options as object)).rejects.toSatisfy((error) =>
    SentvecError.is(error, 'invalid-argument'),
  );
});

it('can be aborted', async () => {
  await expect(distillStatic(teacher, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
});

/** The folder of the StaticEmbedding module. */
async function only(model: ModelFiles): Promise<ModelFiles> {
  return memoryModel('static', {
    'model.safetensors': await model.read('0_StaticEmbedding/model.safetensors'),
  });
}
