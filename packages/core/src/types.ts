// The vocabulary of core: matrices, batches of tokens, and the parts that a model is made from.

/** A dense matrix, row-major: entry (r, c) is `data[r * cols + c]`. */
export interface Matrix {
  readonly data: Float32Array;
  readonly rows: number;
  readonly cols: number;
}

/**
 * Token ids of several texts, padded to one length. Row-major, `rows` texts by `cols` positions.
 * `mask` is 1 for a token that the others attend to and 0 for padding. When pooling sees a batch, it is 1 for the tokens
 * that take part: not for those of a prompt with `include_prompt: false`, but for those that expand a query, although
 * none attends to them.
 */
export interface TokenBatch {
  readonly ids: Int32Array;
  readonly mask: Int32Array;
  /**
   * The type of each token in pairs of texts, by which a model tells the two apart: 0 for the first, 1 for the second.
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
  /** At most `maxLength` ids; a cut keeps the special tokens. */
  readonly ids: Int32Array;
  /** See {@link TokenBatch.typeIds}; as long as `ids`. */
  readonly typeIds?: Int32Array | undefined;
  /** Number of ids before the cut. */
  readonly length: number;
  /** `length > ids.length`. */
  readonly truncated: boolean;
  /** See {@link TokenizeOptions.wordLimit}. */
  readonly lengthAtLimit?: number | undefined;
  /**
   * How many of the leading ids the others attend to. Those after them, the expansion of a query, get a vector
   * nevertheless.
   * @default all
   */
  readonly attended?: number | undefined;
  /**
   * 1 for each id whose vector takes part in pooling, 0 for the others.
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
   * For texts of at least this many tokens, `lengthAtLimit` of the result says how many there are up to the end of the
   * word with which they are reached: where the library `tokenizers` stops reading a text of a pair.
   * @default it is not counted
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
  /** The id that fills a batch up to its length. */
  readonly paddingId: number;
  /** The ids that `addSpecialTokens` puts before and after those of a text. */
  readonly specialTokens: { readonly prefix: readonly number[]; readonly suffix: readonly number[] };
  /**
   * Never blocks the event loop for long, whatever the number and size of texts.
   * @throws SentvecError `invalid-text` when a text cannot be tokenized; `details.row` is its index among the texts
   */
  encode(texts: readonly string[], options: TokenizeOptions): Promise<TokenizedText[]>;
  dispose(): Promise<void>;
}

/** The outcome of the self-check: whether the backend computes the right values, tested when a model is loaded. */
export type SelfCheckResult =
  | {
      readonly state: 'passed';
      /** `stored`: the values are those of the model folder. `computed`: by the backend's slow reference. */
      readonly reference: 'stored' | 'computed';
      /** The largest difference of a vector, in lengths of that vector. */
      readonly difference: number;
      /** The difference beyond which the backend would have been refused. */
      readonly tolerance: number;
      readonly milliseconds: number;
    }
  | { readonly state: 'skipped'; readonly reason: string };

/**
 * The files of a model, wherever they are: a folder, a URL, the hub, memory. Paths are relative, with `/`, and never
 * leave the model.
 */
export interface ModelFiles {
  /** How a person would name the model: a folder, `org/name`, a URL. */
  readonly name: string;
  /** The exact version, where the source has versions (a commit of the hub). */
  readonly revision?: string | undefined;
  /** The local folder that holds the files, where there is one. A backend may then open large files by path. */
  readonly directory?: string | undefined;
  /** All files, sorted. */
  list(): Promise<readonly string[]>;
  /** @throws SentvecError `invalid-model` when there is no such file */
  read(path: string): Promise<Uint8Array>;
  /** Hexadecimal SHA-256 of a file, from a source that can tell it without holding the file in memory. */
  sha256?(path: string): Promise<string>;
  /** Bytes of a file, from a source that can tell it without reading the file. */
  size?(path: string): Promise<number>;
  /**
   * A file to read parts of, from a source that need not read all of it for that: a folder on this disk.
   * @throws SentvecError `invalid-model` when there is no such file
   */
  openFile?(path: string): Promise<FileParts>;
  /**
   * Another model of the same source, by its name, where the source has several (a hub).
   * @throws SentvecError `model-not-found`, `model-access-denied`, `download-failed`
   */
  readonly related?: ((name: string) => Promise<ModelFiles>) | undefined;
}

/** A file that is read in parts. */
export interface FileParts {
  /** Bytes of the file. */
  readonly size: number;
  /**
   * The bytes from `begin` to before `end`. Blocks the thread while the disk reads.
   * @throws SentvecError `io-failed`, also when the file was changed since it was opened
   */
  read(this: void, begin: number, end: number): Uint8Array;
}

/** The built-in ways to make one vector of a text's token vectors, by their names in sentence-transformers. */
export type PoolingMode = 'cls' | 'max' | 'mean' | 'mean_sqrt_len_tokens' | 'weightedmean' | 'lasttoken';

/** The third part of a model: one vector of a text's token vectors. */
export interface Pooling {
  readonly name: string;
  /**
   * Set on built-in poolings: the modes whose results are concatenated, in order. A backend may compute them on its
   * device.
   */
  readonly modes?: readonly PoolingMode[] | undefined;
  /**
   * Whether the tokens of a prompt take part.
   * @default true
   */
  readonly includePrompt?: boolean | undefined;
  /** Set when the vectors are an output of the model's own file: its name. Only a backend can give them. */
  readonly graphOutput?: string | undefined;
  /**
   * Set when tokens are not pooled: `pool` gives a row for each token that takes part, text by text, instead of one
   * for each text. So do the models of late interaction.
   */
  readonly perToken?: boolean | undefined;
  /** What distinguishes this pooling in a fingerprint, besides its name and modes. JSON values. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
  outputSize(hiddenSize: number): number;
  /**
   * One row for each row of `batch`, of `outputSize(tokens.cols)` columns; a row without any token gives zeros. With
   * `perToken` one for each token whose mask is 1.
   */
  pool(tokens: TokenEmbeddings, batch: TokenBatch): Matrix;
}

/**
 * Functions that a dense projection may end with: the names of the classes in `torch.nn` that sentence-transformers
 * saves.
 */
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
 * The fourth part of a model, a step from vectors to vectors. Data, so that every backend and the trainer can execute
 * it.
 */
export type Projection =
  /**
   * `activation(x · weightᵀ + bias)`, plus `x` (through `residualWeight` when the sizes differ) with `residual`.
   * `weight` has one row for each output.
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

/** What follows the encoder: a pooling, then projections in order. */
export interface Head {
  readonly pooling: Pooling;
  readonly projections: readonly Projection[];
}

/**
 * How two vectors are compared: the names of sentence-transformers. Distances are negative, so that larger is always
 * nearer.
 */
export type SimilarityFunction = 'cosine' | 'dot' | 'euclidean' | 'manhattan';
