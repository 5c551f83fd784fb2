/** Property tests of the readers of `safetensors` and `tokenizer.json` files, with files that fast-check generates. */
import {
  javaScriptTokenizer,
  memoryModel,
  readTokenizerDefinition,
  readWeights,
  SentvecError,
  writeSafetensors,
  type ErrorCode,
  type TokenizerDefinition,
} from '@sentvec/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const runs = { numRuns: 300 };

const weightsOf = (file: Uint8Array) => readWeights(memoryModel('made up', { 'model.safetensors': file }));

/** A safetensors file with this header, which may be invalid, and `dataBytes` bytes of data. */
function safetensors(header: string, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + json.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  for (let index = 0; index < dataBytes; index += 1) file[8 + json.length + index] = (index * 37) % 251;
  return file;
}

const name = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 8 }),
  fc.constantFrom('__proto__', 'constructor', 'a"b', '\\', '1', '\u0000', 'encoder.layer.0.weight'),
);
const tensorName = name.filter((text) => text !== '__metadata__');

describe('safetensors', () => {
  const shape = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 });

  it('are read with the names, shapes and bits that were written', async () => {
    const tensor = shape.chain((extents) => {
      const length = extents.reduce((product, extent) => product * extent, 1);
      const size = { minLength: length, maxLength: length };
      return fc.record({ shape: fc.constant(extents), data: fc.oneof(fc.float32Array(size), fc.int32Array(size)) });
    });
    await fc.assert(
      fc.asyncProperty(fc.dictionary(tensorName, tensor), fc.integer({ min: 0, max: 3 }), async (tensors, shift) => {
        const file = writeSafetensors(tensors);
        const moved = new Uint8Array(file.length + shift).subarray(shift);
        moved.set(file);
        const weights = await weightsOf(moved);
        expect([...weights.names()].toSorted()).toEqual(Object.keys(tensors).toSorted());
        for (const [key, { shape: extents, data }] of Object.entries(tensors)) {
          expect(weights.shape(key)).toEqual(extents);
          const read = data instanceof Float32Array ? weights.tensor(key) : weights.integers(key);
          expect(read.data).toEqual(data);
        }
      }),
      runs,
    );
  });

  it('are read in the same way whatever the order of the tensors in the header', async () => {
    const sized = fc.uniqueArray(fc.tuple(tensorName, fc.integer({ min: 0, max: 5 })), {
      selector: ([key]) => key,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(sized, fc.nat(), fc.constantFrom('', ' ', '\n\t'), async (tensors, seed, space) => {
        let end = 0;
        const entries = tensors.map(([key, length]): [string, unknown] => {
          const begin = end;
          end += length;
          return [key, { dtype: 'U8', shape: [length], data_offsets: [begin, end] }];
        });
        const first = entries.length === 0 ? 0 : seed % entries.length;
        const listed = [...entries.slice(first), ...entries.slice(0, first)];
        const header = `{${listed.map(([key, entry]) => `${JSON.stringify(key)}${space}:${JSON.stringify(entry)}`).join(`${space},`)}}${space}`;
        const weights = await weightsOf(safetensors(header, end));
        let begin = 0;
        for (const [key, length] of tensors) {
          const expected = Int32Array.from({ length }, (_, index) => ((begin + index) * 37) % 251);
          expect(weights.integers(key).data).toEqual(expected);
          begin += length;
        }
      }),
      runs,
    );
  });

  it('with an arbitrary header are refused by name, unless the tensors cover the data without a gap', async () => {
    const size = fc.oneof(fc.nat(16), fc.constantFrom(-1, 0.5, 2 ** 31, 2 ** 53, 1e300));
    const entry = fc.record(
      {
        dtype: fc.oneof(fc.constantFrom('U8', 'F32', 'I64', 'BOOL', 'F4', 'NONE'), fc.jsonValue({ maxDepth: 1 })),
        shape: fc.oneof({ weight: 3, arbitrary: fc.array(size, { maxLength: 3 }) }, fc.jsonValue({ maxDepth: 1 })),
        data_offsets: fc.oneof(
          { weight: 3, arbitrary: fc.array(size, { maxLength: 3 }) },
          fc.jsonValue({ maxDepth: 1 }),
        ),
      },
      { requiredKeys: [] },
    );
    const header = fc.oneof(fc.dictionary(name, fc.oneof(entry, fc.jsonValue({ maxDepth: 1 }))), fc.jsonValue());
    await fc.assert(
      fc.asyncProperty(header, fc.nat(24), async (value, dataBytes) => {
        const outcome = await weightsOf(safetensors(JSON.stringify(value), dataBytes)).then(
          (weights) => ({ tensors: weights.names().length }),
          (error: unknown) => ({ refused: detailsOf(error, 'invalid-model').file }),
        );
        expect([{ refused: 'made up/model.safetensors' }, contentsOf(value, dataBytes)]).toContainEqual(outcome);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('tokenizer.json', () => {
  const piece = fc.oneof(
    fc.constantFrom('a', 'b', 'ab', '##b', '▁', '▁a', '[UNK]', 'Ġa', '<0x61>', ' ', '', '__proto__'),
    fc.string({ unit: 'grapheme', maxLength: 3 }),
  );
  const anything = fc.jsonValue({ maxDepth: 2 });
  const sometimes = (usual: fc.Arbitrary<unknown>) =>
    fc.oneof({ weight: 40, arbitrary: usual }, { weight: 1, arbitrary: anything });
  const part = (types: readonly string[], fields: Readonly<Record<string, fc.Arbitrary<unknown>>>) =>
    sometimes(fc.option(fc.record({ type: fc.constantFrom(...types), ...mapped(fields, sometimes) })));
  const pattern = fc.oneof(
    fc.record({ String: piece }),
    fc.record({ Regex: fc.constantFrom('a+', '\\s', '[ab]|$', '(', '\\p{L}+', '(?i)a', 'a{2,1}') }),
  );
  /** Pieces of a vocabulary that contains the unknown token. */
  const pieces = fc
    .uniqueArray(piece, { maxLength: 8 })
    .map((list) => ['[UNK]', ...list.filter((each) => each !== '[UNK]')]);
  const numbered = pieces.map((list) => Object.fromEntries(list.map((each, id) => [each, id])));
  const validModel = fc.oneof(
    fc.record({
      type: fc.constantFrom('WordPiece', 'WordLevel', 'BPE'),
      vocab: numbered,
      merges: fc.constant([]),
      unk_token: fc.constant('[UNK]'),
      continuing_subword_prefix: fc.constant('##'),
      max_input_chars_per_word: fc.nat(100),
    }),
    fc.record({
      type: fc.constant('Unigram'),
      vocab: pieces.map((list) => list.map((each, index) => [each, -index])),
      unk_id: fc.constant(0),
      byte_fallback: fc.boolean(),
    }),
  );
  const anyModel = sometimes(
    fc.record(
      {
        type: fc.constantFrom('WordPiece', 'BPE', 'Unigram', 'WordLevel', 'none such'),
        vocab: fc.oneof(
          fc.dictionary(piece, fc.nat(8), { maxKeys: 8 }),
          fc.array(fc.tuple(piece, fc.double({ max: 0, noNaN: true })), { maxLength: 8 }),
        ),
        merges: fc.array(fc.oneof(fc.tuple(piece, piece), fc.constant('a b')), { maxLength: 3 }),
        unk_token: sometimes(fc.constantFrom('[UNK]', 'a', null)),
        unk_id: sometimes(fc.option(fc.nat(8))),
        byte_fallback: sometimes(fc.boolean()),
        continuing_subword_prefix: sometimes(fc.constantFrom('##', '')),
        max_input_chars_per_word: sometimes(fc.nat(100)),
      },
      { requiredKeys: ['vocab'] },
    ),
  );
  const tokenizer = fc.record(
    {
      version: sometimes(fc.constant('1.0')),
      added_tokens: sometimes(
        fc.array(
          fc.record({
            id: fc.nat(12),
            content: piece,
            special: fc.boolean(),
            normalized: fc.boolean(),
            single_word: fc.boolean(),
            lstrip: fc.boolean(),
            rstrip: fc.boolean(),
          }),
          { maxLength: 3 },
        ),
      ),
      normalizer: part(['Lowercase', 'NFKC', 'Strip', 'Replace', 'Prepend', 'BertNormalizer', 'none such'], {
        pattern,
        content: piece,
        prepend: piece,
        strip_left: fc.boolean(),
        strip_right: fc.boolean(),
        lowercase: fc.boolean(),
        clean_text: fc.boolean(),
        handle_chinese_chars: fc.boolean(),
        strip_accents: fc.option(fc.boolean()),
      }),
      pre_tokenizer: part(['Whitespace', 'WhitespaceSplit', 'BertPreTokenizer', 'Metaspace', 'ByteLevel', 'Split'], {
        pattern,
        behavior: fc.constantFrom('Removed', 'Isolated', 'MergedWithPrevious', 'Contiguous', 'none such'),
        invert: fc.boolean(),
        replacement: fc.constantFrom('▁', 'ab'),
        prepend_scheme: fc.constantFrom('always', 'first', 'never'),
        add_prefix_space: fc.boolean(),
        use_regex: fc.boolean(),
        trim_offsets: fc.boolean(),
      }),
      model: fc.oneof(validModel, anyModel),
    },
    { requiredKeys: ['model'] },
  );
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'A', ' ', '▁', 'é', '中', '[UNK]', '👩‍🚀'), maxLength: 12 });

  const read = (json: unknown): Promise<TokenizerDefinition> =>
    readTokenizerDefinition(memoryModel('made up', { 'tokenizer.json': JSON.stringify(json) }));

  /** `tokenized` when all ids are valid and reproducible, or the code of the error for the file or a text. */
  async function tokenize(json: unknown, texts: readonly string[]): Promise<string> {
    try {
      const definition = await read(json);
      const loaded = await javaScriptTokenizer(definition);
      const options = { maxLength: 64, addSpecialTokens: false };
      const once = await loaded.encode(texts, options);
      const again = await loaded.encode(texts, options);
      const isValid = once.every(
        ({ ids, length }, row) =>
          ids.every((id, index) => id >= 0 && id < definition.vocabularySize && id === again[row]!.ids[index]) &&
          ids.length === Math.min(length, options.maxLength),
      );
      return isValid ? 'tokenized' : 'invalid ids';
    } catch (error) {
      if (SentvecError.is(error)) return error.code;
      throw error;
    }
  }

  it('is refused as invalid or unsupported, or gives each text the same ids of its vocabulary in every call', async () => {
    let tokenized = 0;
    await fc.assert(
      fc.asyncProperty(tokenizer, fc.array(text, { minLength: 1, maxLength: 4 }), async (json, texts) => {
        const outcome = await tokenize(json, texts);
        expect(['tokenized', 'invalid-model', 'unsupported-model', 'invalid-text']).toContain(outcome);
        if (outcome === 'tokenized') tokenized += 1;
      }),
      { numRuns: 1000 },
    );
    expect(tokenized).toBeGreaterThan(100);
  });

  it('has a hash that does not depend on the order of its keys', async () => {
    await fc.assert(
      fc.asyncProperty(tokenizer, async (json) => {
        const one = await read(json).catch(() => undefined);
        const isUsable = one !== undefined && (await javaScriptTokenizer(one).then(Boolean, () => false));
        fc.pre(isUsable);
        expect(await read(reversed(json))).toMatchObject({ hash: one.hash });
      }),
      runs,
    );
  });
});

/** The details of a SentvecError with this code. @throws any other error */
function detailsOf(error: unknown, code: ErrorCode): SentvecError['details'] {
  if (SentvecError.is(error, code)) return error.details;
  throw error;
}

/** The number of tensors of a header if they cover all `dataBytes`; otherwise `undefined`. */
function contentsOf(header: unknown, dataBytes: number): unknown {
  if (typeof header !== 'object' || header === null) return undefined;
  const sizes = Object.entries(header)
    .filter(([key]) => key !== '__metadata__')
    .map(([, entry]) => entry?.data_offsets?.[1] - entry?.data_offsets?.[0]);
  return sizes.reduce((sum, bytes) => sum + bytes, 0) === dataBytes ? { tensors: sizes.length } : undefined;
}

function mapped<From, To>(
  fields: Readonly<Record<string, From>>,
  change: (value: From) => To,
): Readonly<Record<string, To>> {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, change(value)]));
}

/** The same value with the keys of each object in reverse order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, entry]) => [key, reversed(entry)]),
  );
}
