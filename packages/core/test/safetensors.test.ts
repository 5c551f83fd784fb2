import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { goldenModel } from '@sentvec/testing';
import { directoryModel } from '@sentvec/core/node';
import { createPooling, readWeights, SentvecError, writeSafetensors, type ModelFiles } from '@sentvec/core';
import { describe, expect, it } from 'vitest';
import { invalidWeightsError } from '../src/weights/unsound-weights.ts';

function inMemory(files: Record<string, Uint8Array | string>): ModelFiles {
  return {
    name: 'memory',
    list: async () => Object.keys(files).sort(),
    read: async (path) => {
      const file = files[path];
      if (file === undefined) throw new SentvecError('invalid-model', `no ${path}`);
      return typeof file === 'string' ? new TextEncoder().encode(file) : file;
    },
  };
}

/**
 * A file with this header and data, which may not match; `headerSize` is the stated size of the header in bytes
 * (default: its real size).
 */
function safetensors(header: unknown, numbers: Uint8Array = new Uint8Array(0), headerSize?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + numbers.length);
  new DataView(file.buffer).setBigUint64(0, headerSize ?? BigInt(json.length), true);
  file.set(json, 8);
  file.set(numbers, 8 + json.length);
  return file;
}

const entry = (dtype: string, shape: number[], begin: number, end: number) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const weightsOf = (file: Uint8Array) => readWeights(inMemory({ 'model.safetensors': file }));
const bytesOf = (numbers: ArrayBufferView) => new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);

describe('reading from a folder', () => {
  const contents = writeSafetensors({
    table: { shape: [3, 2], data: new Float32Array([1, 2, 3, 4, 5, 6]) },
    bias: { shape: [2], data: new Float32Array([7, 8]) },
  });
  const folderWith = async (use: (path: string) => Promise<void>): Promise<void> => {
    const path = await mkdtemp(join(tmpdir(), 'sentvec-weights-'));
    try {
      await writeFile(join(path, 'model.safetensors'), contents);
      await use(path);
    } finally {
      await rm(path, { recursive: true, force: true });
    }
  };

  it('reads a tensor or some of its rows on demand and gives the file and offsets of a tensor', () =>
    folderWith(async (path) => {
      const weights = await readWeights(await directoryModel(path));
      expect([...weights.tensor('table').data]).toEqual([1, 2, 3, 4, 5, 6]);
      expect([...weights.rows('table', [2, 0, 2])]).toEqual([5, 6, 1, 2, 5, 6]);
      const { path: file, begin, end } = weights.location('bias')!;
      expect(file).toBe('model.safetensors');
      expect(contents.subarray(begin, end)).toEqual(bytesOf(new Float32Array([7, 8])));
    }));

  it('refuses to read from a file that was changed since it was opened', () =>
    folderWith(async (path) => {
      const weights = await readWeights(await directoryModel(path));
      await utimes(join(path, 'model.safetensors'), 1, 1);
      expect(() => weights.tensor('table')).toThrow(
        /model\.safetensors failed: the file was changed since it was opened/u,
      );
      await writeFile(join(path, 'model.safetensors'), contents.subarray(0, 20));
      expect(() => weights.tensor('table')).toThrow(SentvecError);
    }));
});

describe('reading', () => {
  it('returns the tensors that were written, at any alignment of the file in memory', async () => {
    const file = writeSafetensors(
      {
        b: { shape: [2, 3], data: new Float32Array([1, -2, 3.5, 1e-40, Infinity, 0]) },
        a: { shape: [2], data: new Int32Array([7, -8]) },
      },
      { format: 'pt' },
    );
    for (const shift of [0, 1, 2, 3]) {
      const moved = new Uint8Array(file.length + shift).subarray(shift);
      moved.set(file);
      const weights = await weightsOf(moved);
      expect(weights.names()).toEqual(['a', 'b']);
      expect(weights.has('b')).toBe(true);
      expect(weights.has('c')).toBe(false);
      expect(weights.shape('b')).toEqual([2, 3]);
      expect(weights.type('a')).toBe('I32');
      expect(weights.tensor('b')).toEqual({ shape: [2, 3], data: new Float32Array([1, -2, 3.5, 1e-40, Infinity, 0]) });
      expect(weights.integers('a')).toEqual({ shape: [2], data: new Int32Array([7, -8]) });
    }
  });

  it('does not copy aligned F32', async () => {
    const file = writeSafetensors({ a: { shape: [2], data: new Float32Array([1, 2]) } });
    expect((await weightsOf(file)).tensor('a').data.buffer).toBe(file.buffer);
  });

  it('converts F16, BF16 and F64', async () => {
    const half = new Uint16Array([0x3c00, 0xc000, 0x0001, 0x83ff, 0x7bff, 0x7c00, 0xfc00, 0x3555, 0x8000]);
    const brain = new Uint16Array([0x3f80, 0xc049, 0x7f80, 0x0001]);
    const double = new Float64Array([Math.PI, -1e300, 2 ** -149]);
    const numbers = new Uint8Array([...bytesOf(half), ...bytesOf(brain), ...bytesOf(double)]);
    const header = {
      half: entry('F16', [9], 0, 18),
      brain: entry('BF16', [2, 2], 18, 26),
      double: entry('F64', [3], 26, 50),
    };
    const weights = await weightsOf(safetensors(header, numbers));
    for (let spaces = 1; spaces < 8; spaces += 1) {
      // The values do not depend on the alignment in memory.
      const moved = await weightsOf(safetensors(JSON.stringify(header) + ' '.repeat(spaces), numbers));
      for (const name of weights.names()) expect(moved.tensor(name).data).toEqual(weights.tensor(name).data);
    }
    expect([...weights.tensor('half').data]).toEqual([
      1,
      -2,
      2 ** -24,
      -1023 * 2 ** -24,
      65504,
      Infinity,
      -Infinity,
      0.333251953125,
      -0,
    ]);
    expect([...weights.tensor('brain').data]).toEqual([1, -3.140625, Infinity, 2 ** -133]);
    expect([...weights.tensor('double').data]).toEqual([Math.fround(Math.PI), -Infinity, 2 ** -149]);
  });

  it('reads integers of every width, and refuses those beyond 32 bits', async () => {
    const numbers = new Uint8Array([1, 255, 255, 255, ...bytesOf(new BigInt64Array([-5n, 2n ** 40n]))]);
    const weights = await weightsOf(
      safetensors(
        {
          bool: entry('BOOL', [1], 0, 1),
          i8: entry('I8', [1], 1, 2),
          u16: entry('U16', [1], 2, 4),
          i64: entry('I64', [1], 4, 12),
          far: entry('I64', [], 12, 20),
        },
        numbers,
      ),
    );
    const read = (name: string) => [...weights.integers(name).data];
    expect([read('bool'), read('i8'), read('u16'), read('i64')]).toEqual([[1], [-1], [65535], [-5]]);
    expect(() => read('far')).toThrow(/"far".*does not fit into 32 bits/u);
    expect(() => weights.tensor('i64')).toThrow(/"i64" of memory\/model.safetensors has type I64/u);
  });

  it('reads the golden models', async () => {
    const weights = await readWeights(goldenModel('tiny-bert'));
    expect(weights.shape('embeddings.word_embeddings.weight')).toEqual([959, 32]);
    expect(weights.type('embeddings.position_ids')).toBe('I64');
    expect(weights.integers('embeddings.position_ids').data.slice(0, 3)).toEqual(new Int32Array([0, 1, 2]));
    expect(() => weights.tensor('encoder')).toThrow(/tiny-bert\/model.safetensors has no tensor "encoder"/u);
  });
});

describe('shards', () => {
  const first = writeSafetensors({ a: { shape: [1], data: new Float32Array([1]) } });
  const second = writeSafetensors({ b: { shape: [1], data: new Float32Array([2]) } });
  const index = (map: unknown) => JSON.stringify({ metadata: { total_size: 8 }, weight_map: map });

  it('are read from the folder of their index', async () => {
    const weights = await readWeights(
      inMemory({
        'm/model.safetensors.index.json': index({ a: '1.safetensors', b: '2.safetensors' }),
        'm/1.safetensors': first,
        'm/2.safetensors': second,
      }),
      'm/model.safetensors',
    );
    expect([weights.tensor('a').data[0], weights.tensor('b').data[0]]).toEqual([1, 2]);
  });

  it.each([
    ['a shard outside the folder', index({ a: '../1.safetensors' }), /inside the model's folder/u],
    ['an absolute shard', index({ a: '/etc/passwd' }), /inside the model's folder/u],
    ['a missing shard', index({ a: '3.safetensors' }), /lists the shard 3.safetensors, which is missing/u],
    ['a tensor that its shard lacks', index({ a: '1.safetensors', c: '2.safetensors' }), /"c" is in 2.safetensors/u],
    ['a tensor in two shards', index({ a: '1.safetensors', x: 'again.safetensors' }), /both contain the tensor "a"/u],
    ['an index without a weight map', '{}', /no "weight_map"/u],
    ['a weight map to numbers', index({ a: 1 }), /no "weight_map"/u],
    ['an index that is not JSON', '{', /is not JSON/u],
    ['an index that is null', 'null', /no "weight_map"/u],
  ])('refuses %s', async (_, text, message) => {
    const files = inMemory({
      'model.safetensors.index.json': text,
      '1.safetensors': first,
      '2.safetensors': second,
      'again.safetensors': first,
    });
    const error = await readWeights(files).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(SentvecError.is(error, 'invalid-model')).toBe(true);
    expect((error as Error).message).toMatch(message);
  });
});

describe('hostile and broken files', () => {
  const whole = writeSafetensors({ a: { shape: [4], data: new Float32Array(4) } });
  const float = (...tensors: [string, ReturnType<typeof entry>][]) =>
    safetensors(Object.fromEntries(tensors), new Uint8Array(16));

  it.each([
    ['an empty file', new Uint8Array(0), /only 0 bytes/u],
    ['a file truncated in its size', whole.slice(0, 7), /only 7 bytes/u],
    ['a file truncated in its header', whole.slice(0, 30), /truncated/u],
    ['a file truncated in its data', whole.slice(0, -1), /tensor "a" at bytes .* truncated/u],
    ['a header of 2^63 bytes', safetensors('{}', new Uint8Array(64), 2n ** 63n), /9223372036854775808 bytes/u],
    [
      'a header of 2^64 - 1 bytes',
      safetensors('{}', new Uint8Array(64), 2n ** 64n - 1n),
      /18446744073709551615 bytes/u,
    ],
    ['a header a byte too long', safetensors('{}', new Uint8Array(0), 3n), /3 bytes/u],
    ['a header that is not JSON', safetensors('{"a":'), /not JSON/u],
    ['a header that is not UTF-8', safetensors('{}', new Uint8Array([255]), 3n), /not JSON/u],
    ['a header that is a list', safetensors([]), /not a JSON object/u],
    [
      'a duplicate tensor name',
      safetensors(
        `{"a":${JSON.stringify(entry('F32', [0], 0, 0))},"\\u0061":${JSON.stringify(entry('F32', [0], 0, 0))}}`,
      ),
      /"a" twice/u,
    ],
    [
      'duplicate keys of a tensor',
      safetensors('{"a":{"dtype":"F32","dtype":"F64","shape":[0],"data_offsets":[0,0]}}'),
      /"dtype" twice/u,
    ],
    ['an unknown type', float(['a', entry('F31', [4], 0, 16)]), /"a" the unknown type "F31"/u],
    ['a type from the prototype', float(['a', entry('toString', [4], 0, 16)]), /"a" the unknown type "toString"/u],
    ['a tensor that is not an object', safetensors({ a: 3 }), /"a" with a value/u],
    [
      'a shape that is not a list',
      safetensors({ a: { dtype: 'F32', shape: 4, data_offsets: [0, 16] } }, new Uint8Array(16)),
      /"a" a shape/u,
    ],
    ['a negative size', float(['a', entry('F32', [-2, -2], 0, 16)]), /"a" a shape/u],
    ['a size that is not a whole number', float(['a', entry('F32', [1.5], 0, 6)]), /"a" a shape/u],
    [
      'a shape that overflows',
      float(['a', entry('F32', [2 ** 40, 2 ** 40], 0, 16)]),
      /"a" is F32 \[1099511627776,1099511627776\]/u,
    ],
    [
      'a shape of another size',
      float(['a', entry('F32', [5], 0, 16)]),
      /"a" is F32 \[5\], which does not fit 16 bytes/u,
    ],
    ['one offset', safetensors({ a: { dtype: 'F32', shape: [0], data_offsets: [0] } }), /"a" offsets/u],
    ['offsets past the end', float(['a', entry('F32', [8], 0, 32)]), /"a" at bytes .* truncated/u],
    ['offsets beyond 2^53', float(['a', entry('F32', [4], 2 ** 60, 2 ** 60 + 16)]), /"a" offsets/u],
    ['offsets in the wrong order', float(['a', entry('F32', [4], 16, 0)]), /"a" at bytes/u],
    [
      'overlapping tensors',
      float(['a', entry('F32', [3], 0, 12)], ['b', entry('F32', [2], 8, 16)]),
      /"b" over the bytes/u,
    ],
    [
      'a tensor inside another',
      float(['a', entry('F32', [4], 0, 16)], ['b', entry('F32', [1], 4, 8)]),
      /"b" over the bytes/u,
    ],
    [
      'a gap between tensors',
      float(['a', entry('F32', [1], 0, 4)], ['b', entry('F32', [2], 8, 16)]),
      /4 bytes before tensor "b"/u,
    ],
    ['bytes at the end', float(['a', entry('F32', [2], 0, 8)]), /8 bytes at its end/u],
  ])('refuses %s', async (_, file, message) => {
    const error = await weightsOf(file).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(SentvecError.is(error, 'invalid-model')).toBe(true);
    expect((error as SentvecError).details.file).toBe('memory/model.safetensors');
    expect((error as Error).message).toMatch(message);
  });

  it('reads a file with any one byte changed, or throws invalid-model', async () => {
    const file = writeSafetensors({
      a: { shape: [2, 1], data: new Float32Array(2) },
      bc: { shape: [1], data: new Int32Array(1) },
    });
    const outcomes = new Set<string>();
    for (let position = 0; position < file.length; position++) {
      for (const value of [0, 1, 0x22, 0x30, 0x39, 0x5b, 0x7b, 0x7d, 0x80, 0xff]) {
        const changed = file.slice();
        changed[position] = value;
        outcomes.add(
          await weightsOf(changed).then(
            (weights) => `read ${weights.names().length}`,
            (error: unknown) => (SentvecError.is(error) ? error.code : String(error)),
          ),
        );
      }
    }
    expect([...outcomes].sort()).toEqual(['invalid-model', 'read 2']);
  });

  it('refuses headers that would exhaust the parser', async () => {
    for (const json of ['['.repeat(500_000), `{"${'a'.repeat(4_000_000)}":1}`, `{"${'\\u0061'.repeat(500_000)}":1}`]) {
      await expect(weightsOf(safetensors(json))).rejects.toSatisfy(
        (error) => SentvecError.is(error, 'invalid-model') && error.message.length < 500,
      );
    }
  });

  it('explains how to convert PyTorch files', async () => {
    await expect(
      readWeights(inMemory({ '2_Dense/pytorch_model.bin': '' }), '2_Dense/model.safetensors'),
    ).rejects.toThrow(
      /contains 2_Dense\/pytorch_model.bin but not 2_Dense\/model.safetensors.*Convert the model once: python/u,
    );
    await expect(readWeights(inMemory({ 'config.json': '{}' }))).rejects.toThrow(
      /memory\/model.safetensors is missing/u,
    );
  });
});

it('the error for invalid weights names the tensor or the module of the head', async () => {
  const messageFor = async (tensor: number, weight: number): Promise<string | undefined> => {
    const tensors = {
      a: { shape: [2], data: Float32Array.of(1, -1e8) },
      b: { shape: [1], data: Float32Array.of(tensor) },
    };
    const matrix = { data: Float32Array.of(3, weight), rows: 1, cols: 2 };
    const dense = { kind: 'dense', weight: matrix, activation: 'Identity' } as const;
    const head = { pooling: createPooling('mean'), projections: [{ kind: 'normalize' } as const, dense] };
    return (await invalidWeightsError(inMemory({ 'model.safetensors': writeSafetensors(tensors) }), head))?.message;
  };
  expect(await messageFor(0, 4)).toBeUndefined();
  expect(await messageFor(NaN, 4)).toContain('The tensor "b" of memory/model.safetensors contains NaN');
  expect(await messageFor(0, -Infinity)).toContain('Module 2 after the pooling of memory contains -Infinity');
});

it('refuses to write a tensor whose shape does not fit', () => {
  expect(() => writeSafetensors({ a: { shape: [3], data: new Float32Array(2) } })).toThrow(/"a" has 2 numbers/u);
});
