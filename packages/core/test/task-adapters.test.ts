// Models with LoRA adapters for tasks: the vectors of each task, fingerprints, and refused tasks.
import { createHash } from 'node:crypto';
import { plainBackend } from '@sentvec/architectures';
import {
  type Backend,
  type Encoder,
  type LoadEmbedderOptions,
  memoryModel,
  type ModelFiles,
  readWeights,
  writeSafetensors,
} from '@sentvec/core';
import { directoryModel, loadEmbedder } from '@sentvec/core/node';
import { goldenExpectation, goldenModel } from '@sentvec/testing';
import { expect, test } from 'vitest';
import { withTask } from '../src/weights/task-adapters.ts';

const name = 'tiny-jina3-tasks';
const { cases, tasks = {}, measured } = goldenExpectation(name);
const texts = cases.map(({ text }) => text);

const load = (files: ModelFiles, options: LoadEmbedderOptions = {}) =>
  loadEmbedder(files, { backend: plainBackend(), ...options });

async function embed(options: LoadEmbedderOptions) {
  const embedder = await load(goldenModel(name), options);
  const { vectors, receipt } = await embedder.embed(texts, { prompt: null });
  await embedder.dispose();
  const rows = texts.map((_, row) => [...vectors.data.subarray(row * vectors.cols, (row + 1) * vectors.cols)]);
  return { rows, receipt };
}

const largestDifference = (found: readonly (readonly number[])[], expected: readonly (readonly number[])[]): number =>
  Math.max(...found.flatMap((row, i) => row.map((entry, k) => Math.abs(entry - expected[i]![k]!))));

test.each(Object.keys(tasks))('the adapter of %s is merged into the weights', async (task) => {
  const { rows, receipt } = await embed({ task });
  expect(largestDifference(rows, tasks[task]!)).toBeLessThan(measured.tolerance!);
  expect(receipt.notes).toEqual([`The adapter of the task "${task}" is merged into the weights.`]);
});

test('each task and no task have different fingerprints; without a task the receipt lists the tasks', async () => {
  const all = await Promise.all([undefined, ...Object.keys(tasks)].map(async (task) => embed({ task })));
  expect(new Set(all.map(({ receipt }) => receipt.fingerprint)).size).toBe(all.length);
  expect(all[0]!.receipt.notes).toEqual([expect.stringMatching(/adapters for the tasks retrieval\.query, .*"task"/u)]);
});

/** `tiny-jina3` with the adapter of one task in a subfolder, in the format of PEFT. */
async function withAdapterFolder(task: string, folder: string): Promise<ModelFiles> {
  const stored = await readWeights(
    memoryModel('w', { 'model.safetensors': await goldenModel(name).read('model.safetensors') }),
  );
  const index = Object.keys(tasks).indexOf(task);
  const adapter: Record<string, { shape: number[]; data: Float32Array }> = {};
  for (const each of stored.names()) {
    const [, module, part] = /^roberta\.(.+)\.parametrizations\.weight\.0\.lora_([AB])$/u.exec(each) ?? [];
    if (module === undefined) continue;
    const { shape, data } = stored.tensor(each);
    const [, rows, columns] = shape as [number, number, number];
    const matrix = data.slice(index * rows * columns, (index + 1) * rows * columns);
    // PEFT stores the factors for an embedding matrix transposed and under another name.
    const table = module.startsWith('embeddings.');
    const transposed = Float32Array.from(matrix, (_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!);
    adapter[`base_model.model.${module}.${table ? `lora_embedding_${part}` : `lora_${part}.weight`}`] = table
      ? { shape: [columns, rows], data: transposed }
      : { shape: [rows, columns], data: matrix };
  }
  const files = goldenModel('tiny-jina3');
  const contents: Record<string, Uint8Array | string> = {};
  for (const path of await files.list()) contents[path] = await files.read(path);
  return memoryModel('with folders', {
    ...contents,
    [`${folder}/adapter_config.json`]: JSON.stringify({ peft_type: 'LORA', r: 4, lora_alpha: 2 }),
    [`${folder}/adapter_model.safetensors`]: writeSafetensors(adapter),
  });
}

test('without a task, rows() of a tensor with adapters reads only the bytes of these rows', async () => {
  const table = 'roberta.embeddings.word_embeddings.weight';
  const files = await directoryModel(goldenModel(name).directory);
  let bytesRead = 0;
  const weights = await readWeights({
    ...files,
    openFile: async (path) => {
      const { size, read } = await files.openFile!(path);
      return {
        size,
        read: (begin, end) => {
          bytesRead += end - begin;
          return read(begin, end);
        },
      };
    },
  });
  const { shape, data } = weights.tensor(table);
  const width = shape[1]!;
  bytesRead = 0;
  const rows = weights.rows(table, [5, 2]);
  expect(bytesRead).toBe(2 * 4 * width);
  expect([...rows]).toEqual([...data.subarray(5 * width, 6 * width), ...data.subarray(2 * width, 3 * width)]);
});

test('an adapter may also be in a subfolder named after its task', async () => {
  const task = 'retrieval.query';
  const files = await withAdapterFolder(task, 'retrieval_query');
  const embedder = await load(files, { task });
  const { vectors, receipt } = await embedder.embed(texts, { prompt: null });
  await embedder.dispose();
  const rows = texts.map((_, row) => [...vectors.data.subarray(row * vectors.cols, (row + 1) * vectors.cols)]);
  expect(largestDifference(rows, tasks[task]!)).toBeLessThan(measured.tolerance!);
  expect(receipt.notes).toEqual([`The adapter of the task "${task}" is merged into the weights.`]);
  const plain = await load(files);
  expect((await plain.embed('a')).receipt.notes).toEqual([
    expect.stringMatching(/tasks retrieval_query\. None was chosen/u),
  ]);
  await plain.dispose();
  await expect(load(files, { task: 'separation' })).rejects.toMatchObject({
    message: expect.stringMatching(/"separation".*adapters for retrieval_query/u) as string,
  });
});

test('withTask() changes config.json and its hash and hides ONNX files and self-check files', async () => {
  const files = await directoryModel(goldenModel(name).directory);
  const adapted = await withTask(files, 'text-matching');
  expect(await adapted.list()).toEqual(await files.list());
  expect(adapted.directory).toBeUndefined();
  const others = ['onnx/model.onnx', 'onnx/model.onnx_data', 'model.onnx.data', 'self-check.json', 'a/self-check.json'];
  const beside = await withTask({ ...files, list: async () => [...(await files.list()), ...others] }, 'text-matching');
  expect(await beside.list()).toEqual(await files.list());
  const config = await adapted.read('config.json');
  expect(await adapted.sha256!('config.json')).toBe(createHash('sha256').update(config).digest('hex'));
  expect(await adapted.sha256!('config.json')).not.toBe(await files.sha256!('config.json'));
  expect(await adapted.size!('config.json')).toBe(config.length);
  expect(await adapted.sha256!('model.safetensors')).toBe(await files.sha256!('model.safetensors'));
});

test('a task without an adapter is refused with a list of the tasks', async () => {
  await expect(load(goldenModel(name), { task: 'cooking' })).rejects.toMatchObject({
    code: 'invalid-argument',
    message: expect.stringMatching(/"cooking".*retrieval\.query, retrieval\.passage, text-matching/u) as string,
  });
  await expect(load(goldenModel('tiny-bert'), { task: 'retrieval.query' })).rejects.toMatchObject({
    code: 'invalid-argument',
    message: expect.stringMatching(/tiny-bert has no adapters for tasks/u) as string,
  });
});

test('a task whose adapters are missing in the weights or have a wrong shape is refused', async () => {
  const files = goldenModel(name);
  const contents: Record<string, Uint8Array> = {};
  for (const path of await files.list()) contents[path] = await files.read(path);
  const withWeights = (weights: Uint8Array): ModelFiles =>
    memoryModel('changed', { ...contents, 'model.safetensors': weights });
  const plain = await goldenModel('tiny-jina3').read('model.safetensors');
  await expect(load(withWeights(plain), { task: 'text-matching' })).rejects.toMatchObject({
    code: 'invalid-model',
    message: expect.stringMatching(/"text-matching".*weights do not contain/u) as string,
  });
  const part = 'embeddings.word_embeddings.parametrizations.weight';
  const tensor = (...shape: number[]) => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
  const misfit = writeSafetensors({
    [`${part}.original`]: tensor(683, 32),
    [`${part}.0.lora_A`]: tensor(3, 683, 4),
    [`${part}.0.lora_B`]: tensor(3, 4, 31),
  });
  const config = JSON.stringify({
    ...JSON.parse(new TextDecoder().decode(contents['config.json'])),
    default_task: 'text-matching',
  });
  const weights = await readWeights(memoryModel('misfit', { 'config.json': config, 'model.safetensors': misfit }));
  expect(() => weights.tensor('embeddings.word_embeddings.weight')).toThrow(/do not fit its shape \[683, 32\]/u);
});

test('an embedder that is disposed while it loads a task loads no further encoder and disposes all', async () => {
  const plain = plainBackend();
  let loads = 0;
  const alive = new Set<Encoder>();
  const backend: Backend = {
    ...plain,
    load: async (files, options) => {
      const encoder = await plain.load(files, options);
      loads += 1;
      alive.add(encoder);
      const { hiddenSize, maxPositions, concurrency, batchTokens } = encoder;
      const encode: Encoder['encode'] = (batch, head) => encoder.encode(batch, head);
      const dispose = async (): Promise<void> => {
        alive.delete(encoder);
        await encoder.dispose();
      };
      return { hiddenSize, maxPositions, concurrency, batchTokens, encode, dispose };
    },
  };
  const embedder = await load(goldenModel(name), { backend, selfCheck: false });
  const calls = ['retrieval.query', 'text-matching'].map((task) => embedder.embed('a', { task, prompt: null }));
  const byRole = embedder.embed('a', { as: 'document' });
  const ended = Promise.allSettled([...calls, byRole]);
  await embedder.dispose();
  for (const call of await ended) expect(call).toMatchObject({ status: 'rejected', reason: { code: 'disposed' } });
  expect([loads, alive.size]).toEqual([1, 0]);
});
