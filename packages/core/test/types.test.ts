/** The public types as a caller meets them: what they infer, and what does not compile. Nothing here is executed. */
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
  it('gives the vector of one text, and the vectors of several', () => {
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

  it('takes a stream of texts, but no single text', () => {
    expectTypeOf(() => {
      expectTypeOf(embedder.embedStream(['a'])).toEqualTypeOf<AsyncIterable<StreamedVector>>();
      expectTypeOf(embedder.embedStream(new Set(['a']))).toEqualTypeOf<AsyncIterable<StreamedVector>>();
      expectTypeOf(embedder.embedStream((async function* () {})())).toEqualTypeOf<AsyncIterable<StreamedVector>>();
      // @ts-expect-error -- a string is an iterable of characters
      embedder.embedStream('a text');
    }).toBeFunction();
  });

  it('lets options be undefined, and refuses unknown ones', () => {
    expectTypeOf(() => {
      void embedder.embed('a', { prompt: undefined, signal: undefined, truncateDim: undefined, onProgress: undefined });
      void embedder.embed('a', { prompt: null });
      // @ts-expect-error -- it is truncateDim
      void embedder.embed('a', { truncate: 64 });
      // @ts-expect-error -- only streams wait
      void embedder.embed('a', { maxWait: 10 });
      expectTypeOf<EmbedOptions['prompt']>().toEqualTypeOf<string | null | undefined>();
    }).toBeFunction();
  });

  it('is disposed at the end of a block, and has a fingerprint', () => {
    expectTypeOf<Embedder>().toExtend<AsyncDisposable>();
    expectTypeOf<ReturnType<Embedder['fingerprint']>>().toEqualTypeOf<Promise<Fingerprint>>();
  });
});

describe('the types of loading', () => {
  it('take files in a browser, and a name too in Node', () => {
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

  it('take a built-in pooling by its name, several, and a custom one', () => {
    const custom = definePooling({ name: 'mine', create: () => ({ pool: (tokens) => tokens }) });
    expectTypeOf(custom).toEqualTypeOf<PoolingPlugin>();
    expectTypeOf<'mean'>().toExtend<LoadEmbedderOptions['pooling']>();
    expectTypeOf<readonly ['mean', 'max']>().toExtend<LoadEmbedderOptions['pooling']>();
    expectTypeOf<PoolingPlugin>().toExtend<LoadEmbedderOptions['pooling']>();
    expectTypeOf<'average'>().not.toExtend<LoadEmbedderOptions['pooling']>();
  });
});

it('a backend is its version, a name, whether it is available, and a function that loads an encoder', () => {
  type Required<Whole> = { [Key in keyof Whole as undefined extends Whole[Key] ? never : Key]: Whole[Key] };
  expectTypeOf<keyof Required<Backend>>().toEqualTypeOf<'specificationVersion' | 'name' | 'isAvailable' | 'load'>();
  expectTypeOf<keyof Required<Encoder>>().toEqualTypeOf<
    'hiddenSize' | 'maxPositions' | 'concurrency' | 'batchTokens' | 'encode' | 'dispose'
  >();
  expectTypeOf<Backend['specificationVersion']>().toEqualTypeOf<1>();
});

it('an unknown error is narrowed to a SentvecError, by one of the codes that there are', () => {
  expectTypeOf(() => {
    const error = new Error('any') as unknown;
    if (SentvecError.is(error, 'invalid-text')) expectTypeOf(error).toEqualTypeOf<SentvecError>();
    // @ts-expect-error -- there is no such code
    SentvecError.is(error, 'invalid-txt');
  }).toBeFunction();
});

it('search gives the hits of each query, over a matrix or chunks of one', () => {
  expectTypeOf(() => {
    expectTypeOf(semanticSearch(matrix, matrix)).toEqualTypeOf<Promise<SearchHit[][]>>();
    expectTypeOf(semanticSearch(matrix, [matrix], { topK: 3 })).toEqualTypeOf<Promise<SearchHit[][]>>();
    expectTypeOf(quantize(matrix, 'int8')).toEqualTypeOf<QuantizedMatrix>();
    expectTypeOf(similarity(matrix, matrix)).toEqualTypeOf<Matrix>();
    // @ts-expect-error -- float32 is what a matrix is already
    quantize(matrix, 'float32');
    // @ts-expect-error -- quantized vectors are searched by searchQuantized
    void semanticSearch(matrix, quantize(matrix, 'int8'));
  }).toBeFunction();
});
