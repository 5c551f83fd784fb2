/** Sparse embedders: their interface, and the options and results of its calls. */
/// <reference lib="esnext.disposable" preserve="true" />
import type { EmbedOptions, EmbedStreamOptions, Fingerprint, Receipt, TextStream } from '../embedder/embedder-types.ts';
import type { ModelFiles, SelfCheckResult, SimilarityFunction } from '../types.ts';
import type { SparseVector } from './sparse-vector.ts';

/** What a text is: sparse models may read queries and documents differently. */
export type SparseRole = 'query' | 'document';

/** A model that weighs the terms of its vocabulary for a text, ready to use. `await using` disposes it. */
export interface SparseEmbedder extends AsyncDisposable {
  /** Tells it from models of other kinds. */
  readonly kind: 'sparse';
  /** How the model was named. */
  readonly model: ModelFiles;
  /** Number of terms: indices are below it. */
  readonly dimension: number;
  /** The most tokens of a query and of a document that are read; more are cut. */
  readonly maxLength: Readonly<Record<SparseRole, number>>;
  /** The tokens (rows × longest) of a batch at which the encoder works best. */
  readonly batchTokens: number;
  /** Name of the backend that runs the encoder. */
  readonly backend: string | undefined;
  /** Whether queries are weighed by a table, without an encoder: then a query takes microseconds. */
  readonly hasStaticQueries: boolean;
  /** What is put before queries and documents. */
  readonly prompts: Readonly<Record<string, string>>;
  /** How the model compares its vectors: `dot`, unless its folder says otherwise. See {@link sparseDot}. */
  readonly similarityFunction: SimilarityFunction;
  /** See `Embedder.selfCheck`. */
  readonly selfCheck: SelfCheckResult | undefined;
  /**
   * The vector of a query, or those of several, in their order. A text without any token gives a vector without entries
   * where queries are weighed by a table.
   * @throws SentvecError `invalid-text` (details.row), `invalid-argument`, `aborted`, `disposed`, `backend-failed`
   */
  embedQuery(text: string, options?: EmbedSparseOptions): Promise<EmbeddedSparseText>;
  embedQuery(texts: readonly string[], options?: EmbedSparseOptions): Promise<EmbeddedSparse>;
  /**
   * The vector of a document, or those of several, in their order.
   * @throws SentvecError as {@link SparseEmbedder.embedQuery}
   */
  embedDocuments(text: string, options?: EmbedSparseOptions): Promise<EmbeddedSparseText>;
  embedDocuments(texts: readonly string[], options?: EmbedSparseOptions): Promise<EmbeddedSparse>;
  /**
   * Vectors in the order of `texts`, in constant memory: reads ahead by a bounded window.
   * @throws SentvecError as {@link SparseEmbedder.embedQuery}, and what `texts` throws
   */
  embedStream(texts: TextStream, options?: EmbedSparseStreamOptions): AsyncIterable<StreamedSparseVector>;
  /**
   * The terms of a vector with their weights, largest first: what the model read in a text, or, of the products of two
   * vectors, why they match.
   * @param topK how many; default all
   */
  decode(vector: SparseVector, topK?: number): Promise<TermWeight[]>;
  /**
   * Names the space of the vectors: see `Embedder.fingerprint`. Queries and documents share it.
   */
  fingerprint(): Promise<Fingerprint>;
  /** Ends what still runs, and frees everything. May be called twice. */
  dispose(): Promise<void>;
}

/** Options of {@link SparseEmbedder.embedQuery} and {@link SparseEmbedder.embedDocuments}. */
export interface EmbedSparseOptions extends Pick<
  EmbedOptions,
  'batchTokens' | 'shareBatches' | 'signal' | 'onProgress'
> {
  /**
   * Keeps the largest entries of each vector, at most so many.
   * @default what the model was loaded with, else all
   */
  readonly maxActiveDims?: number | undefined;
}

/** Options of {@link SparseEmbedder.embedStream}. */
export interface EmbedSparseStreamOptions extends EmbedSparseOptions, Pick<EmbedStreamOptions, 'maxWait'> {
  /**
   * What the texts are.
   * @default 'document'
   */
  readonly as?: SparseRole | undefined;
}

/** Vectors of an array of texts: `vectors[i]` belongs to text i. */
export interface EmbeddedSparse {
  readonly vectors: readonly SparseVector[];
  readonly receipt: Receipt;
}

/** The vector of one text. */
export interface EmbeddedSparseText {
  readonly vector: SparseVector;
  readonly receipt: Receipt;
}

/** One text's vector, from a stream. */
export interface StreamedSparseVector {
  readonly row: number;
  readonly text: string;
  readonly vector: SparseVector;
}

/** A term of a model's vocabulary, as its tokenizer spells it, and what it weighs in a vector. */
export interface TermWeight {
  /** `null` for a row of the vocabulary that no token has: models pad their vocabulary to a round size. */
  readonly term: string | null;
  readonly weight: number;
}
