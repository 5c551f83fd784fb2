/** The embedder: its interface, the options of its calls, and their results. */
/// <reference lib="esnext.disposable" preserve="true" />
import type { Encoder } from '../backend.ts';
import type { HeadSource } from '../model-folder/model-folder.ts';
import type { SplitBy, TextPiece } from './text-pieces.ts';
import type { SelfCheckResult, Head, Matrix, ModelFiles, SimilarityFunction, Tokenizer } from '../types.ts';

/** A loaded embedding model: tokenizer, encoder, pooling and projections. `await using` disposes it. */
export interface Embedder extends AsyncDisposable {
  /** Distinguishes an embedder from the other kinds of models that `loadModel` returns. */
  readonly kind: 'embedder';
  /** The files that the model was loaded from, with its name. */
  readonly model: ModelFiles;
  /** Length of a vector, before any `truncateDim`. */
  readonly dimension: number;
  /** The most tokens of a text, special tokens included. Longer texts are truncated. */
  readonly maxLength: number;
  readonly tokenizer: Tokenizer;
  readonly encoder: Encoder;
  /**
   * Name of the backend that runs the encoder. `undefined` for static embeddings, and for parts that were put together
   * without it.
   */
  readonly backend?: string | undefined;
  /**
   * How many calls to make at once when there are many, as for the chunks of a corpus.
   * @default 2
   */
  readonly concurrentCalls?: number | undefined;
  readonly head: Head;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  readonly similarityFunction: SimilarityFunction;
  /** The default route of a model with routes: the one that is used when a call names none. */
  readonly route?: string | undefined;
  /** The default task of a model with task adapters: the one whose adapter is used when a call names none. */
  readonly task?: string | undefined;
  /** Where pooling and projections come from, when the model was read from a folder. */
  readonly headSource?: HeadSource | undefined;
  /**
   * Result of the self-check that ran when the model was loaded. `undefined` when the model needs none or the
   * self-check was turned off.
   */
  readonly selfCheck?: SelfCheckResult | undefined;
  /**
   * The vector of one text, or those of many: row i of `vectors` belongs to text i.
   * @throws SentvecError `invalid-text` (details.row), `invalid-argument`, `aborted`, `disposed`, `backend-failed`
   */
  embed(text: string, options?: EmbedOptions): Promise<EmbeddedText>;
  embed(texts: string | readonly string[], options?: EmbedOptions): Promise<Embedded>;
  /**
   * {@link Embedder.embed} for search queries: uses the prompt, the route and the task that the model has for queries,
   * if any. The receipt says which were used. Equivalent to `encode_query` of sentence-transformers.
   * @throws SentvecError as {@link Embedder.embed}; `invalid-argument` for a model with routes, none of which is for
   * queries
   */
  embedQuery(text: string, options?: RoleEmbedOptions): Promise<EmbeddedText>;
  embedQuery(texts: string | readonly string[], options?: RoleEmbedOptions): Promise<Embedded>;
  /**
   * {@link Embedder.embed} for the documents that are searched: uses the prompt, the route and the task that the model
   * has for documents, if any. Equivalent to `encode_document` of sentence-transformers.
   * @throws SentvecError as {@link Embedder.embedQuery}
   */
  embedDocuments(text: string, options?: RoleEmbedOptions): Promise<EmbeddedText>;
  embedDocuments(texts: string | readonly string[], options?: RoleEmbedOptions): Promise<Embedded>;
  /**
   * Embeds texts that may be longer than the model reads, in pieces: gives a vector for each piece or, with `mean`, for
   * each text.
   * @returns row i of `vectors` belongs to `pieces[i]`; with `mean`, to text i
   * @throws SentvecError as {@link Embedder.embed}, where `details.row` is that of the text, and `invalid-text` for a
   * text without words; `invalid-argument` for pieces that are longer than the model reads, and for `lateChunking` with
   * a model that pools by one token (CLS or last token)
   */
  embedPieces(texts: readonly string[], options?: EmbedPiecesOptions): Promise<EmbeddedPieces>;
  /**
   * Yields vectors in the order of `texts`, in constant memory: it reads at most a bounded window of texts ahead.
   * @throws SentvecError as {@link Embedder.embed}, and what `texts` throws
   */
  embedStream(texts: TextStream, options?: EmbedStreamOptions): AsyncIterable<StreamedVector>;
  /**
   * Identifies the vector space: a hash of weights, tokenizer, pooling, projections, prompt and dimension. Vectors with
   * different fingerprints must not be compared. `parts` has the hash of each of these, to find out which of them
   * differs.
   */
  fingerprint(options?: SpaceOptions): Promise<Fingerprint>;
  /** Aborts running calls and frees all resources. May be called twice. */
  dispose(): Promise<void>;
}

/**
 * An iterable or async iterable of texts. The type excludes a plain string, which would be read as a stream of
 * characters; `embed` takes single texts.
 */
export type TextStream = (AsyncIterable<string> | Iterable<string>) & { readonly charAt?: undefined };

/** The role of a text in a search. Many models were trained to embed queries and documents differently. */
export type TextRole = 'query' | 'document';

/** The options of {@link Embedder.embed} that determine the space of the vectors. */
export interface SpaceOptions {
  /**
   * The role of the texts. It selects the prompt, the route and the task that the model has for this role; the options
   * `prompt`, `promptText`, `route` and `task` take precedence.
   * @default no role: the model's default prompt, and the route and task that it was loaded with
   */
  readonly as?: TextRole | undefined;
  /**
   * Name of one of the model's prompts. `null`: none.
   * @default the one for `as`, else the model's default prompt, if it has one
   */
  readonly prompt?: string | null | undefined;
  /** Text of a prompt of your own, which is put before each text. Cannot be combined with `prompt`. */
  readonly promptText?: string | undefined;
  /**
   * For a model with a `Router` (formerly `Asym`) module: the name of the route, or of a task that the Router maps to a
   * route. The parts of a route are loaded at its first use; parts that two routes share are loaded once.
   * @default `as`, else the route that the model was loaded with
   */
  readonly route?: string | undefined;
  /**
   * For a model with task adapters (LoRA): the task whose adapter is merged into the weights. The weights of each task
   * are loaded at its first use.
   * @default the one for `as` (`retrieval.query`, `retrieval.passage`), else the task that the model was loaded with
   */
  readonly task?: string | undefined;
  /**
   * Keeps only the first entries of each vector (Matryoshka), without normalizing it again. This does not matter for
   * cosine similarity; for dot products and Euclidean distances set `normalize`.
   * @default the model's `truncate_dim`, else all entries
   */
  readonly truncateDim?: number | undefined;
  /**
   * Normalizes each vector to length 1 at the end, in addition to what the model does.
   * @default false
   */
  readonly normalize?: boolean | undefined;
}

/** Options of {@link Embedder.embed}. */
export interface EmbedOptions extends SpaceOptions {
  /**
   * Maximum size of a batch in tokens, padding included: rows × length of the longest text.
   * @default `Encoder.batchTokens`, the preference of the backend
   */
  readonly batchTokens?: number | undefined;
  /**
   * Whether the texts of a small call may share a batch with those of other calls that run at the same time. This is
   * several times as fast when there are many callers, but a vector then varies by about 1e-7, due to rounding, with
   * the other texts of its batch. With `false` a text always gives the same bytes on backends that compute the rows of
   * a batch independently, as onnxruntime does on a CPU.
   * @default true
   */
  readonly shareBatches?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch with the number of rows and tokens that are finished. */
  readonly onProgress?: ((progress: { readonly rows: number; readonly tokens: number }) => void) | undefined;
}

/** Options of {@link Embedder.embedQuery} and {@link Embedder.embedDocuments}. */
export type RoleEmbedOptions = Omit<EmbedOptions, 'as'>;

/** Options for splitting texts into pieces and embedding the pieces. */
export interface PieceOptions {
  /**
   * The most tokens of a piece, special tokens and prompt included.
   * @default the maximum length of the model; required with `lateChunking`
   */
  readonly maxTokens?: number | undefined;
  /**
   * The most tokens that a piece repeats from the end of the one before. Only whole words or sentences are repeated.
   * @default 0
   */
  readonly overlapTokens?: number | undefined;
  /**
   * Where pieces end: after the last word that fits, as `splitByTokens` does, or after sentences and before headings,
   * as `splitBySentences` does.
   * @default 'sentences'
   */
  readonly splitBy?: SplitBy | undefined;
  /**
   * Late chunking (Günther et al. 2024, arXiv 2409.04701): the encoder reads the whole text, and its token embeddings
   * are pooled piece by piece, so that the vector of a piece also depends on the text around it. For models that pool
   * over all tokens and were trained on long texts. A text that is longer than the model reads is encoded in
   * overlapping windows, of which the first quarter is context for the first piece.
   * @default false
   */
  readonly lateChunking?: boolean | undefined;
  /**
   * Gives one vector for each text: the mean of the vectors of its pieces, weighted by their token counts, and
   * normalized if the model's vectors are.
   * @default false
   */
  readonly mean?: boolean | undefined;
}

/** Options of {@link Embedder.embedPieces}. `onProgress` gets the number of texts, not of pieces, as `rows`. */
export interface EmbedPiecesOptions extends EmbedOptions, PieceOptions {}

/** Options of {@link Embedder.embedStream}. */
export interface EmbedStreamOptions extends EmbedOptions {
  /**
   * Milliseconds that a text waits for further texts to be batched with. After that, the texts read so far are embedded
   * as soon as `texts` does not yield the next one at once.
   * @default 100
   */
  readonly maxWait?: number | undefined;
}

/** Result of embedding an array of texts: row i of `vectors` belongs to text i. */
export interface Embedded {
  readonly vectors: Matrix;
  readonly receipt: Receipt;
}

/** Result of embedding one text: its vector, which is also in `vectors` as a matrix with one row. */
export interface EmbeddedText extends Embedded {
  readonly vector: Float32Array;
}

/** A piece, with the text that it is from. */
export interface PieceOfText extends TextPiece {
  /** Index of its text. */
  readonly row: number;
  /** Index of the piece within its text, from 0. */
  readonly piece: number;
}

/** Result of embedding texts in pieces. */
export interface EmbeddedPieces extends Embedded {
  /** The pieces of all texts, in order. */
  readonly pieces: readonly PieceOfText[];
}

/** One text's vector, from a stream. */
export interface StreamedVector {
  readonly row: number;
  readonly text: string;
  readonly vector: Float32Array;
  readonly tokens: number;
  readonly truncated: boolean;
  /** Number of tokens of the whole text, if it was truncated. */
  readonly length?: number | undefined;
}

/** A report on an embedding: its cost, the truncated texts, and all assumptions that were made. */
export interface Receipt {
  readonly rows: number;
  /** Number of encoded tokens, including special tokens and prompt, excluding padding. */
  readonly tokens: number;
  /** The truncated texts, with their full length in tokens. */
  readonly truncated: readonly { readonly row: number; readonly length: number }[];
  /** Fraction of the computed positions that were padding, from 0 to 1. */
  readonly paddingWaste: number;
  readonly milliseconds: number;
  /** Hash that identifies the vector space: see {@link Embedder.fingerprint}. */
  readonly fingerprint: string;
  /** The prompt that was put before each text. Absent: none. */
  readonly prompt?: string | undefined;
  /** The route that was used, in a model with routes. */
  readonly route?: string | undefined;
  /** The task whose adapter was used, in a model with task adapters. */
  readonly task?: string | undefined;
  /**
   * One sentence for each assumption that was made, for example mean pooling for a folder that does not specify a
   * pooling.
   */
  readonly notes: readonly string[];
}

/** See {@link Embedder.fingerprint}. */
export interface Fingerprint {
  /** Hexadecimal SHA-256 over the parts. */
  readonly hash: string;
  readonly parts: Readonly<
    Record<'weights' | 'tokenizer' | 'pooling' | 'projections' | 'prompt' | 'dimension', string>
  >;
}

/** The parts of an embedder; see {@link createEmbedder}. */
export interface EmbedderParts {
  readonly model: ModelFiles;
  readonly tokenizer: Tokenizer;
  readonly encoder: Encoder;
  /** See {@link Embedder.backend}. */
  readonly backend?: string | undefined;
  readonly head: Head;
  /** See {@link Embedder.headSource}. */
  readonly headSource?: HeadSource | undefined;
  /**
   * The most tokens of a text, special tokens included; longer texts are truncated. At most the encoder's
   * `maxPositions`.
   */
  readonly maxLength: number;
  /**
   * Whether texts get the special tokens of the model.
   * @default true
   */
  readonly addSpecialTokens?: boolean | undefined;
  /** @default none */
  readonly prompts?: Readonly<Record<string, string>> | undefined;
  /** Name of the prompt that is used when a call names none. */
  readonly defaultPrompt?: string | undefined;
  /**
   * Length of the vectors when a call does not set `truncateDim`.
   * @default the output size of the head
   */
  readonly truncateDim?: number | undefined;
  /** @default 'cosine' */
  readonly similarityFunction?: SimilarityFunction | undefined;
  /** See {@link Embedder.route}. */
  readonly route?: string | undefined;
  /** See {@link Embedder.task}. */
  readonly task?: string | undefined;
  /**
   * The files that contain the encoder's weights and `config.json`, for the fingerprint.
   * @default `model`
   */
  readonly encoderFiles?: ModelFiles | undefined;
  /**
   * Hash of everything that determines the tokenizer's output, for the fingerprint.
   * @default a hash of its name, vocabulary size and special tokens, which may be equal for two different tokenizers of
   * one library
   */
  readonly tokenizerHash?: string | undefined;
  /** See {@link Embedder.selfCheck}. */
  readonly selfCheck?: SelfCheckResult | undefined;
  /** Assumptions that were made, one sentence each, for the receipts. */
  readonly notes?: readonly string[] | undefined;
  /** Called with the receipt of each `embed` that succeeded: for metrics. */
  readonly onReceipt?: ((receipt: Receipt) => void) | undefined;
}
