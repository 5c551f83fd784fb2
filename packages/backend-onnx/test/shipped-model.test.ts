import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onnx, type OnnxOptions } from '@sentvec/backend-onnx';
import {
  createPooling,
  memoryModel,
  SentvecError,
  type Encoder,
  type Head,
  type ModelFiles,
  type Pooling,
  type TokenBatch,
} from '@sentvec/core';
import { directoryModel } from '@sentvec/core/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  onnxModel,
  splitOnnxModel,
  width,
  withFunctions,
  withHalfPrecision,
  withNestedGraphs,
  withPastKeyValues,
  withTransposedOutput,
} from './onnx-models.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'sentvec-onnx-shipped-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const batch: TokenBatch = { ids: Int32Array.of(3, 9, 4, 0), mask: Int32Array.of(1, 1, 1, 0), rows: 2, cols: 2 };

async function folder(
  files: Readonly<Record<string, Uint8Array | string>>,
): Promise<ModelFiles & { readonly directory: string }> {
  const directory = await mkdtemp(join(root, 'model-'));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
  return directoryModel(directory);
}

async function using<T>(files: ModelFiles, options: OnnxOptions, use: (encoder: Encoder) => Promise<T>): Promise<T> {
  const encoder = await onnx({ sessions: 1, ...options }).load(files);
  try {
    return await use(encoder);
  } finally {
    await encoder.dispose();
  }
}

/** The first entry of each token's vector. */
async function embed(files: ModelFiles, options: OnnxOptions = {}): Promise<number[]> {
  return using(files, options, async (encoder) => {
    const { data, rows, cols } = await encoder.encode(batch);
    expect({ rows, cols }).toEqual({ rows: 4, cols: width });
    return Array.from({ length: rows }, (_, row) => data[row * cols]!);
  });
}

async function refusal(files: ModelFiles, options: OnnxOptions = {}): Promise<SentvecError> {
  const error: unknown = await onnx({ sessions: 1, ...options })
    .load(files)
    .catch((thrown: unknown) => thrown);
  if (!SentvecError.is(error)) throw new Error('The model was not refused.', { cause: error });
  return error;
}

describe('inputs and outputs', () => {
  it('feeds only what the session declares', async () => {
    const { inputs, expected } = {
      inputs: ['attention_mask', 'position_ids', 'token_type_ids'],
      expected: [103, 10_109, 104, 10_000],
    };
    expect(await embed(memoryModel('m', { 'onnx/model.onnx': onnxModel() }))).toEqual([3, 9, 4, 0]);
    expect(await embed(memoryModel('m', { 'onnx/model.onnx': onnxModel({ inputs }) }))).toEqual(expected);
  });

  it.each(['last_hidden_state', 'token_embeddings', 'some_name'])(
    'finds the output %s beside one for whole texts',
    async (output) => {
      expect(await embed(memoryModel('m', { 'onnx/model.onnx': onnxModel({ output, sentenceOutput: true }) }))).toEqual(
        [3, 9, 4, 0],
      );
    },
  );

  it('reads token embeddings in half precision', async () => {
    const model = withHalfPrecision(onnxModel({ inputs: ['attention_mask'] }));
    expect(await embed(memoryModel('m', { 'onnx/model.onnx': model }))).toEqual([103, 109, 104, 0]);
    await using(memoryModel('m', { 'onnx/model.onnx': model }), {}, async (encoder) => {
      const head = { pooling: createPooling('mean'), projections: [] };
      expect(await encoder.encodePooled!(batch, head)).toMatchObject({ rows: 2, cols: width });
      expect([...(await encoder.encodePooled!(batch, head))!.data]).toEqual([106, 106, 106, 106, 104, 104, 104, 104]);
    });
  });

  it.each(['float', 'float16'] as const)('gives a decoder an empty past: %s', async (type) => {
    const model = withPastKeyValues(onnxModel(), type);
    expect(await embed(memoryModel('m', { 'onnx/model.onnx': model }))).toEqual([3, 9, 4, 0]);
  });

  it('offers the vectors that the file gives for texts, with projections after them', async () => {
    await using(memoryModel('m', { 'onnx/model.onnx': onnxModel({ sentenceOutput: true }) }), {}, async (encoder) => {
      expect(encoder.pooledOutput).toEqual({ name: 'sentence_embedding', size: width });
      const pooling = (graphOutput: string): Pooling => ({ ...createPooling('mean'), modes: undefined, graphOutput });
      const embedded = async (head: Head): Promise<number[] | undefined> => {
        const matrix = await encoder.encodePooled!(batch, head);
        return matrix && [...matrix.data];
      };
      expect(await embedded({ pooling: pooling('sentence_embedding'), projections: [] })).toEqual([
        9, 9, 9, 9, 4, 4, 4, 4,
      ]);
      const first: Head['projections'] = [{ kind: 'truncate', size: 1 }];
      expect(await embedded({ pooling: pooling('sentence_embedding'), projections: first })).toEqual([9, 4]);
      expect(await embedded({ pooling: pooling('another'), projections: [] })).toBeUndefined();
    });
    await using(memoryModel('m', { 'onnx/model.onnx': onnxModel() }), {}, async (encoder) => {
      expect(encoder.pooledOutput).toBeUndefined();
    });
  });

  it('refuses scores of the vocabulary as token embeddings', async () => {
    const error = await refusal(memoryModel('m', { 'onnx/model.onnx': onnxModel({ output: 'logits' }) }));
    expect(error.code).toBe('invalid-model');
    expect(error.message).toMatch(/None of its outputs \(logits\) has a vector for each token/u);
  });

  it('refuses an input that it does not know, by its name', async () => {
    const error = await refusal(memoryModel('m', { 'onnx/model.onnx': onnxModel({ inputs: ['pixel_values'] }) }));
    expect(error.code).toBe('invalid-model');
    expect(error.message).toMatch(/m\/onnx\/model\.onnx.*"pixel_values"/u);
  });
});

describe('which file', () => {
  const ids = {
    'onnx/model.onnx': onnxModel(),
    'onnx/model_quantized.onnx': onnxModel({ inputs: ['attention_mask'] }),
  };

  it('takes onnx/model.onnx, or model.onnx at the root, from a folder or from memory', async () => {
    for (const files of [ids, { 'model.onnx': onnxModel() }]) {
      expect(await embed(await folder(files))).toEqual([3, 9, 4, 0]);
      expect(await embed(memoryModel('m', files))).toEqual([3, 9, 4, 0]);
    }
  });

  it('takes a variant that is named, and says so for the fingerprint', async () => {
    expect(await embed(await folder(ids), { variant: 'model_quantized' })).toEqual([103, 109, 104, 0]);
    expect(await using(await folder(ids), { variant: 'model_quantized' }, async (encoder) => encoder.weightsFile)).toBe(
      'onnx/model_quantized.onnx',
    );
    expect(await using(await folder(ids), {}, async (encoder) => encoder.weightsFile)).toBeUndefined();
  });

  it('takes the only file of a folder without other weights, and asks which where there are several', async () => {
    const model = onnxModel();
    const only = memoryModel('only', { 'onnx/model_int8.onnx': model, '2_Dense/model.safetensors': 'no encoder' });
    expect(await using(only, {}, async (encoder) => encoder.weightsFile)).toBe('onnx/model_int8.onnx');
    const several = memoryModel('two', { 'onnx/model_int8.onnx': model, 'onnx/model_fp16.onnx': model });
    const error = await refusal(several);
    expect(error.code).toBe('invalid-argument');
    expect(error.message).toMatch(/model_fp16, model_int8 and no default weights.*onnx\(\{ variant/u);
  });

  it.each(['with space', 'a#b', '100%25', 'q?x', 'Zoë 文', "it's", 'a&b;c', '...'])(
    'may be in a folder of any name, with its weights beside it: %s',
    async (name) => {
      const { model, data } = splitOnnxModel('model.onnx_data');
      const directory = join(root, name, 'model');
      await mkdir(directory, { recursive: true });
      await writeFile(join(directory, 'model.onnx'), model);
      await writeFile(join(directory, 'model.onnx_data'), Buffer.concat(data));
      expect(await embed(await directoryModel(directory))).toEqual([3, 9, 4, 0]);
    },
  );

  it('names the variants that there are when the one asked for is missing', async () => {
    const error = await refusal(await folder(ids), { variant: 'model_fp16' });
    expect(error.code).toBe('invalid-argument');
    expect(error.message).toContain('model, model_quantized');
    expect((await refusal(await folder(ids), { variant: '../../model' })).code).toBe('invalid-argument');
  });
});

describe('weights in files of their own', () => {
  const joined = (pieces: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(pieces));

  it.each(['model.onnx_data', 'model.onnx.data', 'Constant_7_attr__value', 'encoder.layer.0.weight'])(
    'are found by the name that the file gives: %s',
    async (location) => {
      const { model, data } = splitOnnxModel(location);
      const files = {
        'onnx/model.onnx': model,
        [`onnx/${location}`]: joined(data),
        'onnx/config.json': '{}',
        'onnx/not-weights': 'x',
        'onnx/model_fp16.onnx': 'x',
        'onnx/model_fp16.onnx_data': 'x',
      };
      expect(await embed(await folder(files))).toEqual([3, 9, 4, 0]);
      // In memory, only what the file names is read.
      const memory = memoryModel('m', files);
      const read: string[] = [];
      const counted: ModelFiles = {
        ...memory,
        read: (path) => {
          read.push(path);
          return memory.read(path);
        },
      };
      expect(await embed(counted)).toEqual([3, 9, 4, 0]);
      expect(new Set(read)).toEqual(new Set(['onnx/model.onnx', `onnx/${location}`]));
    },
  );

  it('that are missing are named', async () => {
    const { model } = splitOnnxModel('numbers');
    for (const location of ['numbers', '../../numbers']) {
      const files = { 'onnx/model.onnx': splitOnnxModel(location).model, 'onnx/other': 'x' };
      const error = await refusal(memoryModel('m', files));
      expect(error.code).toBe('invalid-model');
      expect(error.message).toContain(`has weights in "${location}", which is missing`);
    }
    expect((await refusal(memoryModel('m', { 'onnx/model.onnx': model }))).code).toBe('invalid-model');
  });
});

describe('graphs that would harm', () => {
  it.each([
    [
      'a loop',
      withNestedGraphs(onnxModel(), 'Loop', 0),
      'unsupported-model',
      'operator "Loop" in its graph, whose execution may never end',
    ],
    ['a loop in a branch', withNestedGraphs(onnxModel(), 'Loop', 3), 'unsupported-model', 'operator "Loop"'],
    ['a loop in a function', withFunctions(onnxModel(), 1, 'Loop'), 'unsupported-model', 'operator "Loop"'],
    ['branches in each other', withNestedGraphs(onnxModel(), 'Sin', 40), 'invalid-model', 'more than 32 levels deep'],
    ['a million million nodes', withFunctions(onnxModel(), 12, 'Sin'), 'invalid-model', 'more than 100000 nodes'],
    ['functions without end', withFunctions(onnxModel(), 2, 'f0'), 'invalid-model', 'more than 100000 nodes'],
  ])('are refused: %s', async (_, model, code, message) => {
    for (const files of [memoryModel('m', { 'model.onnx': model }), await folder({ 'model.onnx': model })]) {
      const error = await refusal(files);
      expect(error.code).toBe(code);
      expect(error.message).toContain(`${files.name}/model.onnx`);
      expect(error.message).toContain(message);
    }
  });

  it('are refused, and harmless ones are not', async () => {
    const model = withFunctions(onnxModel(), 3, 'Identity');
    expect(await embed(memoryModel('m', { 'model.onnx': model }))).toEqual([3, 9, 4, 0]);
    const split = splitOnnxModel('model.onnx_data');
    const files = {
      'model.onnx': withFunctions(split.model, 3, 'Identity'),
      'model.onnx_data': Buffer.concat(split.data),
    };
    expect(await embed(await folder(files))).toEqual([3, 9, 4, 0]);
  });

  it('are refused when texts and tokens change places', async () => {
    const files = memoryModel('m', { 'model.onnx': withTransposedOutput(onnxModel()) });
    const six: TokenBatch = { ids: Int32Array.of(1, 2, 3, 4, 5, 6), mask: new Int32Array(6).fill(1), rows: 2, cols: 3 };
    const head = { pooling: createPooling('mean'), projections: [] };
    await using(files, {}, async (encoder) => {
      const message = /The output "last_hidden_state" has the shape \[3, 2, 4\], but \[2, 3, 4\] was expected/u;
      await expect(encoder.encode(six)).rejects.toThrow(message);
      await expect(encoder.encodePooled!(six, head)).rejects.toThrow(/last_hidden_state|shape/u);
    });
  });
});

describe('broken files', () => {
  it.each([
    ['text', 'not a valid ONNX file'],
    ['nothing', ''],
    ['half of a model', onnxModel().subarray(0, 400)],
  ])('refuses %s and names the file', async (_, content) => {
    for (const files of [
      await folder({ 'onnx/model.onnx': content }),
      memoryModel('a-model', { 'onnx/model.onnx': content }),
    ]) {
      const error = await refusal(files);
      expect(error.code).toBe('invalid-model');
      expect(error.message).toContain(`${files.name}/onnx/model.onnx`);
    }
  });

  it('refuses a file that is a link out of the model', async () => {
    const files = await folder({ 'config.json': '{}' });
    await mkdir(join(files.directory, 'onnx'));
    await writeFile(join(root, 'elsewhere.onnx'), onnxModel());
    await symlink(join(root, 'elsewhere.onnx'), join(files.directory, 'onnx', 'model.onnx'));
    expect((await refusal(await directoryModel(files.directory))).code).toBe('invalid-model');
  });

  it('reports an id that the model does not have, and goes on', async () => {
    await using(memoryModel('m', { 'model.onnx': onnxModel({ vocabulary: 5 }) }), {}, async (encoder) => {
      await expect(encoder.encode(batch)).rejects.toSatisfy((error) => SentvecError.is(error, 'backend-failed'));
      const { data } = await encoder.encode({ ...batch, ids: Int32Array.of(1, 2, 3, 4) });
      expect(data[0]).toBe(1);
    });
  });
});
