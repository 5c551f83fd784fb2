/** The public types as a caller meets them: what they infer, and what does not compile. Nothing here is executed. */
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

it('a corpus is embedded from inputs into an output, everything else has a default', () => {
  expectTypeOf(() => {
    expectTypeOf(embedCorpus({ inputs: ['a.txt'], output: 'vectors' }, embedder)).toEqualTypeOf<Promise<Manifest>>();
    void embedCorpus({ inputs: ['a.txt'], output: 'vectors', columns: undefined, prompt: null }, embedder, {});
    // @ts-expect-error -- without an output there is nowhere to write
    void embedCorpus({ inputs: ['a.txt'] }, embedder);
    // @ts-expect-error -- an input is a list
    void embedCorpus({ inputs: 'a.txt', output: 'vectors' }, embedder);
    // @ts-expect-error -- there is no such format
    void embedCorpus({ inputs: ['a.txt'], output: 'vectors', format: 'hdf5' }, embedder);
  }).toBeFunction();
  expectTypeOf<NonNullable<CorpusRequest['precision']>>().toEqualTypeOf<
    'float32' | 'int8' | 'uint8' | 'binary' | 'ubinary'
  >();
});

it('a finished folder is read batch by batch, and says in its manifest whether vectors are quantized', () => {
  expectTypeOf(() => {
    expectTypeOf(openEmbeddings('vectors')).toEqualTypeOf<Promise<Embeddings>>();
  }).toBeFunction();
  expectTypeOf<ReturnType<Embeddings['batches']>>().toEqualTypeOf<AsyncGenerator<EmbeddingBatch, void>>();
  expectTypeOf<EmbeddingBatch['vectors']>().toEqualTypeOf<Matrix | QuantizedMatrix>();
  expectTypeOf<Sink['endings']>().toEqualTypeOf<readonly [vectors: string, companion?: string]>();
});
