/**
 * Type tests of the public API: inferred types, and calls that must not compile. The functions here are never called.
 */
import {
  definePooling,
  loadEmbedder,
  quantize,
  semanticSearch,
  SentvecError,
  similarity,
  type Backend,
  type Embedded,
  type EmbeddedText,
  type Embedder,
  type EmbedOptions,
  type Encoder,
  type Fingerprint,
  type LoadEmbedderOptions,
  type Matrix,
  type ModelFiles,
  type PoolingPlugin,
  type QuantizedMatrix,
  type SearchHit,
  type StreamedVector,
} from '@sentvec/core';
import { loadEmbedder as loadInNode } from '@sentvec/core/node';
import { describe, expectTypeOf, it } from 'vitest';

declare const embedder: Embedder;
declare const files: ModelFiles;
declare const backend: Backend;
declare const matrix: Matrix;
declare const oneOrSeveral: string | string[];

describe('the type of an embedder', () => {
  it('returns one vector for a string and a matrix for an array', () => {
    expectTypeOf(() => {
      expectTypeOf(embedder.embed('a text')).toEqualTypeOf<Promise<EmbeddedText>>();
      expectTypeOf(embedder.embed(['a text'])).toEqualTypeOf<Promise<Embedded>>();
      expectTypeOf(embedder.embed(['a', 'b'] as const)).toEqualTypeOf<Promise<Embedded>>();
      expectTypeOf(embedder.embed(oneOrSeveral)).toEqualTypeOf<Promise<Embedded>>();
      expectTypeOf<EmbeddedText['vector']>().toEqualTypeOf<Float32Array>();
      // @ts-expect-error -- several texts have no single vector
      void embedder.embed(['a']).then(({ vector }) => vector);
      // @ts-expect-error -- a text is a string
      void embedder.embed([1]);
    }).toBeFunction();
  });

  it('accepts iterables of texts, but no single string', () => {
    expectTypeOf(() => {
      expectTypeOf(embedder.embedStream(['a'])).toEqualTypeOf<AsyncIterable<StreamedVector>>();
      expectTypeOf(embedder.embedStream(new Set(['a']))).toEqualTypeOf<AsyncIterable<StreamedVector>>();
      expectTypeOf(embedder.embedStream((async function* () {})())).toEqualTypeOf<AsyncIterable<StreamedVector>>();
      // @ts-expect-error -- a string is an iterable of characters
      embedder.embedStream('a text');
    }).toBeFunction();
  });

  it('accepts undefined options and refuses unknown options', () => {
    expectTypeOf(() => {
      void embedder.embed('a', { prompt: undefined, signal: undefined, truncateDim: undefined, onProgress: undefined });
      void embedder.embed('a', { prompt: null });
      // @ts-expect-error -- the option is called truncateDim
      void embedder.embed('a', { truncate: 64 });
      // @ts-expect-error -- an option of embedStream() only
      void embedder.embed('a', { maxWait: 10 });
      expectTypeOf<EmbedOptions['prompt']>().toEqualTypeOf<string | null | undefined>();
    }).toBeFunction();
  });

  it('is an AsyncDisposable and has a fingerprint', () => {
    expectTypeOf<Embedder>().toExtend<AsyncDisposable>();
    expectTypeOf<ReturnType<Embedder['fingerprint']>>().toEqualTypeOf<Promise<Fingerprint>>();
  });
});

describe('the types of loadEmbedder()', () => {
  it('accept model files, and in Node also a name', () => {
    expectTypeOf(() => {
      expectTypeOf(loadEmbedder(files, { backend })).toEqualTypeOf<Promise<Embedder>>();
      expectTypeOf(loadInNode('org/name', { backend, revision: 'main' })).toEqualTypeOf<Promise<Embedder>>();
      expectTypeOf(loadInNode(files)).toEqualTypeOf<Promise<Embedder>>();
      // @ts-expect-error -- a browser has no folders: fetch the files with urlModel or hubUrlModel
      void loadEmbedder('org/name');
      // @ts-expect-error -- files have no revision in a browser
      void loadEmbedder(files, { revision: 'main' });
    }).toBeFunction();
  });

  it('accept the name of a built-in pooling, several names, and a custom pooling', () => {
    const custom = definePooling({ name: 'mine', create: () => ({ pool: (tokens) => tokens }) });
    expectTypeOf(custom).toEqualTypeOf<PoolingPlugin>();
    expectTypeOf<'mean'>().toExtend<LoadEmbedderOptions['pooling']>();
    expectTypeOf<readonly ['mean', 'max']>().toExtend<LoadEmbedderOptions['pooling']>();
    expectTypeOf<PoolingPlugin>().toExtend<LoadEmbedderOptions['pooling']>();
    expectTypeOf<'average'>().not.toExtend<LoadEmbedderOptions['pooling']>();
  });
});

it('a backend and an encoder have no other required properties', () => {
  type Required<Whole> = { [Key in keyof Whole as undefined extends Whole[Key] ? never : Key]: Whole[Key] };
  expectTypeOf<keyof Required<Backend>>().toEqualTypeOf<'specificationVersion' | 'name' | 'isAvailable' | 'load'>();
  expectTypeOf<keyof Required<Encoder>>().toEqualTypeOf<
    'hiddenSize' | 'maxPositions' | 'concurrency' | 'batchTokens' | 'encode' | 'dispose'
  >();
  expectTypeOf<Backend['specificationVersion']>().toEqualTypeOf<1>();
});

it('SentvecError.is() narrows an unknown error and refuses unknown codes', () => {
  expectTypeOf(() => {
    const error = new Error('any') as unknown;
    if (SentvecError.is(error, 'invalid-text')) expectTypeOf(error).toEqualTypeOf<SentvecError>();
    // @ts-expect-error -- there is no such code
    SentvecError.is(error, 'invalid-txt');
  }).toBeFunction();
});

it('semanticSearch() accepts a matrix or pieces of a matrix, but no quantized matrix', () => {
  expectTypeOf(() => {
    expectTypeOf(semanticSearch(matrix, matrix)).toEqualTypeOf<Promise<SearchHit[][]>>();
    expectTypeOf(semanticSearch(matrix, [matrix], { topK: 3 })).toEqualTypeOf<Promise<SearchHit[][]>>();
    expectTypeOf(quantize(matrix, 'int8')).toEqualTypeOf<QuantizedMatrix>();
    expectTypeOf(similarity(matrix, matrix)).toEqualTypeOf<Matrix>();
    // @ts-expect-error -- float32 is not a quantized precision
    quantize(matrix, 'float32');
    // @ts-expect-error -- quantized vectors are searched by searchQuantized
    void semanticSearch(matrix, quantize(matrix, 'int8'));
  }).toBeFunction();
});
