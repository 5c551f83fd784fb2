import type { Encoder } from '../backend.ts';
import type { SelfCheckResult, Head, Matrix, ModelFiles, SimilarityFunction, Tokenizer } from '../types.ts';

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
  /** Anything assumed on the user's behalf, in sentences: mean pooling for a folder that names none, say. */
  readonly notes: readonly string[];
}

/** Options of {@link Embedder.embed} and {@link Embedder.embedStream}. */
export interface EmbedOptions {
  /** Name of one of the model's prompts. Default: the model's default prompt, if it has one. `null`: none. */
  readonly prompt?: string | null | undefined;
  /** A prompt of your own, put before each text. Excludes `prompt`. */
  readonly promptText?: string | undefined;
  /**
   * Keeps the first entries of each vector; normalizes again when the model normalizes. Default: the model's
   * `truncate_dim`.
   */
  readonly truncateDim?: number | undefined;
  /** Tokens (rows × longest) of a batch. Default: the backend's preference. */
  readonly batchTokens?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch with what is done so far. */
  readonly onProgress?: ((progress: { readonly rows: number; readonly tokens: number }) => void) | undefined;
}

/** Vectors of an array of texts: row i belongs to text i. */
export interface Embedded {
  readonly vectors: Matrix;
  readonly receipt: Receipt;
}

/** One text's vector, from a stream. */
export interface StreamedVector {
  readonly row: number;
  readonly text: string;
  readonly vector: Float32Array;
  readonly tokens: number;
  readonly truncated: boolean;
}

/** A model that is ready: four parts in a row. */
export interface Embedder {
  /** How the model was named. */
  readonly model: ModelFiles;
  /** Length of a vector, before any `truncateDim`. */
  readonly dimension: number;
  /** The most tokens of a text that are read; more are cut. */
  readonly maxLength: number;
  readonly tokenizer: Tokenizer;
  readonly encoder: Encoder;
  readonly head: Head;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  readonly similarityFunction: SimilarityFunction;
  /**
   * How the check of the backend ended when the model was loaded. `undefined` when there was none to make, or it was
   * turned off.
   */
  readonly selfCheck?: SelfCheckResult | undefined;
  /** @throws SentvecError `invalid-text` (details.row), `invalid-argument`, `aborted`, `disposed`, `backend-failed` */
  embed(texts: readonly string[], options?: EmbedOptions): Promise<Embedded>;
  /** In the order of `texts`, in constant memory: reads ahead by a bounded window. */
  embedStream(texts: AsyncIterable<string> | Iterable<string>, options?: EmbedOptions): AsyncIterable<StreamedVector>;
  /**
   * Names the space of the vectors: a hash of weights, tokenizer, pooling, projections, prompt, dimension. Vectors with
   * different fingerprints must not be compared. `parts` has a hash for each, to say what differs.
   */
  fingerprint(options?: Pick<EmbedOptions, 'prompt' | 'promptText' | 'truncateDim'>): Promise<Fingerprint>;
  dispose(): Promise<void>;
}

/** See {@link Embedder.fingerprint}. */
export interface Fingerprint {
  /** Hexadecimal SHA-256 over the parts. */
  readonly hash: string;
  readonly parts: Readonly<
    Record<'weights' | 'tokenizer' | 'pooling' | 'projections' | 'prompt' | 'dimension', string>
  >;
}
