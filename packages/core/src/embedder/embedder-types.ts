/** A model that is ready, and what goes into and comes out of it. */
/// <reference lib="esnext.disposable" preserve="true" />
import type { Encoder } from '../backend.ts';
import type { HeadSource } from '../model-folder/model-folder.ts';
import type { SplitBy, TextPiece } from './text-pieces.ts';
import type { SelfCheckResult, Head, Matrix, ModelFiles, SimilarityFunction, Tokenizer } from '../types.ts';

/** A model that is ready: four parts in a row. `await using` disposes it. */
export interface Embedder extends AsyncDisposable {
  /** Tells it from the other kinds that `loadModel` gives. */
  readonly kind: 'embedder';
  /** How the model was named. */
  readonly model: ModelFiles;
  /** Length of a vector, before any `truncateDim`. */
  readonly dimension: number;
  /** The most tokens of a text that are read; more are cut. */
  readonly maxLength: number;
  readonly tokenizer: Tokenizer;
  readonly encoder: Encoder;
  /** Name of the backend that runs the encoder, where there is one and the embedder was told. */
  readonly backend?: string | undefined;
  readonly head: Head;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  readonly similarityFunction: SimilarityFunction;
  /** The route that texts take when a call names none, in a model with routes. */
  readonly route?: string | undefined;
  /** The task whose adapter is in the weights when a call names none, in a model with adapters for tasks. */
  readonly task?: string | undefined;
  /** Where pooling and projections come from, when the model was read from a folder. */
  readonly headSource?: HeadSource | undefined;
  /**
   * How the check of the backend ended when the model was loaded. `undefined` when there was none to make, or it was
   * turned off.
   */
  readonly selfCheck?: SelfCheckResult | undefined;
  /**
   * The vector of one text, or those of many: row i of `vectors` belongs to text i.
   * @throws SentvecError `invalid-text` (details.row), `invalid-argument`, `aborted`, `disposed`, `backend-failed`
   */
  embed(text: string, options?: EmbedOptions): Promise<EmbeddedText>;
  embed(texts: string | readonly string[], options?: EmbedOptions): Promise<Embedded>;
  /**
   * As {@link Embedder.embed}, of what is searched for: with the prompt, the route and the task that the model has for
   * queries, as far as it has them. The receipt says which. As `encode_query` of sentence-transformers.
   * @throws SentvecError as {@link Embedder.embed}; `invalid-argument` for a model with routes, none of which is for
   * queries
   */
  embedQuery(text: string, options?: RoleEmbedOptions): Promise<EmbeddedText>;
  embedQuery(texts: string | readonly string[], options?: RoleEmbedOptions): Promise<Embedded>;
  /**
   * As {@link Embedder.embed}, of what is found: with the prompt, the route and the task that the model has for
   * documents. As `encode_document` of sentence-transformers.
   * @throws SentvecError as {@link Embedder.embedQuery}
   */
  embedDocuments(text: string, options?: RoleEmbedOptions): Promise<EmbeddedText>;
  embedDocuments(texts: string | readonly string[], options?: RoleEmbedOptions): Promise<Embedded>;
  /**
   * The vectors of texts that may be longer than the model reads: of each piece, or with `mean` of each text.
   * @returns row i of `vectors` belongs to `pieces[i]`; with `mean`, to text i
   * @throws SentvecError as {@link Embedder.embed}, where `details.row` is that of the text, and `invalid-text` for a
   * text without words; `invalid-argument` for pieces that the model cannot read, and for `lateChunking` with a model
   * whose pooling takes one token
   */
  embedPieces(texts: readonly string[], options?: EmbedPiecesOptions): Promise<EmbeddedPieces>;
  /**
   * Vectors in the order of `texts`, in constant memory: reads ahead by a bounded window.
   * @throws SentvecError as {@link Embedder.embed}, and what `texts` throws
   */
  embedStream(texts: TextStream, options?: EmbedStreamOptions): AsyncIterable<StreamedVector>;
  /**
   * Names the space of the vectors: a hash of weights, tokenizer, pooling, projections, prompt, dimension. Vectors with
   * different fingerprints must not be compared. `parts` has a hash for each, to say what differs.
   */
  fingerprint(options?: SpaceOptions): Promise<Fingerprint>;
  /** Ends what still runs, and frees everything. May be called twice. */
  dispose(): Promise<void>;
}

/** Many texts, as they come. A string does not count as a stream of its characters: `embed` takes single texts. */
export type TextStream = (AsyncIterable<string> | Iterable<string>) & { readonly charAt?: undefined };

/**
 * What a text is in a search: what is searched for, or what is found. Many models were trained to embed the two
 * differently.
 */
export type TextRole = 'query' | 'document';

/** The options of {@link Embedder.embed} that decide in which space the vectors are. */
export interface SpaceOptions {
  /**
   * What the texts are. It chooses the prompt, the route and the task that the model has for such texts; each of the
   * options of that name takes precedence over it.
   * @default neither: the model's default prompt, and the route and task that it was loaded with
   */
  readonly as?: TextRole | undefined;
  /**
   * Name of one of the model's prompts. `null`: none.
   * @default the one for `as`, else the model's default prompt, if it has one
   */
  readonly prompt?: string | null | undefined;
  /** A prompt of your own, put before each text. Excludes `prompt`. */
  readonly promptText?: string | undefined;
  /**
   * For a model with a Router (or Asym): the way that texts go, by the name of a route, or of a task that the Router
   * maps to one. Its parts are loaded at the first use; those that two routes share are loaded once.
   * @default `as`, else the route that the model was loaded with
   */
  readonly route?: string | undefined;
  /**
   * For a model with adapters for tasks: whose adapter is merged into the weights. The weights of each task are loaded
   * at its first use.
   * @default the one for `as` (`retrieval.query`, `retrieval.passage`), else the task that the model was loaded with
   */
  readonly task?: string | undefined;
  /**
   * Keeps the first entries of each vector, as they are: shorter vectors do not have length 1 any more. Cosines are the
   * same either way; for dot products and Euclidean distances set `normalize`.
   * @default the model's `truncate_dim`, else all entries
   */
  readonly truncateDim?: number | undefined;
  /**
   * Divides each vector by its length at the end, whatever the model does.
   * @default false
   */
  readonly normalize?: boolean | undefined;
}

/** Options of {@link Embedder.embed}. */
export interface EmbedOptions extends SpaceOptions {
  /**
   * Tokens (rows × longest) of a batch.
   * @default the backend's preference
   */
  readonly batchTokens?: number | undefined;
  /**
   * Whether the texts of a small call may be in a batch with those of other calls that run at the same time, which is
   * several times as fast for many callers. A vector differs by rounding, some 1e-7, with its batch-mates. `false`: a
   * text always gives the same bytes, whatever it is embedded with, by backends that compute each row of a batch alike,
   * as onnxruntime does on a CPU.
   * @default true
   */
  readonly shareBatches?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch with what is done so far. */
  readonly onProgress?: ((progress: { readonly rows: number; readonly tokens: number }) => void) | undefined;
}

/** Options of {@link Embedder.embedQuery} and {@link Embedder.embedDocuments}. */
export type RoleEmbedOptions = Omit<EmbedOptions, 'as'>;

/** How texts are split into pieces, and how the pieces are embedded. */
export interface PieceOptions {
  /**
   * The most tokens of a piece, special tokens and prompt included.
   * @default what the model reads; with `lateChunking` it must be given
   */
  readonly maxTokens?: number | undefined;
  /**
   * Tokens from the end of a piece with which the next one begins, as far as whole words, or sentences, allow.
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
   * Late chunking: the encoder reads the whole text, and the vectors of its tokens are pooled piece by piece, so that a
   * piece's vector depends on the text around it, too (Günther et al. 2024, arXiv 2409.04701). For models that pool
   * over all tokens and were trained on long texts. A text that is longer than the model reads goes through it in
   * windows, each of which begins a quarter of its length before its first piece.
   * @default false
   */
  readonly lateChunking?: boolean | undefined;
  /**
   * One vector for each text: the mean of the vectors of its pieces, weighted by their tokens, and divided by its
   * length where the vectors of the model are.
   * @default false
   */
  readonly mean?: boolean | undefined;
}

/** Options of {@link Embedder.embedPieces}. In its progress, `rows` counts texts. */
export interface EmbedPiecesOptions extends EmbedOptions, PieceOptions {}

/** Options of {@link Embedder.embedStream}. */
export interface EmbedStreamOptions extends EmbedOptions {
  /**
   * Milliseconds that a text waits for others to be batched with. After that it is embedded with those that have come,
   * as soon as `texts` makes us wait for the next one.
   * @default 100
   */
  readonly maxWait?: number | undefined;
}

/** Vectors of an array of texts: row i belongs to text i. */
export interface Embedded {
  readonly vectors: Matrix;
  readonly receipt: Receipt;
}

/** The vector of one text, also as a matrix of one row. */
export interface EmbeddedText extends Embedded {
  readonly vector: Float32Array;
}

/** A piece of one of many texts. */
export interface PieceOfText extends TextPiece {
  /** Index of its text. */
  readonly row: number;
  /** Counted from 0 in its text. */
  readonly piece: number;
}

/** Vectors of pieces of texts. */
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
  /** Tokens of the whole text, where it was cut. */
  readonly length?: number | undefined;
}

/** What an embedding cost, and how far it can be trusted. */
export interface Receipt {
  readonly rows: number;
  /** Tokens that were encoded, special tokens and prompt included, padding not. */
  readonly tokens: number;
  /** Texts that were cut, with their full length in tokens. */
  readonly truncated: readonly { readonly row: number; readonly length: number }[];
  /** Share of computed positions that were padding, 0 to 1. */
  readonly paddingWaste: number;
  readonly milliseconds: number;
  /** Of the space: see {@link Embedder.fingerprint}. */
  readonly fingerprint: string;
  /** What was put before each text. Absent: nothing. */
  readonly prompt?: string | undefined;
  /** The route that the texts took, in a model with routes. */
  readonly route?: string | undefined;
  /** The task whose adapter was in the weights, in a model with adapters for tasks. */
  readonly task?: string | undefined;
  /** Anything assumed on the user's behalf, in sentences, such as mean pooling for a folder that names none. */
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
   * The most tokens of a text that are read, special tokens included; more are cut. At most what the encoder has
   * positions for.
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
   * Length of the vectors when a call names none.
   * @default what the head gives
   */
  readonly truncateDim?: number | undefined;
  /** @default 'cosine' */
  readonly similarityFunction?: SimilarityFunction | undefined;
  /** See {@link Embedder.route}. */
  readonly route?: string | undefined;
  /** See {@link Embedder.task}. */
  readonly task?: string | undefined;
  /**
   * Where the encoder's weights and `config.json` stand, for the fingerprint.
   * @default `model`
   */
  readonly encoderFiles?: ModelFiles | undefined;
  /**
   * Hash of all that decides how the tokenizer cuts a text, for the fingerprint.
   * @default a hash of its name, vocabulary size and special tokens, which does not tell two tokenizers of one make
   * apart
   */
  readonly tokenizerHash?: string | undefined;
  /** See {@link Embedder.selfCheck}. */
  readonly selfCheck?: SelfCheckResult | undefined;
  /** What was assumed on the user's behalf, in sentences, for the receipts. */
  readonly notes?: readonly string[] | undefined;
  /** Called with the receipt of each `embed` that succeeded: for metrics. */
  readonly onReceipt?: ((receipt: Receipt) => void) | undefined;
}
