// LoRA adapters: merged into the weights of a model in the same folder, or of the base model that they name.
import { readFile } from 'node:fs/promises';
import { plainBackend, readEncoder } from '@sentvec/architectures';
import { goldenModel, goldenPath } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { loadEmbedder, memoryModel, readWeights, writeSafetensors, type ModelFiles } from '../src/index.ts';

const base = goldenModel('tiny-qwen3-bidirectional');

type Files = Record<string, Uint8Array | string>;

/** The files of a folder as sentence-transformers saves it for a model with an adapter. */
async function adapterFiles(adapter: string): Promise<Files> {
  const own = (await base.list()).filter((path) => !/^(?:config|expected|model)\./u.test(path));
  const carried = own.map(async (path) => [path, await base.read(path)] as const);
  const saved = ['adapter_config.json', 'adapter_model.safetensors'].map(
    async (path) => [path, new Uint8Array(await readFile(goldenPath(`adapters/${adapter}/${path}`)))] as const,
  );
  return Object.fromEntries(await Promise.all([...carried, ...saved]));
}

async function withBase(files: Files): Promise<Files> {
  return {
    ...files,
    'config.json': await base.read('config.json'),
    'model.safetensors': await base.read('model.safetensors'),
  };
}

async function withConfig(changes: Record<string, unknown>): Promise<ModelFiles> {
  const files = await withBase(await adapterFiles('rank-stabilized'));
  const config: object = JSON.parse(new TextDecoder().decode(files['adapter_config.json'] as Uint8Array));
  return memoryModel('adapted', { ...files, 'adapter_config.json': JSON.stringify({ ...config, ...changes }) });
}

/** The largest difference from the vectors of sentence-transformers. */
async function differenceOf(model: ModelFiles, adapter: string): Promise<number> {
  const expected: { texts: string[]; embeddings: number[][] } = JSON.parse(
    await readFile(goldenPath(`adapters/${adapter}/expected.json`), 'utf8'),
  );
  const embedder = await loadEmbedder(model, { backend: plainBackend() });
  const { vectors } = await embedder.embed(expected.texts, { prompt: null });
  await embedder.dispose();
  return expected.embeddings.flat().reduce((gap, value, i) => Math.max(gap, Math.abs(vectors.data[i]! - value)), 0);
}

describe.each(['rank-stabilized', 'token-table'])('the LoRA adapter %s', (adapter) => {
  it('is merged into the model that it names, with the vectors of sentence-transformers', async () => {
    const names: string[] = [];
    const related = async (name: string): Promise<ModelFiles> => {
      names.push(name);
      return base;
    };
    const model = { ...memoryModel('adapted', await adapterFiles(adapter)), related };
    expect(await differenceOf(model, adapter)).toBeLessThan(6e-5);
    expect(new Set(names)).toEqual(new Set(['sentvec/tiny-qwen3-bidirectional']));
  });

  it('is merged into a model whose tensor names have a longer or a shorter prefix', async () => {
    const files = await withBase(await adapterFiles(adapter));
    const renamed = async (path: string, name: (own: string) => string): Promise<ModelFiles> => {
      const weights = await readWeights(memoryModel('own', { 'model.safetensors': files[path]! }));
      const tensors = weights.names().map((own) => [name(own), weights.tensor(own)] as const);
      return memoryModel('adapted', { ...files, [path]: writeSafetensors(Object.fromEntries(tensors)) });
    };
    const more = await renamed('model.safetensors', (own) => `model.${own}`);
    expect(await differenceOf(more, adapter)).toBeLessThan(6e-5);
    const less = await renamed('adapter_model.safetensors', (own) => own.replace('.model.', '.model.model.'));
    expect(await differenceOf(less, adapter)).toBeLessThan(6e-5);
  });

  it('is merged into the model in the same folder', async () => {
    const model = memoryModel('adapted', await withBase(await adapterFiles(adapter)));
    expect(await differenceOf(model, adapter)).toBeLessThan(6e-5);
  });
});

describe('an adapter', () => {
  it('changes the fingerprint of the vector space', async () => {
    const fingerprint = async (model: ModelFiles): Promise<string> => {
      const embedder = await loadEmbedder(model, { backend: plainBackend() });
      const { hash } = await embedder.fingerprint({ prompt: null });
      await embedder.dispose();
      return hash;
    };
    const hashes = await Promise.all([
      fingerprint(base),
      fingerprint(await withConfig({})),
      fingerprint(await withConfig({ lora_alpha: 7 })),
    ]);
    expect(new Set(hashes).size).toBe(3);
  });

  it('without its model in the folder is refused, with a remedy, when the model cannot be found', async () => {
    const model = memoryModel('adapted', await adapterFiles('rank-stabilized'));
    await expect(loadEmbedder(model, { backend: plainBackend() })).rejects.toMatchObject({
      code: 'invalid-model',
      message: expect.stringMatching(/adapts the model "sentvec\/tiny-qwen3-bidirectional".*merge_and_unload/su),
    });
  });

  it.each([
    ['of another type', { peft_type: 'IA3' }, 'unsupported-model', /peft_type "IA3"/],
    [
      'with weights decomposed into magnitude and direction (DoRA)',
      { use_dora: true },
      'unsupported-model',
      /use_dora true/,
    ],
    ['with its own biases', { lora_bias: true }, 'unsupported-model', /lora_bias true/],
    ['whose initialization changed the model', { init_lora_weights: 'pissa' }, 'unsupported-model', /"pissa"/],
    ['of an unknown variant', { rotation: { degrees: 3 } }, 'unsupported-model', /rotation/],
    [
      'with a regular expression',
      { alpha_pattern: { '(a+)+$': 3 } },
      'unsupported-model',
      /alpha_pattern "\(a\+\)\+\$"/,
    ],
  ] as const)('%s is refused', async (_, changes, code, message) => {
    const error: unknown = await readWeights(await withConfig(changes)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('of another model is refused', async () => {
    const files = await withBase(await adapterFiles('rank-stabilized'));
    const other = goldenModel('tiny-bert');
    for (const path of ['config.json', 'model.safetensors']) files[path] = await other.read(path);
    await expect(readEncoder(memoryModel('adapted', files))).rejects.toMatchObject({
      code: 'invalid-model',
      message: expect.stringMatching(/does not fit.*Check that the adapter belongs to this model/su),
    });
  });

  it('in PyTorch format is refused with the command that converts it', async () => {
    const { 'adapter_model.safetensors': weights, ...files } = await withBase(await adapterFiles('rank-stabilized'));
    await expect(
      readWeights(memoryModel('adapted', { ...files, 'adapter_model.bin': weights! })),
    ).rejects.toMatchObject({
      code: 'invalid-model',
      message: expect.stringMatching(/adapter_model\.bin.*python -c/su),
    });
  });
});
