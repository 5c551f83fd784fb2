import {
  applyProjections,
  definePooling,
  memoryModel,
  readModelFolder,
  SentvecError,
  subfolder,
  writeSafetensors,
  type ModelFiles,
  type ModelFolderOptions,
} from '@sentvec/core';
import { goldenExpectation, goldenModel, goldenModelNames } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';
import { dense, denseConfig, folder, modules, numbers, withDense, type Folder } from './small-folders.ts';

describe('golden models', () => {
  it.each(goldenModelNames)('%s', async (name) => {
    const expected = goldenExpectation(name);
    const read = await readModelFolder(goldenModel(name));
    const modes = { 'tiny-roberta': ['cls'], 'tiny-bert-multipool': ['cls', 'max', 'mean'] }[name] ?? ['mean'];
    expect(read).toMatchObject({
      encoder: 'transformer',
      encoderPath: '',
      maxLength: expected.max_seq_length,
      lowerCase: false,
      addSpecialTokens: true,
      similarityFunction: expected.similarity_fn_name,
      defaultPrompt: undefined,
      truncateDim: undefined,
      notes: [],
      head: { pooling: { modes, includePrompt: name !== 'tiny-mpnet' } },
    });
    expect(read.head.pooling.outputSize(read.hiddenSize ?? 0)).toBe(expected.pooled_dimension);
    const all = [...expected.cases, ...expected.prompted];
    for (const { prompt_name: prompt, prompt: text } of expected.prompted) expect(read.prompts[prompt]).toBe(text);
    const pooled = {
      data: Float32Array.from(all.flatMap((one) => one.pooled)),
      rows: all.length,
      cols: expected.pooled_dimension,
    };
    const final = applyProjections(read.head.projections, pooled);
    expect(final.cols).toBe(expected.dimension);
    const differences = all.flatMap((one) => one.embedding).map((value, i) => Math.abs(value - (final.data[i] ?? NaN)));
    expect(Math.max(...differences)).toBeLessThan(2e-6);
  });
});

describe('pooling', () => {
  const modesOf = async (config: Folder, options?: ModelFolderOptions) =>
    (await readModelFolder(folder({ '1_Pooling/config.json': config }), options)).head.pooling;

  it('reads the older flags (pooling_mode_cls_token, …) in their fixed order', async () => {
    const on = {
      pooling_mode_lasttoken: true,
      pooling_mode_weightedmean_tokens: true,
      pooling_mode_mean_sqrt_len_tokens: true,
    };
    const more = { pooling_mode_mean_tokens: true, pooling_mode_max_tokens: true, pooling_mode_cls_token: true };
    expect((await modesOf({ ...on, ...more })).modes).toEqual([
      'cls',
      'max',
      'mean',
      'mean_sqrt_len_tokens',
      'weightedmean',
      'lasttoken',
    ]);
    expect((await modesOf({ pooling_mode_mean_tokens: false })).modes).toEqual(['mean']);
  });

  it('reads "pooling_mode" in its own order and prefers it to the older flags', async () => {
    expect((await modesOf({ pooling_mode: 'max', pooling_mode_cls_token: true })).modes).toEqual(['max']);
    expect(
      await modesOf({ embedding_dimension: 4, pooling_mode: ['lasttoken', 'cls'], include_prompt: false }),
    ).toMatchObject({
      modes: ['lasttoken', 'cls'],
      includePrompt: false,
    });
  });

  const sum = definePooling({
    name: 'SumPooling',
    create: (config) => ({
      outputSize: (size) => size * 2,
      pool: ({ cols }, { rows }) => ({
        data: new Float32Array(rows * cols * 2).fill(Number(config['fill'])),
        rows,
        cols: cols * 2,
      }),
    }),
  });

  it('may be a custom pooling, named by class path or by mode', async () => {
    const model = folder({
      'modules.json': modules('Transformer', { type: 'my_code.pooling.SumPooling', path: 'pool' }, 'Normalize'),
      'pool/config.json': { fill: 7 },
    });
    const { head } = await readModelFolder(model, { poolings: [sum] });
    expect(head.pooling).toMatchObject({ name: 'SumPooling', config: { fill: 7 } });
    expect(head.projections).toEqual([{ kind: 'normalize' }]);
    expect((await modesOf({ pooling_mode: 'SumPooling', fill: 8 }, { poolings: [sum] })).config).toEqual({
      pooling_mode: 'SumPooling',
      fill: 8,
    });
    await expect(readModelFolder(model)).rejects.toThrow(
      /names the module "my_code.pooling.SumPooling".*definePooling/u,
    );
  });

  it('can be replaced by an option; the layers after it must fit the new vector length', async () => {
    expect((await readModelFolder(folder(), { pooling: 'lasttoken' })).head.pooling.modes).toEqual(['lasttoken']);
    expect((await readModelFolder(folder(), { pooling: sum })).head.pooling.name).toBe('SumPooling');
    await expect(readModelFolder(withDense(), { pooling: ['cls', 'mean'] })).rejects.toThrow(
      /model\/2_Dense does not fit.*3 × 4 gets vectors of 8/u,
    );
  });
});

describe('projections', () => {
  it('reads every kind, and skips dropout', async () => {
    const { head } = await readModelFolder(
      folder({
        'modules.json': modules('Transformer', 'Pooling', 'Dropout', 'Dense', 'LayerNorm', 'Normalize'),
        '3_Dense/config.json': denseConfig({
          module_input_name: 'sentence_embedding',
          module_output_name: 'sentence_embedding',
        }),
        '3_Dense/model.safetensors': dense(3, 4),
        '4_LayerNorm/config.json': { dimension: 3 },
        '4_LayerNorm/model.safetensors': writeSafetensors({
          'norm.weight': { shape: [3], data: numbers(3) },
          'norm.bias': { shape: [3], data: numbers(3) },
        }),
      }),
    );
    expect(head.projections).toEqual([
      { kind: 'dense', weight: { data: numbers(12), rows: 3, cols: 4 }, bias: numbers(3), activation: 'Tanh' },
      { kind: 'layer-norm', weight: numbers(3), bias: numbers(3), epsilon: 1e-5 },
      { kind: 'normalize' },
    ]);
  });

  it.each([
    ['torch.nn.modules.linear.Identity', 'Identity'],
    ['torch.nn.modules.activation.GELU', 'GELU'],
    ['torch.nn.modules.activation.LeakyReLU', 'LeakyReLU'],
    ['torch.nn.SiLU', 'SiLU'],
    [null, 'Tanh'],
    [undefined, 'Tanh'],
  ])('reads the activation %s', async (activation, expected) => {
    const read = await readModelFolder(
      withDense({ '2_Dense/config.json': denseConfig({ activation_function: activation }) }),
    );
    expect(read.head.projections[0]).toMatchObject({ activation: expected });
  });

  it('reads a dense layer without bias, and with a residual', async () => {
    const config = denseConfig({ bias: false, use_residual: true });
    const weight = { shape: [3, 4], data: numbers(12) };
    const read = await readModelFolder(
      withDense({
        '2_Dense/config.json': config,
        '2_Dense/model.safetensors': writeSafetensors({ 'linear.weight': weight, 'residual.weight': weight }),
      }),
    );
    const matrix = { data: numbers(12), rows: 3, cols: 4 };
    expect(read.head.projections).toEqual([
      { kind: 'dense', weight: matrix, activation: 'Tanh', residual: true, residualWeight: matrix },
    ]);
    const square = await readModelFolder(
      withDense({
        '2_Dense/config.json': denseConfig({ out_features: 4, use_residual: true }),
        '2_Dense/model.safetensors': dense(4, 4),
      }),
    );
    expect(square.head.projections[0]).not.toHaveProperty('residualWeight');
    expect(square.head.projections[0]).toHaveProperty('residual', true);
  });
});

describe('the encoder', () => {
  it('may be in a subfolder, with its configs and tokenizer', async () => {
    const read = await readModelFolder(
      folder({
        'modules.json': modules({ type: 'sentence_transformers.models.Transformer', path: '0_Transformer' }, 'Pooling'),
        'config.json': undefined,
        '0_Transformer/config.json': { hidden_size: 4 },
        '0_Transformer/sentence_bert_config.json': { max_seq_length: 77, do_lower_case: true },
        '0_Transformer/tokenizer.json': '{}',
      }),
    );
    expect(read).toMatchObject({ encoderPath: '0_Transformer', maxLength: 77, lowerCase: true, hiddenSize: 4 });
    expect(read.encoderFiles.name).toBe('model/0_Transformer');
    expect(await read.encoderFiles.list()).toEqual(['config.json', 'sentence_bert_config.json', 'tokenizer.json']);
    expect(new TextDecoder().decode(await read.encoderFiles.read('tokenizer.json'))).toBe('{}');
  });

  it.each<[string, Folder, number | undefined]>([
    [
      'max_seq_length, if there is one',
      { 'sentence_bert_config.json': { max_seq_length: 9 }, 'tokenizer_config.json': { model_max_length: 5 } },
      9,
    ],
    ['a file under an older name', { 'sentence_roberta_config.json': { max_seq_length: 9 } }, 9],
    [
      'model_max_length of the tokenizer without a max_seq_length',
      { 'sentence_bert_config.json': { max_seq_length: null }, 'tokenizer_config.json': { model_max_length: 5 } },
      5,
    ],
    [
      'no file when model_max_length is the placeholder of transformers (about 1e30)',
      { 'tokenizer_config.json': '{"model_max_length": 1000000000000000019884624838656}' },
      undefined,
    ],
    ['no file when none states it', {}, undefined],
  ])('reads the maximum length from %s', async (_, files, maxLength) => {
    expect((await readModelFolder(folder(files))).maxLength).toBe(maxLength);
  });

  it('accepts settings of sentence-transformers 6 that have their default values', async () => {
    const config = {
      transformer_task: 'feature-extraction',
      modality_config: { text: { method: 'forward', method_output_name: 'last_hidden_state' } },
      module_output_name: 'token_embeddings',
      query_expansion: null,
      processing_kwargs: { text: {}, image: { size: 3 } },
    };
    expect((await readModelFolder(folder({ 'sentence_bert_config.json': config }))).encoder).toBe('transformer');
  });
});

it('reads prompts, similarity and dimension', async () => {
  const config = {
    prompts: { query: 'query: ', document: null, ['__proto__']: 'p' },
    default_prompt_name: 'query',
    similarity_fn_name: 'manhattan',
    truncate_dim: 2,
  };
  const read = await readModelFolder(folder({ 'config_sentence_transformers.json': config }));
  expect(read).toMatchObject({ defaultPrompt: 'query', similarityFunction: 'manhattan', truncateDim: 2 });
  expect(Object.entries(read.prompts)).toEqual(Object.entries({ query: 'query: ', document: '', ['__proto__']: 'p' }));
});

describe('a folder without modules.json', () => {
  it('gets mean pooling and a note that says so', async () => {
    const read = await readModelFolder(folder({ 'modules.json': undefined }));
    expect(read).toMatchObject({ encoder: 'transformer', head: { pooling: { modes: ['mean'] }, projections: [] } });
    expect(read.notes).toEqual([
      expect.stringContaining('model has no modules.json, so the pooling "mean" was assumed'),
    ]);
  });

  it('gets last-token pooling when its architecture is a causal language model', async () => {
    const config = { architectures: ['Qwen3ForCausalLM'], hidden_size: 4 };
    const read = await readModelFolder(folder({ 'modules.json': undefined, 'config.json': config }));
    expect(read.head.pooling.modes).toEqual(['lasttoken']);
    const both = await readModelFolder(
      folder({ 'modules.json': undefined, 'config.json': { ...config, is_causal: false } }),
    );
    expect(both.head.pooling.modes).toEqual(['mean']);
  });

  it('gets the pooling of the caller without a note', async () => {
    const read = await readModelFolder(folder({ 'modules.json': undefined }), { pooling: 'cls' });
    expect([read.head.pooling.modes, read.notes]).toEqual([['cls'], []]);
  });
});

describe('subfolder', () => {
  const files = memoryModel('model', { 'a/b/c.txt': 'deep', 'a/x.txt': 'text', 'ab/y.txt': 'other' });

  it('can be read like a model folder', async () => {
    const inner = subfolder({ ...files, directory: '/models/m', revision: 'r' }, './a/');
    expect([inner.name, inner.directory, inner.revision]).toEqual(['model/a', '/models/m/a', 'r']);
    expect(await inner.list()).toEqual(['b/c.txt', 'x.txt']);
    expect(await inner.size?.('x.txt')).toBe(4);
    expect(new TextDecoder().decode(await subfolder(inner, 'b').read('c.txt'))).toBe('deep');
    await expect(inner.read('../ab/y.txt')).rejects.toThrow(SentvecError);
  });

  it('has the optional methods of its source and no others', async () => {
    const plain: ModelFiles = { name: files.name, list: () => files.list(), read: (path) => files.read(path) };
    expect(subfolder(plain, 'a')).not.toHaveProperty('size');
    expect(await subfolder({ ...files, sha256: async (path) => `hash of ${path}` }, 'a').sha256?.('x.txt')).toBe(
      'hash of a/x.txt',
    );
    expect(subfolder(files, '.')).toBe(files);
    expect(() => subfolder(files, '..')).toThrow(SentvecError);
  });
});
