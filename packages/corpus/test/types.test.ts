/** Type tests of the public API: inferred types, and code that must not compile. Nothing here is executed. */
import type { Embedder, Matrix, QuantizedMatrix } from '@sentvec/core';
import {
  embedCorpus,
  openEmbeddings,
  type CorpusRequest,
  type EmbeddingBatch,
  type Embeddings,
  type Manifest,
  type Sink,
} from '@sentvec/corpus';
import { expectTypeOf, it } from 'vitest';

declare const embedder: Embedder;

it('embedCorpus() requires inputs and an output; all other options have defaults', () => {
  expectTypeOf(() => {
    expectTypeOf(embedCorpus({ inputs: ['a.txt'], output: 'vectors' }, embedder)).toEqualTypeOf<Promise<Manifest>>();
    void embedCorpus({ inputs: ['a.txt'], output: 'vectors', columns: undefined, prompt: null }, embedder, {});
    // @ts-expect-error -- the output is required
    void embedCorpus({ inputs: ['a.txt'] }, embedder);
    // @ts-expect-error -- inputs must be an array
    void embedCorpus({ inputs: 'a.txt', output: 'vectors' }, embedder);
    // @ts-expect-error -- the format does not exist
    void embedCorpus({ inputs: ['a.txt'], output: 'vectors', format: 'hdf5' }, embedder);
  }).toBeFunction();
  expectTypeOf<NonNullable<CorpusRequest['precision']>>().toEqualTypeOf<
    'float32' | 'int8' | 'uint8' | 'binary' | 'ubinary'
  >();
});

it('a finished folder is read in batches, and its manifest states whether vectors are quantized', () => {
  expectTypeOf(() => {
    expectTypeOf(openEmbeddings('vectors')).toEqualTypeOf<Promise<Embeddings>>();
  }).toBeFunction();
  expectTypeOf<ReturnType<Embeddings['batches']>>().toEqualTypeOf<AsyncGenerator<EmbeddingBatch, void>>();
  expectTypeOf<EmbeddingBatch['vectors']>().toEqualTypeOf<Matrix | QuantizedMatrix>();
  expectTypeOf<Sink['endings']>().toEqualTypeOf<readonly [vectors: string, companion?: string]>();
});
