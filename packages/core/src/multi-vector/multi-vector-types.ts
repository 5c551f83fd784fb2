/** Models of late interaction: a matrix of token vectors for each text, and the options and results of their calls. */
/// <reference lib="esnext.disposable" preserve="true" />
import type { Encoder } from '../backend.ts';
import type { EmbedderParts, Fingerprint, Receipt, TextRole } from '../embedder/embedder-types.ts';
import type { ModelFolder } from '../model-folder/model-folder.ts';
import type { RankedDocument } from '../search/top-rows.ts';
import type { Head, Matrix, ModelFiles, SelfCheckResult, Tokenizer } from '../types.ts';

/**
 * The token vectors of several texts, one after the other in one array: text i has the rows from `offsets[i]` up to, not
 * including, `offsets[i + 1]`.
 */
export interface MultiVectors {
  /** Row-major, `offsets.at(-1)` rows of `cols` entries. */
  readonly data: Float32Array;
  /** One more than there are texts; begins with 0 and never falls. */
  readonly offsets: Float64Array;
  /** Number of texts. */
  readonly texts: number;
  /** Entries of a token's vector. */
  readonly cols: number;
}

/** Tokens that lengthen a query, so that it asks for more than it says (Khattab and Zaharia 2020, ColBERT). */
export interface QueryExpansion {
  /** `fixed`: all queries get `length` tokens, longer ones are cut there. `min`: longer ones stay as they are. */
  readonly strategy: 'fixed' | 'min';
  /** Whether the tokens of the query attend to those that lengthen it. */
  readonly attend: boolean;
  /** @default the mask token of the tokenizer, else the one that ends a text */
  readonly token: string | undefined;
  /** Tokens that a query has at least, special tokens included. */
  readonly length: number;
}

/** Which tokens of a text give no vectors. */
export interface MaskSettings {
  /** Tokens that are left out, as the vocabulary spells them. */
  readonly words: readonly string[];
  /** Of which texts they are left out. */
  readonly roles: readonly TextRole[];
  /** The only ids of a document that give vectors, where set. */
  readonly onlyIds: readonly number[] | undefined;
}

/** How the token vectors of a document are merged by clustering; see {@link poolTokens}. */
export interface TokenPoolingOptions {
  /** A document keeps about one vector of so many. 1 keeps all, 2 loses almost nothing, 4 little. */
  readonly factor: number;
  /**
   * Leading vectors that are left as they are: that of `[CLS]`.
   * @default 1
   */
  readonly protectedTokens?: number | undefined;
}

/** How a query's scores are made of the largest similarities of its tokens: their sum, or their mean. */
export type LateSimilarity = 'max' | 'mean-max';

/** What the folder of a model of late interaction says. */
export interface MultiVectorFolder extends ModelFolder {
  readonly lengths: Readonly<Record<TextRole, number | undefined>>;
  readonly expansion: QueryExpansion | undefined;
  readonly mask: MaskSettings;
  readonly tokenPooling: (Required<TokenPoolingOptions> & { readonly roles: readonly TextRole[] }) | undefined;
  readonly similarity: LateSimilarity;
}

/** A model of late interaction that is ready. `await using` disposes it. */
export interface MultiVectorEmbedder extends AsyncDisposable {
  /** Tells it from models of other kinds. */
  readonly kind: 'multi-vector';
  /** How the model was named. */
  readonly model: ModelFiles;
  /** Entries of a token's vector. */
  readonly dimension: number;
  /** The most tokens of a query and of a document that are read; more are cut. */
  readonly maxLength: Readonly<Record<TextRole, number>>;
  readonly tokenizer: Tokenizer;
  readonly encoder: Encoder;
  /** Name of the backend that runs the encoder. */
  readonly backend: string | undefined;
  /** The projections after the encoder, each applied to every token. */
  readonly head: Head;
  /** What is put before queries and documents. */
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
   * The documents that answer a query best, best first. For documents that are asked for again, embed them once and
   * score them with {@link maxSimilarityScores}.
   * @throws SentvecError as {@link MultiVectorEmbedder.embedQuery}
   */
  rank(query: string, documents: readonly string[], options?: RankTokensOptions): Promise<RankedDocument[]>;
  /**
   * Names the space of the vectors: see `Embedder.fingerprint`. Queries and documents share it.
   */
  fingerprint(): Promise<Fingerprint>;
  /** Ends what still runs, and frees everything. May be called twice. */
  dispose(): Promise<void>;
}

/** Options of {@link MultiVectorEmbedder.embedQuery}. */
export interface EmbedTokensOptions {
  /**
   * Tokens (rows × longest) of a batch.
   * @default the backend's preference
   */
  readonly batchTokens?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch with what is done so far. */
  readonly onProgress?: ((progress: { readonly rows: number; readonly tokens: number }) => void) | undefined;
}

/** Options of {@link MultiVectorEmbedder.embedDocuments}. */
export interface EmbedDocumentsOptions extends EmbedTokensOptions {
  /**
   * Merges token vectors by clustering, beyond what the model itself does.
   * @default none
   */
  readonly pooling?: TokenPoolingOptions | undefined;
}

/** Options of {@link MultiVectorEmbedder.rank}. */
export interface RankTokensOptions extends EmbedDocumentsOptions {
  /**
   * Documents in the answer.
   * @default all
   */
  readonly topK?: number | undefined;
}

/** Token vectors of texts. */
export interface EmbeddedTokens {
  readonly vectors: MultiVectors;
  readonly receipt: Receipt;
}

/** Token vectors of one text, also as a matrix. */
export interface EmbeddedTokensOfText extends EmbeddedTokens {
  readonly matrix: Matrix;
}

/** How a model of late interaction reads queries and documents. */
export type LateReading = Pick<MultiVectorParts, 'lengths' | 'expansion' | 'skippedIds' | 'onlyIds'>;

/** The parts of a {@link MultiVectorEmbedder}. The pooling of its head is `tokenPooling()`. */
export interface MultiVectorParts extends Omit<EmbedderParts, 'defaultPrompt' | 'truncateDim' | 'similarityFunction'> {
  /**
   * The most tokens of a query and of a document.
   * @default `maxLength`
   */
  readonly lengths?: Readonly<Record<TextRole, number>> | undefined;
  /**
   * What lengthens queries, with the id of its token.
   * @default nothing
   */
  readonly expansion?: (QueryExpansion & { readonly id: number }) | undefined;
  /**
   * Ids that give no vectors.
   * @default none
   */
  readonly skippedIds?: Readonly<Record<TextRole, ReadonlySet<number>>> | undefined;
  /**
   * The only ids of documents that give vectors.
   * @default all
   */
  readonly onlyIds?: ReadonlySet<number> | undefined;
  /** @default none */
  readonly tokenPooling?: MultiVectorFolder['tokenPooling'];
  /** @default 'max' */
  readonly similarity?: LateSimilarity | undefined;
}
