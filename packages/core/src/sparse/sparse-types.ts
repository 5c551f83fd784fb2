/** Sparse embedders: their interface, and the options and results of its calls. */
/// <reference lib="esnext.disposable" preserve="true" />
import type { EmbedOptions, EmbedStreamOptions, Fingerprint, Receipt, TextStream } from '../embedder/embedder-types.ts';
import type { ModelFiles, SelfCheckResult, SimilarityFunction } from '../types.ts';
import type { SparseVector } from './sparse-vector.ts';

/** The role of a text: sparse models may embed queries and documents differently. */
export type SparseRole = 'query' | 'document';

/** A loaded sparse model, which gives weights for the terms of its vocabulary. `await using` disposes it. */
export interface SparseEmbedder extends AsyncDisposable {
  /** Distinguishes it from the other kinds of models that `loadModel` returns. */
  readonly kind: 'sparse';
  /** The files that the model was loaded from, with its name. */
  readonly model: ModelFiles;
  /** Number of terms in the vocabulary; indices of vectors are below it. */
  readonly dimension: number;
  /** The most tokens of a query and of a document; longer texts are truncated. */
  readonly maxLength: Readonly<Record<SparseRole, number>>;
  /** Size of a batch, in tokens (rows × length of the longest text), at which the encoder is fastest. */
  readonly batchTokens: number;
  /** Name of the backend that runs the encoder. */
  readonly backend: string | undefined;
  /**
   * Whether the weights of queries come from a table instead of an encoder (inference-free), which takes only
   * microseconds.
   */
  readonly hasStaticQueries: boolean;
  /** The prompts that are put before queries and documents. */
  readonly prompts: Readonly<Record<string, string>>;
  /** The similarity function of the model: `dot`, unless its folder sets another one. See {@link sparseDot}. */
  readonly similarityFunction: SimilarityFunction;
  /** See `Embedder.selfCheck`. */
  readonly selfCheck: SelfCheckResult | undefined;
  /**
   * Embeds one query or several; vectors are in the order of the texts. If the weights of queries come from a table, a
   * text without tokens gives an empty vector.
   * @throws SentvecError `invalid-text` (details.row), `invalid-argument`, `aborted`, `disposed`, `backend-failed`
   */
  embedQuery(text: string, options?: EmbedSparseOptions): Promise<EmbeddedSparseText>;
  embedQuery(texts: readonly string[], options?: EmbedSparseOptions): Promise<EmbeddedSparse>;
  /**
   * Embeds one document or several; vectors are in the order of the texts.
   * @throws SentvecError as {@link SparseEmbedder.embedQuery}
   */
  embedDocuments(text: string, options?: EmbedSparseOptions): Promise<EmbeddedSparseText>;
  embedDocuments(texts: readonly string[], options?: EmbedSparseOptions): Promise<EmbeddedSparse>;
  /**
   * Yields vectors in the order of `texts`, in constant memory: it reads at most a bounded window of texts ahead.
   * @throws SentvecError as {@link SparseEmbedder.embedQuery}, and what `texts` throws
   */
  embedStream(texts: TextStream, options?: EmbedSparseStreamOptions): AsyncIterable<StreamedSparseVector>;
  /**
   * The terms of a vector with their weights, largest first. Applied to the elementwise product of two vectors, it
   * explains why they match.
   * @param topK maximum number of terms; default: all
   */
  decode(vector: SparseVector, topK?: number): Promise<TermWeight[]>;
  /** Identifies the vector space, which queries and documents share: see `Embedder.fingerprint`. */
  fingerprint(): Promise<Fingerprint>;
  /** Aborts running calls and frees all resources. May be called twice. */
  dispose(): Promise<void>;
}

/** Options of {@link SparseEmbedder.embedQuery} and {@link SparseEmbedder.embedDocuments}. */
export interface EmbedSparseOptions extends Pick<
  EmbedOptions,
  'batchTokens' | 'shareBatches' | 'signal' | 'onProgress'
> {
  /**
   * Maximum number of entries of a vector that are not zero: only the largest are kept.
   * @default the option that the model was loaded with, otherwise all entries
   */
  readonly maxActiveDims?: number | undefined;
}

/** Options of {@link SparseEmbedder.embedStream}. */
export interface EmbedSparseStreamOptions extends EmbedSparseOptions, Pick<EmbedStreamOptions, 'maxWait'> {
  /**
   * The role of the texts.
   * @default 'document'
   */
  readonly as?: SparseRole | undefined;
}

/** Result of embedding several texts: `vectors[i]` belongs to text i. */
export interface EmbeddedSparse {
  readonly vectors: readonly SparseVector[];
  readonly receipt: Receipt;
}

/** Result of embedding one text. */
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

/** A term of a model's vocabulary, as a string of its tokenizer, with its weight in a vector. */
export interface TermWeight {
  /** `null` for an index without a token: models may pad their vocabulary to a round size. */
  readonly term: string | null;
  readonly weight: number;
}
