import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainBackend, readEncoder, recordSplitEncoder } from '@sentvec/architectures';
import { onnx } from '@sentvec/backend-onnx';
import { loadEmbedder, memoryModel, type ModelFiles, writeSafetensors } from '@sentvec/core';
import { loadEmbedder as loadInNode } from '@sentvec/core/node';
import { writeFolderAtomically } from '@sentvec/platform/node';
import { goldenExpectation, goldenModel, goldenPath } from '@sentvec/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportedFiles } from '../src/export/exported-files.ts';
import { onnxFiles } from '../src/export/onnx-files.ts';
import { largestDifference } from './sentvec.ts';

type Files = Record<string, Uint8Array | string>;

const texts = ['A man is playing a guitar.', 'THIS IS WRITTEN IN UPPER CASE', 'Ünïcödé café'];

async function filesOf(golden: string): Promise<Files> {
  const model = goldenModel(golden);
  const paths = (await model.list()).filter((path) => path !== 'expected.json');
  return Object.fromEntries(await Promise.all(paths.map(async (path) => [path, await model.read(path)] as const)));
}

function parse(
  content: Uint8Array | string | undefined,
): any /* oxlint-disable-line typescript/no-explicit-any -- JSON of a file that the test knows */ {
  return JSON.parse(typeof content === 'string' ? content : new TextDecoder().decode(content));
}

async function exported(model: ModelFiles, options: Parameters<typeof exportedFiles>[2] = {}): Promise<Files> {
  const files = await exportedFiles(model, 64, options);
  return Object.fromEntries(
    await Promise.all(
      files.map(async ([path, content]) => {
        const bytes = typeof content === 'function' ? await content() : content;
        return [path, bytes as Uint8Array | string] as const;
      }),
    ),
  );
}

async function vectorsOf(model: ModelFiles): Promise<{ data: Float32Array; fingerprint: string }> {
  const embedder = await loadEmbedder(model, { backend: plainBackend() });
  const { vectors, receipt } = await embedder.embed(texts);
  await embedder.dispose();
  return { data: vectors.data, fingerprint: receipt.fingerprint };
}

/** Exports a model and checks that the result computes the same vectors. @returns its files */
async function exportUnchanged(files: Files): Promise<Files> {
  const model = memoryModel('original', files);
  const result = await exported(model);
  const [one, two] = [await vectorsOf(model), await vectorsOf(memoryModel('exported', result))];
  expect(largestDifference(two.data, one.data)).toBe(0);
  return result;
}

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sentvec-export-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe('exportedFiles', () => {
  it('merges an adapter into the weights and does not export its files', async () => {
    const adapter = ['adapter_config.json', 'adapter_model.safetensors'].map(
      async (path) => [path, new Uint8Array(await readFile(goldenPath(`adapters/rank-stabilized/${path}`)))] as const,
    );
    const files = { ...(await filesOf('tiny-qwen3-bidirectional')), ...Object.fromEntries(await Promise.all(adapter)) };
    const result = await exportUnchanged(files);
    expect(Object.keys(result).filter((path) => path.includes('adapter'))).toEqual([]);
    expect(result['model.safetensors']).not.toEqual(files['model.safetensors']);
  });

  it('does not export the weights of other frameworks', async () => {
    const others = [
      'pytorch_model.bin',
      'tf_model.h5',
      'flax_model.msgpack',
      'openvino/openvino_model.xml',
      '.gitattributes',
      'onnx/model_quantized.onnx',
    ];
    const result = await exportUnchanged({
      ...(await filesOf('tiny-bert')),
      ...Object.fromEntries(others.map((path) => [path, 'x'])),
    });
    expect(Object.keys(result).filter((path) => others.includes(path))).toEqual([]);
    expect(Object.keys(result)).toContain('onnx/model.onnx');
  });

  it('writes the mean pooling of a folder without modules.json to its files', async () => {
    const { 'modules.json': _, '1_Pooling/config.json': __, ...plain } = await filesOf('tiny-bert');
    const result = await exportUnchanged(plain);
    expect(parse(result['1_Pooling/config.json'])).toMatchObject({ pooling_mode: 'mean' });
  });

  it('moves an encoder from a subfolder to the root folder', async () => {
    const files = await filesOf('tiny-roberta');
    const own = [
      'config.json',
      'tokenizer.json',
      'tokenizer_config.json',
      'special_tokens_map.json',
      'model.safetensors',
      'sentence_bert_config.json',
    ];
    const moved = Object.entries(files).map(([path, content]) => [
      own.includes(path) ? `0_Transformer/${path}` : path,
      content,
    ]);
    const modules = parse(files['modules.json']);
    modules[0].path = '0_Transformer';
    const result = await exportUnchanged({
      ...(Object.fromEntries(moved) as Files),
      'modules.json': JSON.stringify(modules),
    });
    for (const path of own) expect(Object.keys(result)).toContain(path);
    expect(Object.keys(result).some((path) => path.startsWith('0_Transformer'))).toBe(false);
    expect(parse(result['modules.json'])[0].path).toBe('');
  });

  it('creates tokenizer.json from vocab.txt', async () => {
    const { 'tokenizer.json': tokenizer, ...files } = await filesOf('tiny-bert');
    const vocabulary = Object.entries(parse(tokenizer).model.vocab as Record<string, number>).sort(
      ([, a], [, b]) => a - b,
    );
    const result = await exportUnchanged({ ...files, 'vocab.txt': vocabulary.map(([piece]) => `${piece}\n`).join('') });
    expect(parse(result['tokenizer.json']).model.vocab).toEqual(Object.fromEntries(vocabulary));
  });

  it('moves lower-casing into the tokenizer, where every library applies it', async () => {
    const files = await filesOf('tiny-roberta');
    const settings = { ...parse(files['sentence_bert_config.json']), do_lower_case: true };
    const result = await exportUnchanged({ ...files, 'sentence_bert_config.json': JSON.stringify(settings) });
    expect(parse(result['tokenizer.json']).normalizer.normalizers[0]).toEqual({ type: 'Lowercase' });
    expect(parse(result['sentence_bert_config.json']).do_lower_case).toBe(false);
  });

  it('adds the maximum length and the padding token if the folder lacks them', async () => {
    const { 'special_tokens_map.json': _, 'tokenizer_config.json': __, ...files } = await filesOf('tiny-bert');
    expect(parse((await exportUnchanged(files))['tokenizer_config.json'])).toMatchObject({
      pad_token: '[PAD]',
      model_max_length: 64,
    });
  });

  it('copies the ONNX model of the folder', async () => {
    const files = {
      ...(await filesOf('tiny-bert')),
      'onnx/model.onnx': 'the graph',
      'onnx/model.onnx_data': 'the numbers',
    };
    const result = await exported(memoryModel('shipped', files));
    expect(new TextDecoder().decode(result['onnx/model.onnx'] as Uint8Array)).toBe('the graph');
    expect(new TextDecoder().decode(result['onnx/model.onnx_data'] as Uint8Array)).toBe('the numbers');
    expect(parse(result['config.json'])['transformers.js_config']).toEqual({
      use_external_data_format: { 'model.onnx': 1 },
    });
  });

  it('builds an ONNX model from safetensors with --record, and does not export the existing one', async () => {
    const config = { 'transformers.js_config': { use_external_data_format: { 'model.onnx': 1 } } };
    const golden = await filesOf('tiny-bert');
    const shipped = {
      ...golden,
      'config.json': JSON.stringify({ ...parse(golden['config.json']), ...config }),
      'model.onnx': 'the graph',
      'model_int8.onnx': 'another graph',
      'weights.bin': 'the numbers',
      'spiece.model': 'the tokenizer',
      LICENSE: 'the licence',
    };
    const result = await exported(memoryModel('shipped', shipped), { record: true });
    const recorded = await exported(memoryModel('without', golden));
    expect(result['onnx/model.onnx']).toEqual(recorded['onnx/model.onnx']);
    const added = Object.keys(result).filter((path) => !(path in recorded));
    expect(added).toEqual(['LICENSE', 'spiece.model']);
    expect(parse(result['config.json'])).toEqual(parse(golden['config.json']));
  });

  it('copies the only ONNX file of a folder without safetensors, with any names of the file and its weights', async () => {
    const definition = await readEncoder(goldenModel('tiny-bert'));
    const { model, data } = recordSplitEncoder(definition, 'weights.bin');
    const { 'model.safetensors': _, ...files } = await filesOf('tiny-bert');
    const shipped = { ...files, 'encoder.onnx': model, 'weights.bin': Buffer.concat(data), 'not-weights.bin': 'x' };
    const result = await exported(memoryModel('shipped', shipped));
    expect(result['onnx/model.onnx']).toEqual(model);
    expect(Buffer.compare(result['onnx/weights.bin'] as Uint8Array, Buffer.concat(data))).toBe(0);
    const added = Object.keys(result).filter((path) => !(path in files));
    expect(added).toEqual(['onnx/model.onnx', 'onnx/weights.bin']);
    expect(result['config.json']).toEqual(files['config.json']);
    const { 'weights.bin': _1, ...missing } = shipped;
    await expect(exported(memoryModel('shipped', missing))).rejects.toMatchObject({
      code: 'invalid-model',
      message: expect.stringContaining('weights.bin'),
    });
    const folder = join(directory, 'shipped');
    await writeFolderAtomically(folder, Object.entries(result));
    await using embedder = await loadInNode(folder, { backend: onnx({ sessions: 1 }) });
    const { cases } = goldenExpectation('tiny-bert');
    const { vectors } = await embedder.embed([cases[2]!.text]);
    expect(largestDifference(vectors.data, cases[2]!.embedding)).toBeLessThan(5e-5);
  });

  it('refuses static embeddings, which have no encoder', async () => {
    const { 'tokenizer.json': tokenizer } = await filesOf('tiny-bert');
    const size = Object.keys(parse(tokenizer).model.vocab).length;
    const weights = writeSafetensors({ embeddings: { shape: [size, 2], data: new Float32Array(size * 2) } });
    const files = {
      'config.json': '{"model_type": "model2vec", "normalize": true}',
      'tokenizer.json': tokenizer!,
      'model.safetensors': weights,
    };
    await expect(exportedFiles(memoryModel('static', files), 64)).rejects.toMatchObject({ code: 'unsupported-model' });
  });
});

describe('weights beyond the size limit of an ONNX file', () => {
  it('are stored in a separate file, with the same vectors', async () => {
    const golden = goldenModel('tiny-bert');
    const { files, externalData } = await onnxFiles(golden, { largest: 1000 });
    expect(externalData).toEqual(['model.onnx_data']);
    expect(files.map(([path]) => path)).toEqual(['onnx/model.onnx', 'onnx/model.onnx_data']);
    const own = Object.entries(await filesOf('tiny-bert')).map(
      ([path, content]) => [path, async () => content as Uint8Array] as const,
    );
    const folder = join(directory, 'split');
    await writeFolderAtomically(folder, [...own, ...files]);
    const { cases } = goldenExpectation('tiny-bert');
    const embedder = await loadInNode(folder, { backend: onnx({ sessions: 1 }) });
    const { vectors } = await embedder.embed([cases[2]!.text]);
    await embedder.dispose();
    expect(largestDifference(vectors.data, cases[2]!.embedding)).toBeLessThan(5e-5);
  });
});
