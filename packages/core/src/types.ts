/** A dense matrix, row-major: entry (r, c) is `data[r * cols + c]`. */
export interface Matrix {
  readonly data: Float32Array;
  readonly rows: number;
  readonly cols: number;
}

/**
 * Token ids of several texts, padded to one length. Row-major, `rows` texts by `cols` positions.
 * `mask` is 1 for a real token and 0 for padding. When pooling sees a batch, tokens that must not take part in it
 * (a prompt with `include_prompt: false`) are 0 too.
 */
export interface TokenBatch {
  readonly ids: Int32Array;
  readonly mask: Int32Array;
  readonly rows: number;
  readonly cols: number;
}

/**
 * One vector for each token of a batch: `rows` = batch.rows × batch.cols, `cols` = hidden size. Rows at padding are
 * arbitrary.
 */
export interface TokenEmbeddings extends Matrix {}

/** The token ids of one text, special tokens included. */
export interface TokenizedText {
  /** At most `maxLength` ids; a cut keeps the special tokens. */
  readonly ids: Int32Array;
  /** Number of ids before the cut. */
  readonly length: number;
  /** `length > ids.length`. */
  readonly truncated: boolean;
}

/** Options of {@link Tokenizer.encode}. */
export interface TokenizeOptions {
  /** The most ids that a text may have, special tokens included. */
  readonly maxLength: number;
  /** Whether to add the special tokens of the model. Default true. */
  readonly addSpecialTokens?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Turns texts into token ids. All implementations give identical ids for the same `tokenizer.json`. */
export interface Tokenizer {
  /** For example `huggingface-js` or `huggingface-rust`. */
  readonly name: string;
  /** One more than the largest id. */
  readonly vocabularySize: number;
  /** The id that fills a batch up to its length. */
  readonly paddingId: number;
  /** The ids that `addSpecialTokens` puts before and after those of a text. */
  readonly specialTokens: { readonly prefix: readonly number[]; readonly suffix: readonly number[] };
  /** Never blocks the event loop for long, whatever the number and size of texts. */
  encode(texts: readonly string[], options: TokenizeOptions): Promise<TokenizedText[]>;
  dispose(): Promise<void>;
}

/** The second part of a model: a vector in its context for each token. This is what a backend supplies. */
export interface Encoder {
  /** Width of a token's vector. */
  readonly hiddenSize: number;
  /** The longest text, in tokens, that the encoder has positions for. `Infinity` when it has no limit. */
  readonly maxPositions: number;
  /** Number of token ids that it has weights for, where it knows. */
  readonly vocabularySize?: number | undefined;
  /** How many batches it works on at once; the pipeline keeps that many, and one more each, in flight. */
  readonly concurrency: number;
  /** The tokens (rows × cols) of a batch at which it works best. The caller's choice wins. */
  readonly batchTokens: number;
  /**
   * The file of the model that it took its weights from, when that is not the usual one (a quantized variant, say): it
   * then stands for the weights in the fingerprint, instead of `model.safetensors` or `onnx/model.onnx`.
   */
  readonly weightsFile?: string | undefined;
  /**
   * The largest difference of a token's vector from the exact one, in lengths of that vector, that rounding explains on
   * its device: the self-check refuses more. Default 5e-5, for float32 on a processor.
   */
  readonly roundingError?: number | undefined;
  /**
   * Token embeddings of a batch. A text's embeddings do not depend on its batch-mates beyond rounding. May be called
   * concurrently. Batches with no rows give no rows. The batch's arrays are left as they are: not changed, not
   * transferred.
   * @throws SentvecError `disposed`, `aborted`, `backend-failed`
   */
  encode(batch: TokenBatch, options?: EncodeOptions): Promise<TokenEmbeddings>;
  /**
   * The final vectors in one go, for a backend that pools on its own device. Returns `undefined` when it cannot do this
   * head: then the pipeline calls `encode` and applies the head itself. Must give the same numbers.
   * `poolingMask` has the shape of `batch.mask` and says which tokens take part in pooling.
   */
  encodePooled?(
    batch: TokenBatch,
    head: Head,
    options?: EncodeOptions & { readonly poolingMask?: Int32Array },
  ): Promise<Matrix | undefined>;
  /** Frees everything. May be called twice. */
  dispose(): Promise<void>;
}

/** Options of {@link Encoder.encode}. */
export interface EncodeOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Whether a backend can work here; when not, why, in words that say what to do. */
export type Availability =
  | { readonly available: true; readonly device: string }
  | { readonly available: false; readonly reason: string };

/**
 * A runtime that can execute encoders. The one plug that backends implement; see `backendContract` in
 * `@sentvec/testing`.
 */
export interface Backend {
  /** For example `onnx`, `tfjs`, `webgpu`. */
  readonly name: string;
  isAvailable(): Promise<Availability>;
  /**
   * Reads the encoder of a model folder and makes it ready to run.
   * @throws SentvecError `invalid-model`, `unsupported-model`, `backend-unavailable`, `backend-failed`
   */
  load(model: ModelFiles, options?: LoadOptions): Promise<Encoder>;
  /**
   * Token embeddings of a short batch, computed in another way than the encoder's: what the self-check compares with when
   * the model folder holds no values of its own. `plainReference` of `@sentvec/architectures` serves any backend. A
   * reason, when there is no such way, or it would cost more than it is worth (a download, minutes).
   */
  reference?(model: ModelFiles, batch: TokenBatch): Promise<TokenEmbeddings | { readonly reason: string }>;
}

/** What became of the selfCheck: the check, when a model is loaded, of what the backend computes. */
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

/** Options of {@link Backend.load}. */
export interface LoadOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * Called with one sentence when something works differently than asked (a provider that is missing, say). Default:
   * `process.emitWarning` or `console.warn`.
   */
  readonly onWarning?: ((message: string) => void) | undefined;
}

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
  readonly modes?: readonly PoolingMode[];
  /** Whether the tokens of a prompt take part. Default true. */
  readonly includePrompt?: boolean;
  /** What distinguishes this pooling in a fingerprint, besides its name and modes. JSON values. */
  readonly config?: Readonly<Record<string, unknown>>;
  outputSize(hiddenSize: number): number;
  /** One row for each row of `batch`, of `outputSize(tokens.cols)` columns. A row without any token gives zeros. */
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
      readonly bias?: Float32Array;
      readonly activation: Activation;
      readonly residual?: boolean;
      readonly residualWeight?: Matrix;
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
