import { plainBackend, plainReference } from '@sentvec/architectures';
import {
  type Backend,
  selfCheckText,
  encodeSelfCheck,
  type Encoder,
  firstAvailable,
  loadEmbedder,
  type Matrix,
  memoryModel,
  type ModelFiles,
  SentvecError,
  type TokenBatch,
} from '@sentvec/core';
import { goldenModel, goldenModelNames } from '@sentvec/testing';
import { describe, expect, it } from 'vitest';

const correct: Backend = { ...plainBackend(), reference: plainReference };

/** The backend (default: the plain one) with changed properties of its encoders. */
function changed(change: (encoder: Encoder) => Partial<Encoder>, backend: Backend = correct): Backend {
  const load: Backend['load'] = async (files, options) => {
    const encoder = await backend.load(files, options);
    const { hiddenSize, maxPositions, concurrency, batchTokens } = encoder;
    const encode: Encoder['encode'] = (batch) => encoder.encode(batch);
    return {
      hiddenSize,
      maxPositions,
      concurrency,
      batchTokens,
      encode,
      dispose: () => encoder.dispose(),
      ...change(encoder),
    };
  };
  return { ...backend, name: 'changed', load };
}

function scaled<M extends Matrix>(matrix: M, factor: number): M {
  return { ...matrix, data: matrix.data.map((value, index) => (index % 2 === 0 ? value * factor : value)) };
}

/** Replaces the vectors of the tokens for which `isWrong` is true by zeros. */
function wrongTokens(
  isWrong: (row: number, column: number, batch: TokenBatch) => boolean,
): (encoder: Encoder) => Partial<Encoder> {
  return (encoder) => ({
    encode: async (batch) => {
      const { data, rows, cols } = await encoder.encode(batch);
      const changedData = data.slice();
      for (let token = 0; token < rows; token += 1)
        if (isWrong(Math.floor(token / batch.cols), token % batch.cols, batch))
          changedData.fill(0, token * cols, (token + 1) * cols);
      return { data: changedData, rows, cols };
    },
  });
}

function paddingOf({ mask, cols }: TokenBatch, row: number): number {
  return mask.subarray(row * cols, (row + 1) * cols).filter((bit) => bit === 0).length;
}

/** A backend whose token vectors differ by about `size` times their length. */
const perturbed = (size: number, fields: Partial<Encoder> = {}): Backend =>
  changed((encoder) => ({
    encode: async (batch) => scaled(await encoder.encode(batch), 1 + size * Math.SQRT2),
    ...fields,
  }));

async function refusal(backend: Backend, files: ModelFiles = goldenModel('tiny-bert')): Promise<SentvecError> {
  const error: unknown = await loadEmbedder(files, { backend }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!SentvecError.is(error)) throw new Error(`No SentvecError: ${String(error)}`);
  return error;
}

/** A copy of a golden model in memory with further files. */
async function copyWith(files: Readonly<Record<string, string>>, name = 'tiny-bert'): Promise<ModelFiles> {
  const golden = goldenModel(name);
  const contents: Record<string, Uint8Array | string> = {};
  for (const path of await golden.list()) contents[path] = await golden.read(path);
  return memoryModel(name, { ...contents, ...files });
}

async function selfCheckOf(name: string, ids: readonly number[] = [2, 7, 3]): Promise<string> {
  const embeddings = await plainReference(goldenModel(name), selfCheckText(ids));
  if ('reason' in embeddings) throw new Error(embeddings.reason);
  return encodeSelfCheck({ ids, embeddings });
}

describe('loadEmbedder() refuses a backend that computes wrong values', () => {
  it('with an error that gives its name, the difference and what to do', async () => {
    const { code, message, details } = await refusal(perturbed(1e-3));
    expect(code).toBe('backend-wrong');
    expect(message).toMatch(
      /backend changed computes wrong vectors for tiny-bert.*differ by 1\.\de-3 of a vector's length.*selfCheck: false/,
    );
    expect(details).toMatchObject({ backend: 'changed', tolerance: 5e-5 });
    expect(details['difference']).toBeGreaterThan(5e-4);
    expect(details['difference']).toBeLessThan(2e-3);
  });

  it.each<[string, (encoder: Encoder) => Partial<Encoder>]>([
    [
      'ignores the attention mask',
      (encoder) => ({ encode: (batch) => encoder.encode({ ...batch, mask: batch.mask.map(() => 1) }) }),
    ],
    [
      'mixes up texts',
      (encoder) => ({
        encode: async (batch) => {
          const { data, rows, cols } = await encoder.encode(batch);
          const half = (batch.cols * cols) / 2;
          return { data: Float32Array.from(data, (_, index) => data[(index + half) % data.length]!), rows, cols };
        },
      }),
    ],
    ['gives zeros for the first text', wrongTokens((row) => row === 0)],
    ['is wrong from the third text on', wrongTokens((row) => row >= 2)],
    ['is wrong in the last text', wrongTokens((row, _column, { rows }) => row === rows - 1)],
    ['is wrong in batches of more than 8 tokens', wrongTokens((_row, _column, { cols }) => cols > 8)],
    ['is wrong with more than one padded position', wrongTokens((row, _column, batch) => paddingOf(batch, row) > 1)],
    ['is wrong without padding', wrongTokens((row, _column, batch) => paddingOf(batch, row) === 0)],
    ['is wrong for a single text', wrongTokens((_row, _column, { rows }) => rows === 1)],
    [
      'gives NaN',
      (encoder) => ({
        encode: async (batch) => {
          const tokens = await encoder.encode(batch);
          return { ...tokens, data: tokens.data.map(() => NaN) };
        },
      }),
    ],
    ['gives a matrix of another shape', (encoder) => ({ encode: async () => encoder.encode(selfCheckText([2])) })],
    [
      'pools wrongly on its device',
      () => ({
        encodePooled: async ({ rows }: TokenBatch) => ({ data: new Float32Array(rows * 32).fill(0.1), rows, cols: 32 }),
      }),
    ],
  ])('that %s', async (_, change) => {
    const backend = changed(change);
    expect((await refusal(backend)).code).toBe('backend-wrong');
    const stored = await copyWith({ 'self-check.json': await selfCheckOf('tiny-bert') });
    expect((await refusal({ ...backend, reference: async () => ({ reason: 'none' }) }, stored)).code).toBe(
      'backend-wrong',
    );
  });

  it('that is wrong from the ninth token of a text on', async () => {
    const backend = changed(wrongTokens((_row, column) => column >= 8));
    expect((await refusal(backend)).code).toBe('backend-wrong');
    const stored = await copyWith({
      'self-check.json': await selfCheckOf('tiny-bert', [2, 7, 9, 11, 13, 15, 17, 19, 21, 3]),
    });
    expect((await refusal({ ...backend, reference: async () => ({ reason: 'none' }) }, stored)).code).toBe(
      'backend-wrong',
    );
  });

  it('and disposes its encoder', async () => {
    let disposed = 0;
    const backend = perturbed(1e-3, { dispose: async () => void (disposed += 1) });
    await refusal(backend);
    expect(disposed).toBe(1);
  });

  it('that firstAvailable() chose', async () => {
    expect((await refusal(firstAvailable([perturbed(1e-3)]))).message).toMatch(/first of changed/);
  });
});

describe('the self-check of a backend that computes correct values', () => {
  it.each(goldenModelNames)('passes with values that the reference of the backend computes: %s', async (name) => {
    const { selfCheck } = await loadEmbedder(goldenModel(name), { backend: correct });
    expect(selfCheck).toMatchObject({
      state: 'passed',
      reference: 'computed',
      tolerance: 5e-5,
      difference: expect.any(Number),
    });
  });

  it.each(goldenModelNames)('passes with the values of the folder: %s', async (name) => {
    const files = await copyWith({ 'self-check.json': await selfCheckOf(name) }, name);
    const { selfCheck } = await loadEmbedder(files, { backend: plainBackend() });
    expect(selfCheck).toMatchObject({ state: 'passed', reference: 'stored' });
  });

  it('uses the rounding error of the encoder as its tolerance', async () => {
    const { selfCheck } = await loadEmbedder(goldenModel('tiny-bert'), {
      backend: perturbed(1e-4, { roundingError: 2e-4 }),
    });
    expect(selfCheck).toMatchObject({ state: 'passed', tolerance: 2e-4 });
  });

  it('passes with a quantized variant whose values are near those of the model', async () => {
    const weightsFile = 'onnx/model_q4.onnx';
    const { selfCheck } = await loadEmbedder(goldenModel('tiny-bert'), { backend: perturbed(0.2, { weightsFile }) });
    expect(selfCheck).toMatchObject({ state: 'passed', tolerance: 0.5 });
    expect((await refusal(perturbed(1, { weightsFile }))).message).toMatch(/onnx\/model_q4\.onnx.*another variant/);
    const pooled: Partial<Encoder> = {
      weightsFile,
      encodePooled: async ({ rows }) => ({
        data: Float32Array.from({ length: rows * 32 }, (_, index) => Math.sin(index)),
        rows,
        cols: 32,
      }),
    };
    expect((await refusal(changed(() => pooled))).code).toBe('backend-wrong');
  });

  it('compares a variant that has its own self-check file with that file', async () => {
    const weightsFile = 'onnx/model_int8.onnx';
    const files = await copyWith({ 'onnx/model_int8.self-check.json': await selfCheckOf('tiny-bert') });
    const { selfCheck } = await loadEmbedder(files, { backend: perturbed(0.005, { weightsFile }) });
    expect(selfCheck).toMatchObject({ state: 'passed', reference: 'stored', tolerance: 0.03 });
    expect((await refusal(perturbed(0.1, { weightsFile }), files)).message).toMatch(/onnx\/model_int8\.onnx/);
    const damaged = await copyWith({ 'onnx/model_int8.self-check.json': '{}' });
    expect((await refusal(perturbed(0, { weightsFile }), damaged)).message).toContain('model_int8.self-check.json');
  });
});

describe('the values of self-check.json', () => {
  it('are ignored with a warning when the weights give other values, as after further training', async () => {
    const warnings: string[] = [];
    const files = await copyWith({ 'self-check.json': await selfCheckOf('tiny-bert-multipool') });
    const { selfCheck } = await loadEmbedder(files, {
      backend: correct,
      onWarning: (message) => void warnings.push(message),
    });
    expect(selfCheck).toMatchObject({ state: 'passed', reference: 'computed' });
    expect(warnings.join()).toMatch(/self-check\.json of tiny-bert contains the values of other weights/);
    expect((await refusal(perturbed(1e-3), files)).code).toBe('backend-wrong');
  });

  it.each(['{', '{}', '{"version":1,"ids":[1],"hidden_size":32,"token_embeddings":"AAAA"}', '[]', 'null'])(
    'are refused when the file is invalid: %s',
    async (text) => {
      const error = await refusal(correct, await copyWith({ 'self-check.json': text }));
      expect(error.code).toBe('invalid-model');
      expect(error.message).toMatch(/self-check\.json/);
    },
  );
});

describe('a self-check.json of another model gives the error invalid-model', () => {
  const fileWith = async (ids: readonly number[], cols: number): Promise<ModelFiles> => {
    const embeddings = { data: new Float32Array(ids.length * cols), rows: ids.length, cols };
    return copyWith({ 'self-check.json': encodeSelfCheck({ ids, embeddings }) });
  };

  it.each<[string, readonly number[], number]>([
    ['an id beyond the vocabulary', [2, 999_999, 3], 32],
    ['vectors of another size', [2, 7, 3], 16],
    ['more ids than positions', Array.from({ length: 60 }, () => 7), 32],
  ])('%s', async (_, ids, cols) => {
    const small = changed(() => ({ maxPositions: 40 }));
    const error = await refusal(small, await fileWith(ids, cols));
    expect(error.code).toBe('invalid-model');
    expect(error.message).toMatch(/self-check\.json has .* Delete it, or export the model again/);
  });
});

describe('the self-check is skipped', () => {
  it('with the option selfCheck: false', async () => {
    const { selfCheck } = await loadEmbedder(goldenModel('tiny-bert'), { backend: perturbed(1e-3), selfCheck: false });
    expect(selfCheck).toBeUndefined();
  });

  it('with a reason when there is nothing to compare with', async () => {
    const { selfCheck } = await loadEmbedder(goldenModel('tiny-bert'), { backend: plainBackend() });
    expect(selfCheck).toEqual({ state: 'skipped', reason: expect.stringMatching(/tiny-bert has no self-check\.json/) });
    const chosen = await loadEmbedder(goldenModel('tiny-bert'), { backend: firstAvailable([plainBackend()]) });
    const reason = `The backend ${plainBackend().name} has no reference for the self-check.`;
    expect(chosen.selfCheck).toEqual({ state: 'skipped', reason: expect.stringContaining(reason) });
  });
});

it('loading reads weights that are not on disk only once', async () => {
  const files = await copyWith({});
  const read: string[] = [];
  const counted: ModelFiles = {
    ...files,
    read: (path) => {
      read.push(path);
      return files.read(path);
    },
  };
  await loadEmbedder(counted, { backend: correct });
  expect(read.filter((path) => path === 'model.safetensors')).toHaveLength(1);
});
