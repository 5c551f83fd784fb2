/** A reranker that is ready, and what goes into and comes out of it. */
/// <reference lib="esnext.disposable" preserve="true" />
import type { Encoder } from '../backend.ts';
import type { Receipt } from '../embedder/embedder-types.ts';
import type { RankedDocument } from '../search/top-rows.ts';
import type { Activation, Head, Matrix, ModelFiles, SelfCheckResult, TokenizedText, Tokenizer } from '../types.ts';

/** Two texts that a reranker compares, such as a query and a document. */
export type TextPair = readonly [first: string, second: string];

/**
 * A model that reads two texts together and scores them (a cross-encoder): slower than comparing vectors, and better.
 * `await using` disposes it.
 */
export interface Reranker extends AsyncDisposable {
  /** Tells it from the other kinds that `loadModel` gives. */
  readonly kind: 'reranker';
  /** How the model was named. */
  readonly model: ModelFiles;
  /** What it gives a score for, in order: one for nearly all rerankers; `entailment` and others for inference. */
  readonly labels: readonly string[];
  /** The activation that turns the model's numbers into scores when a call does not name one. */
  readonly activation: Activation;
  /** The most tokens of a pair that are read, special tokens included; of a longer pair the longer text is cut. */
  readonly maxLength: number;
  readonly tokenizer: Tokenizer;
  readonly encoder: Encoder;
  /** Name of the backend that runs the encoder. */
  readonly backend?: string | undefined;
  readonly head: Head;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  /** How the check of the backend ended when the model was loaded; `undefined` when it was turned off. */
  readonly selfCheck?: SelfCheckResult | undefined;
  /**
   * The documents that answer a query best, best first; of equal scores the earlier one.
   * @throws SentvecError `invalid-text` for an empty query, and for values that are not strings (details.row);
   * `invalid-argument`, `aborted`, `disposed`, `backend-failed`, also for scores that are not numbers
   */
  rank(query: string, documents: readonly string[], options?: RankOptions): Promise<RankedDocument[]>;
  /**
   * Scores pairs of texts: row i of `scores` belongs to pair i, with a column for each label.
   * @throws SentvecError as {@link Reranker.rank}; either text may be empty
   */
  score(pairs: readonly TextPair[], options?: ScoreOptions): Promise<Scores>;
  /** Ends what still runs, and frees everything. May be called twice. */
  dispose(): Promise<void>;
}

/** Options of {@link Reranker.score}. */
export interface ScoreOptions {
  /**
   * The activation that turns the model's numbers into scores: `Identity` leaves them raw, `Sigmoid` gives 0 to 1,
   * `Softmax` shares 1 among several labels (of one label it would always be 1, and is refused).
   * @default the model's own
   */
  readonly activation?: Activation | undefined;
  /**
   * Name of one of the model's prompts, which tells it what to look for. `null`: none.
   * @default the model's default prompt, if it has one
   */
  readonly prompt?: string | null | undefined;
  /** A prompt of your own. Excludes `prompt`. */
  readonly promptText?: string | undefined;
  /**
   * Whether pairs of more than `maxLength` tokens are cut. `false` refuses them.
   * @default true; `receipt.truncated` lists those that were cut
   */
  readonly truncate?: boolean | undefined;
  /**
   * Tokens (rows × longest) of a batch.
   * @default the backend's preference
   */
  readonly batchTokens?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch with what is done so far. */
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
   * @default the only one
   */
  readonly label?: string | undefined;
}

/** See {@link Reranker.score}. */
export interface Scores {
  /** A row for each pair, a column for each label. */
  readonly scores: Matrix;
  readonly receipt: RerankReceipt;
}

/** What scoring cost, and how far it can be trusted. `truncated` has the pairs that were cut. */
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

/** Makes the model's input from each pair. */
export type PairTokenizer = (
  pairs: readonly TextPair[],
  options: { readonly maxLength: number; readonly prompt: string; readonly signal: AbortSignal },
) => Promise<TokenizedText[]>;
