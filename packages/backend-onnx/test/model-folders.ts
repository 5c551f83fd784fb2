// Sound model folders in the forms that models have, made of the golden models.
import { plainBackend, readEncoder, recordEncoder, recordSplitEncoder, selfCheckContent } from '@sentvec/architectures';
import { loadEmbedder, memoryModel, writeSafetensors } from '@sentvec/core';
import { goldenModel } from '@sentvec/testing';

/** The files of a model, by their paths. */
export type Files = Readonly<Record<string, Uint8Array>>;

/** The four golden models, a plain folder, one with a self-check, with shards, with ONNX files, of static embeddings. */
export async function modelFolders(): Promise<ReadonlyMap<string, Files>> {
  const names = ['tiny-bert', 'tiny-bert-multipool', 'tiny-mpnet', 'tiny-roberta'];
  const golden = await Promise.all(names.map(async (name) => [name, await goldenFolder(name)] as const));
  return new Map([...golden, ...(await formsOf(golden[0]![1]))]);
}

async function goldenFolder(name: string): Promise<Files> {
  const golden = goldenModel(name);
  const paths = (await golden.list()).filter((path) => path !== 'expected.json');
  return Object.fromEntries(await Promise.all(paths.map(async (path) => [path, await golden.read(path)] as const)));
}

async function formsOf(bert: Files): Promise<[name: string, Files][]> {
  const { 'modules.json': _modules, '1_Pooling/config.json': _pooling, ...plain } = bert;
  const { 'model.safetensors': weights, ...withoutWeights } = bert;
  const { 'tokenizer.json': tokenizer } = bert;
  const definition = await readEncoder(memoryModel('tiny-bert', bert));
  const split = recordSplitEncoder(definition, 'numbers');
  const card = '---\nbase_model: [a/base]\ntags: [x]\nlibrary_name: transformers\n---\n# Text\n';
  const table = {
    shape: [vocabularySize, 4],
    data: Float32Array.from({ length: vocabularySize * 4 }, (_, i) => Math.sin(i)),
  };
  return [
    ['plain', { ...plain, 'README.md': encode(card) }],
    ['self-check', { ...bert, 'self-check.json': await selfCheckOf(bert) }],
    ['shards', { ...withoutWeights, 'a.safetensors': weights!, 'model.safetensors.index.json': indexOf(weights!) }],
    ['onnx', { ...withoutWeights, 'onnx/model.onnx': recordEncoder(definition) }],
    ['onnx-data', { ...withoutWeights, 'model.onnx': split.model, numbers: Buffer.concat(split.data) }],
    [
      'static',
      {
        'config.json': encode('{"model_type":"model2vec","normalize":true}'),
        'tokenizer.json': tokenizer!,
        'model.safetensors': writeSafetensors({ embeddings: table }),
      },
    ],
  ];
}

/** Of tiny-bert. */
const vocabularySize = 959;

async function selfCheckOf(files: Files): Promise<Uint8Array> {
  const model = memoryModel('tiny-bert', files);
  await using embedder = await loadEmbedder(model, { backend: plainBackend() });
  const content = await selfCheckContent(model, embedder.tokenizer, { addSpecialTokens: true, maxPositions: 64 });
  return encode(content!);
}

function indexOf(weights: Uint8Array): Uint8Array {
  const headerSize = new DataView(weights.buffer, weights.byteOffset).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(weights.subarray(8, 8 + headerSize))) as object;
  const names = Object.keys(header).filter((name) => name !== '__metadata__');
  const entries = names.map((name) => [name, 'a.safetensors']);
  return encode(JSON.stringify({ metadata: {}, weight_map: Object.fromEntries(entries) }));
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
