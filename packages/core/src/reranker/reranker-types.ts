/** The reranker: its interface, the options of its calls, and their results. */
/// <reference lib="esnext.disposable" preserve="true" />
import type { Encoder } from '../backend.ts';
import type { Receipt } from '../embedder/embedder-types.ts';
import type { RankedDocument } from '../search/top-rows.ts';
import type { Activation, Head, Matrix, ModelFiles, SelfCheckResult, TokenizedText, Tokenizer } from '../types.ts';

/** Two texts that a reranker compares, such as a query and a document. */
export type TextPair = readonly [first: string, second: string];

/**
 * A reranker (cross-encoder): a model that reads two texts together and scores them. Slower but more accurate than
 * comparing vectors. `await using` disposes it.
 */
export interface Reranker extends AsyncDisposable {
  /** Distinguishes a reranker from the other kinds of models that `loadModel` returns. */
  readonly kind: 'reranker';
  /** The files that the model was loaded from, with its name. */
  readonly model: ModelFiles;
  /**
   * Names of the scores, in order: a single one for most rerankers; `entailment` and others for natural language
   * inference.
   */
  readonly labels: readonly string[];
  /** The activation that turns the model's logits into scores, unless a call chooses another. */
  readonly activation: Activation;
  /** The most tokens of a pair, special tokens included. In a longer pair, the longer text is truncated. */
  readonly maxLength: number;
  readonly tokenizer: Tokenizer;
  readonly encoder: Encoder;
  /** Name of the backend that runs the encoder. */
  readonly backend?: string | undefined;
  readonly head: Head;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  /** Result of the self-check that ran when the model was loaded; `undefined` when it was turned off. */
  readonly selfCheck?: SelfCheckResult | undefined;
  /**
   * Ranks documents by their score for a query, best first; equal scores in the order of `documents`.
   * @throws SentvecError `invalid-text` for an empty query, and for values that are not strings (details.row);
   * `backend-failed`, also for scores that are not numbers; `invalid-argument`, `aborted`, `disposed`
   */
  rank(query: string, documents: readonly string[], options?: RankOptions): Promise<RankedDocument[]>;
  /**
   * Scores pairs of texts: row i of `scores` belongs to pair i, with a column for each label.
   * @throws SentvecError as {@link Reranker.rank}, but both texts may be empty
   */
  score(pairs: readonly TextPair[], options?: ScoreOptions): Promise<Scores>;
  /** Aborts running calls and frees all resources. May be called twice. */
  dispose(): Promise<void>;
}

/** Options of {@link Reranker.score}. */
export interface ScoreOptions {
  /**
   * The activation that turns the model's logits into scores: `Identity` returns the logits, `Sigmoid` gives 0 to 1,
   * and with `Softmax` the scores of all labels add up to 1 (it is refused for models with one label, where it would
   * always give 1).
   * @default the model's own
   */
  readonly activation?: Activation | undefined;
  /**
   * Name of one of the model's prompts (instructions). `null`: none.
   * @default the model's default prompt, if it has one
   */
  readonly prompt?: string | null | undefined;
  /** Text of a prompt of your own. Cannot be combined with `prompt`. */
  readonly promptText?: string | undefined;
  /**
   * Whether pairs with more than `maxLength` tokens are truncated. With `false` they are an error.
   * @default true; `receipt.truncated` lists the truncated pairs
   */
  readonly truncate?: boolean | undefined;
  /**
   * Maximum size of a batch in tokens, padding included: rows × length of the longest pair.
   * @default `Encoder.batchTokens`, the preference of the backend
   */
  readonly batchTokens?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch with the number of rows and tokens that are finished. */
  readonly onProgress?: ((progress: { readonly rows: number; readonly tokens: number }) => void) | undefined;
}

/** Options of {@link Reranker.rank}. */
export interface RankOptions extends ScoreOptions {
  /**
   * How many of the best documents to return.
   * @default all
   */
  readonly topK?: number | undefined;
  /**
   * The label whose score ranks the documents, for a model that has several.
   * @default the only label; required for a model with several
   */
  readonly label?: string | undefined;
}

/** Result of {@link Reranker.score}. */
export interface Scores {
  /** A row for each pair, a column for each label. */
  readonly scores: Matrix;
  readonly receipt: RerankReceipt;
}

/** A report on a call: its cost, the truncated pairs, and all assumptions that were made. */
export type RerankReceipt = Omit<Receipt, 'fingerprint'>;

/** The parts of a reranker. */
export interface RerankerParts {
  readonly model: ModelFiles;
  readonly tokenizer: Tokenizer;
  readonly encoder: Encoder;
  readonly backend: string | undefined;
  readonly head: Head;
  readonly labels: readonly string[];
  readonly activation: Activation;
  readonly maxLength: number;
  readonly pairTokenizer: PairTokenizer;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  readonly selfCheck: SelfCheckResult | undefined;
  readonly onReceipt?: ((receipt: RerankReceipt) => void) | undefined;
  readonly notes: readonly string[];
}

/** Turns pairs of texts into inputs of the model. */
export type PairTokenizer = (
  pairs: readonly TextPair[],
  options: { readonly maxLength: number; readonly prompt: string; readonly signal: AbortSignal },
) => Promise<TokenizedText[]>;
