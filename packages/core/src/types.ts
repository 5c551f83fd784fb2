// The basic types: matrices, batches of tokens, the four parts of a model (tokenizer, encoder, pooling, projections),
// and its files.

/** A dense matrix, row-major: entry (r, c) is `data[r * cols + c]`. */
export interface Matrix {
  readonly data: Float32Array;
  readonly rows: number;
  readonly cols: number;
}

/**
 * Token ids of several texts, padded to the same length. Row-major, `rows` texts by `cols` positions. For an encoder,
 * `mask` is the attention mask: 1 for tokens, 0 for padding. For a pooling, it is the pooling mask: it has 0 for the
 * tokens of a prompt with `include_prompt: false`, and 1 for the expansion tokens of a query even if no token attends
 * to them.
 */
export interface TokenBatch {
  readonly ids: Int32Array;
  readonly mask: Int32Array;
  /**
   * Token type ids of pairs of texts: 0 for tokens of the first text, 1 for those of the second.
   * @default all 0
   */
  readonly typeIds?: Int32Array | undefined;
  readonly rows: number;
  readonly cols: number;
}

/**
 * One vector for each token of a batch: `rows` = batch.rows × batch.cols, `cols` = hidden size. Rows at padding are
 * arbitrary.
 */
export interface TokenEmbeddings extends Matrix {}

/** The token ids of one text, or of a pair of texts, special tokens included. */
export interface TokenizedText {
  /** At most `maxLength` ids; truncation keeps the special tokens. */
  readonly ids: Int32Array;
  /** See {@link TokenBatch.typeIds}; as long as `ids`. */
  readonly typeIds?: Int32Array | undefined;
  /** Number of ids before truncation. */
  readonly length: number;
  /** `length > ids.length`. */
  readonly truncated: boolean;
  /** See {@link TokenizeOptions.wordLimit}. */
  readonly lengthAtLimit?: number | undefined;
  /**
   * Number of leading ids with attention mask 1. The ids after them are expansion tokens of a query, which get a vector
   * although no token attends to them.
   * @default all
   */
  readonly attended?: number | undefined;
  /**
   * The pooling mask: 1 for each id whose vector is pooled, 0 for the others.
   * @default all
   */
  readonly pooled?: Uint8Array | undefined;
}

/** Options of {@link Tokenizer.encode}. */
export interface TokenizeOptions {
  /** The most ids that a text may have, special tokens included. */
  readonly maxLength: number;
  /**
   * Whether to add the special tokens of the model.
   * @default true
   */
  readonly addSpecialTokens?: boolean | undefined;
  /**
   * For texts of at least this many tokens, `lengthAtLimit` of the result is the number of tokens up to the end of the
   * word that contains token number `wordLimit`. There the library `tokenizers` stops reading a text of a pair.
   * @default `lengthAtLimit` is not computed
   */
  readonly wordLimit?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Turns texts into token ids. All implementations give identical ids for the same `tokenizer.json`. */
export interface Tokenizer {
  /** For example `javascript` or `huggingface-rust`. */
  readonly name: string;
  /** One more than the largest id. */
  readonly vocabularySize: number;
  /** The id of padding tokens. */
  readonly paddingId: number;
  /** The ids that `addSpecialTokens` adds before and after the ids of a text. */
  readonly specialTokens: { readonly prefix: readonly number[]; readonly suffix: readonly number[] };
  /**
   * Tokenizes texts without blocking the event loop for long, even for many or long texts.
   * @throws SentvecError `invalid-text` when a text cannot be tokenized; `details.row` is its index among the texts
   */
  encode(texts: readonly string[], options: TokenizeOptions): Promise<TokenizedText[]>;
  dispose(): Promise<void>;
}

/** The result of the self-check, which tests when a model is loaded whether the backend computes the right vectors. */
export type SelfCheckResult =
  | {
      readonly state: 'passed';
      /** Source of the expected values. `stored`: the model folder. `computed`: the backend's slow reference. */
      readonly reference: 'stored' | 'computed';
      /** The largest error of a vector, relative to its length. */
      readonly difference: number;
      /** The largest difference that is accepted. */
      readonly tolerance: number;
      readonly milliseconds: number;
    }
  | { readonly state: 'skipped'; readonly reason: string };

/**
 * The files of a model from any source: a folder, a URL, the hub, or memory. Paths are relative, with `/`, and cannot
 * lead out of the model.
 */
export interface ModelFiles {
  /** Name of the model, also for messages: a folder, `org/name`, or a URL. */
  readonly name: string;
  /** The exact version, if the source has versions (a commit on the hub). */
  readonly revision?: string | undefined;
  /** The local folder with the files, if there is one. A backend can then open large files by their paths. */
  readonly directory?: string | undefined;
  /** The paths of all files, sorted. */
  list(): Promise<readonly string[]>;
  /** @throws SentvecError `invalid-model` when there is no such file */
  read(path: string): Promise<Uint8Array>;
  /** Hexadecimal SHA-256 of a file, if the source can compute it without reading the whole file into memory. */
  sha256?(path: string): Promise<string>;
  /** Size of a file in bytes, if the source knows it without reading the file. */
  size?(path: string): Promise<number>;
  /**
   * Opens a file for reading parts of it, if the source supports this (a local folder).
   * @throws SentvecError `invalid-model` when there is no such file
   */
  openFile?(path: string): Promise<FileParts>;
  /**
   * Opens another model of the same source by its name, if the source has several (a hub).
   * @throws SentvecError `model-not-found`, `model-access-denied`, `download-failed`
   */
  readonly related?: ((name: string) => Promise<ModelFiles>) | undefined;
}

/** A file that is read in parts. */
export interface FileParts {
  /** Size of the file in bytes. */
  readonly size: number;
  /**
   * The bytes from `begin` up to, but not including, `end`. Reads synchronously, so it blocks the thread.
   * @throws SentvecError `io-failed`, also when the file was changed since it was opened
   */
  read(this: void, begin: number, end: number): Uint8Array;
}

/** The built-in pooling modes, with their names in sentence-transformers. */
export type PoolingMode = 'cls' | 'max' | 'mean' | 'mean_sqrt_len_tokens' | 'weightedmean' | 'lasttoken';

/** The third part of a model: combines the token vectors of a text into one vector. */
export interface Pooling {
  readonly name: string;
  /**
   * For built-in poolings: the modes whose results are concatenated, in order. A backend may compute them on its
   * device.
   */
  readonly modes?: readonly PoolingMode[] | undefined;
  /**
   * Whether the tokens of a prompt are pooled.
   * @default true
   */
  readonly includePrompt?: boolean | undefined;
  /** If the model's own ONNX graph pools: the name of its output. Only a backend can compute it. */
  readonly graphOutput?: string | undefined;
  /**
   * Whether tokens are not pooled, as in late-interaction models: `pool` then gives a row for each token with mask 1,
   * text by text, instead of a row for each text.
   */
  readonly perToken?: boolean | undefined;
  /** Further settings that affect the vectors, for the fingerprint. JSON values. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
  outputSize(hiddenSize: number): number;
  /**
   * Pools a batch: one row for each row of `batch`, with `outputSize(tokens.cols)` columns; a row without any token gives zeros. With
   * `perToken` one for each token whose mask is 1.
   */
  pool(tokens: TokenEmbeddings, batch: TokenBatch): Matrix;
}

/** Activation functions of dense projections, with the names of their classes in `torch.nn`. */
export type Activation =
  | 'Identity'
  | 'Tanh'
  | 'ReLU'
  | 'GELU'
  | 'Sigmoid'
  | 'SiLU'
  | 'LeakyReLU'
  | 'ELU'
  | 'Softplus'
  | 'Softsign'
  | 'Hardtanh'
  | 'ReLU6'
  | 'Mish'
  | 'SELU'
  | 'LogSigmoid'
  | 'Tanhshrink'
  | 'Hardswish'
  | 'Hardsigmoid'
  | 'CELU'
  | 'RReLU'
  | 'Hardshrink'
  | 'Softshrink'
  | 'Softmax'
  | 'Softmin'
  | 'LogSoftmax';

/**
 * The fourth part of a model: a transformation of vectors. It is plain data, so that every backend and the trainer can
 * execute it.
 */
export type Projection =
  /**
   * `activation(x · weightᵀ + bias)`. With `residual`, `x` is added to it, multiplied with `residualWeight` if the
   * sizes differ. `weight` has one row for each output.
   */
  | {
      readonly kind: 'dense';
      readonly weight: Matrix;
      readonly bias?: Float32Array | undefined;
      readonly activation: Activation;
      readonly residual?: boolean | undefined;
      readonly residualWeight?: Matrix | undefined;
    }
  /** Divides by the Euclidean norm, at least 1e-12. */
  | { readonly kind: 'normalize' }
  | {
      readonly kind: 'layer-norm';
      readonly weight: Float32Array;
      readonly bias: Float32Array;
      readonly epsilon: number;
    }
  /** Keeps the first `size` entries. */
  | { readonly kind: 'truncate'; readonly size: number };

/** The head of a model: a pooling, followed by projections. */
export interface Head {
  readonly pooling: Pooling;
  readonly projections: readonly Projection[];
}

/**
 * The functions that compare two vectors, with their names in sentence-transformers. Distances are negated, so that
 * larger is always nearer.
 */
export type SimilarityFunction = 'cosine' | 'dot' | 'euclidean' | 'manhattan';
