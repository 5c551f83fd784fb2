/** Late-interaction models, which give a matrix of token vectors for each text: options and results of their calls. */
/// <reference lib="esnext.disposable" preserve="true" />
import type { Encoder } from '../backend.ts';
import type { EmbedderParts, Fingerprint, Receipt, TextRole } from '../embedder/embedder-types.ts';
import type { ModelFolder } from '../model-folder/model-folder.ts';
import type { RankedDocument } from '../search/top-rows.ts';
import type { Head, Matrix, ModelFiles, SelfCheckResult, Tokenizer } from '../types.ts';

/**
 * The token vectors of several texts, one after the other in one array: text i has the rows from `offsets[i]` up to,
 * but not including, `offsets[i + 1]`.
 */
export interface MultiVectors {
  /** Row-major, `offsets.at(-1)` rows of `cols` entries. */
  readonly data: Float32Array;
  /** `texts + 1` row indices in ascending order, beginning with 0. */
  readonly offsets: Float64Array;
  /** Number of texts. */
  readonly texts: number;
  /** Entries of a token's vector. */
  readonly cols: number;
}

/**
 * Query expansion: mask tokens are appended to a query, and their vectors act as additional query terms (Khattab and
 * Zaharia 2020, ColBERT).
 */
export interface QueryExpansion {
  /**
   * `fixed`: every query has exactly `length` tokens; longer ones are truncated. `min`: shorter queries are expanded to
   * `length`; longer ones are unchanged.
   */
  readonly strategy: 'fixed' | 'min';
  /** Whether the query's own tokens attend to the expansion tokens. */
  readonly attend: boolean;
  /**
   * The expansion token.
   * @default the mask token of the tokenizer, otherwise the token that ends a text
   */
  readonly token: string | undefined;
  /** Minimum number of tokens of a query, special tokens included. */
  readonly length: number;
}

/** Determines for which tokens of a text there are no vectors. */
export interface MaskSettings {
  /** The tokens that are left out, as written in the vocabulary. */
  readonly words: readonly string[];
  /** The roles of the texts in which they are left out. */
  readonly roles: readonly TextRole[];
  /** If set, only these token ids of a document give vectors. */
  readonly onlyIds: readonly number[] | undefined;
}

/** How the token vectors of a document are merged by clustering; see {@link poolTokens}. */
export interface TokenPoolingOptions {
  /**
   * The number of vectors is divided by this factor. 1 keeps all vectors; with 2, retrieval quality is almost
   * unchanged, with 4 slightly lower (see the paper at {@link poolTokens}).
   */
  readonly factor: number;
  /**
   * Number of leading vectors that are not merged, such as that of `[CLS]`.
   * @default 1
   */
  readonly protectedTokens?: number | undefined;
}

/**
 * How the score of a query is computed from the largest similarity of each of its tokens: as their sum (`max`) or their
 * mean (`mean-max`).
 */
export type LateSimilarity = 'max' | 'mean-max';

/** The configuration of a late-interaction model. */
export interface MultiVectorFolder extends ModelFolder {
  readonly lengths: Readonly<Record<TextRole, number | undefined>>;
  readonly expansion: QueryExpansion | undefined;
  readonly mask: MaskSettings;
  readonly tokenPooling: (Required<TokenPoolingOptions> & { readonly roles: readonly TextRole[] }) | undefined;
  readonly similarity: LateSimilarity;
}

/** A loaded late-interaction model. `await using` disposes it. */
export interface MultiVectorEmbedder extends AsyncDisposable {
  /** Distinguishes it from the other kinds of models that `loadModel` returns. */
  readonly kind: 'multi-vector';
  /** The files that the model was loaded from, with its name. */
  readonly model: ModelFiles;
  /** Entries of a token's vector. */
  readonly dimension: number;
  /** The most tokens of a query and of a document; longer texts are truncated. */
  readonly maxLength: Readonly<Record<TextRole, number>>;
  readonly tokenizer: Tokenizer;
  readonly encoder: Encoder;
  /** Name of the backend that runs the encoder. */
  readonly backend: string | undefined;
  /** The projections after the encoder, each applied to every token. */
  readonly head: Head;
  /** The prompts that are put before queries and documents. */
  readonly prompts: Readonly<Record<string, string>>;
  readonly similarity: LateSimilarity;
  /** See `Embedder.selfCheck`. */
  readonly selfCheck: SelfCheckResult | undefined;
  /**
   * The token vectors of a query, or of several: text i has its rows in `vectors`.
   * @throws SentvecError `invalid-text` (details.row), `invalid-argument`, `aborted`, `disposed`, `backend-failed`
   */
  embedQuery(text: string, options?: EmbedTokensOptions): Promise<EmbeddedTokensOfText>;
  embedQuery(texts: readonly string[], options?: EmbedTokensOptions): Promise<EmbeddedTokens>;
  /**
   * The token vectors of a document, or of several: text i has its rows in `vectors`.
   * @throws SentvecError as {@link MultiVectorEmbedder.embedQuery}
   */
  embedDocuments(text: string, options?: EmbedDocumentsOptions): Promise<EmbeddedTokensOfText>;
  embedDocuments(texts: readonly string[], options?: EmbedDocumentsOptions): Promise<EmbeddedTokens>;
  /**
   * Ranks documents by their similarity to a query, best first. If the same documents are ranked for many queries,
   * embed them once and score them with {@link maxSimilarityScores}.
   * @throws SentvecError as {@link MultiVectorEmbedder.embedQuery}
   */
  rank(query: string, documents: readonly string[], options?: RankTokensOptions): Promise<RankedDocument[]>;
  /** Identifies the vector space, which queries and documents share: see `Embedder.fingerprint`. */
  fingerprint(): Promise<Fingerprint>;
  /** Aborts running calls and frees all resources. May be called twice. */
  dispose(): Promise<void>;
}

/** Options of {@link MultiVectorEmbedder.embedQuery}. */
export interface EmbedTokensOptions {
  /**
   * Maximum size of a batch in tokens, padding included: rows × length of the longest text.
   * @default `Encoder.batchTokens`, the preference of the backend
   */
  readonly batchTokens?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch with the number of rows and tokens that are finished. */
  readonly onProgress?: ((progress: { readonly rows: number; readonly tokens: number }) => void) | undefined;
}

/** Options of {@link MultiVectorEmbedder.embedDocuments}. */
export interface EmbedDocumentsOptions extends EmbedTokensOptions {
  /**
   * Merges token vectors by clustering, in addition to the model's own token pooling.
   * @default none
   */
  readonly pooling?: TokenPoolingOptions | undefined;
}

/** Options of {@link MultiVectorEmbedder.rank}. */
export interface RankTokensOptions extends EmbedDocumentsOptions {
  /**
   * Number of documents in the result.
   * @default all
   */
  readonly topK?: number | undefined;
}

/** Result of embedding several texts. */
export interface EmbeddedTokens {
  readonly vectors: MultiVectors;
  readonly receipt: Receipt;
}

/** Result of embedding one text: its token vectors, also as a matrix. */
export interface EmbeddedTokensOfText extends EmbeddedTokens {
  readonly matrix: Matrix;
}

/** How a late-interaction model reads queries and documents. */
export type LateReading = Pick<MultiVectorParts, 'lengths' | 'expansion' | 'skippedIds' | 'onlyIds'>;

/** The parts of a {@link MultiVectorEmbedder}. The pooling of its head is `tokenPooling()`. */
export interface MultiVectorParts extends Omit<EmbedderParts, 'defaultPrompt' | 'truncateDim' | 'similarityFunction'> {
  /**
   * The most tokens of a query and of a document.
   * @default `maxLength`
   */
  readonly lengths?: Readonly<Record<TextRole, number>> | undefined;
  /**
   * Query expansion, with the id of the expansion token.
   * @default none
   */
  readonly expansion?: (QueryExpansion & { readonly id: number }) | undefined;
  /**
   * Token ids for which there are no vectors, by role.
   * @default none
   */
  readonly skippedIds?: Readonly<Record<TextRole, ReadonlySet<number>>> | undefined;
  /**
   * If set, only these token ids of documents give vectors.
   * @default all
   */
  readonly onlyIds?: ReadonlySet<number> | undefined;
  /**
   * The model's own token pooling.
   * @default none
   */
  readonly tokenPooling?: MultiVectorFolder['tokenPooling'];
  /** @default 'max' */
  readonly similarity?: LateSimilarity | undefined;
}
