/**
 * What a backend implements: the whole contract, in one file. `backendContract` of `@sentvec/testing` proves an
 * implementation. The data types (`TokenBatch`, `TokenEmbeddings`, `Head`) are in `types.ts`.
 */
import type { Head, Matrix, ModelFiles, TokenBatch, TokenEmbeddings } from './types.ts';

/** A runtime that can execute encoders. */
export interface Backend {
  /**
   * Version of this interface. Every change that breaks implementations increases it, and `loadEmbedder` refuses a
   * backend with another version.
   */
  readonly specificationVersion: 1;
  /** For example `onnx`, `tfjs`, `webgpu`. */
  readonly name: string;
  /** Whether the backend can work on this machine. Never throws. */
  isAvailable(): Promise<Availability>;
  /**
   * Reads the encoder of a model folder and makes it ready to run.
   * @throws SentvecError `invalid-model`, `unsupported-model`, `backend-unavailable`, `backend-failed`
   */
  load(model: ModelFiles, options?: LoadOptions): Promise<Encoder>;
  /**
   * Token embeddings of a short batch, computed independently of the encoder. The self-check compares the encoder's
   * output with them when the model folder contains no expected values. `plainReference` of `@sentvec/architectures`
   * implements this for any backend. Resolves to a `reason` when there is no independent computation, or when it would
   * be too expensive (a download, minutes of work).
   */
  reference?(model: ModelFiles, batch: TokenBatch): Promise<TokenEmbeddings | { readonly reason: string }>;
}

/** Whether a backend can run on this machine. If not, `reason` says why and what to do about it. */
export type Availability =
  | { readonly available: true; readonly device: string }
  | { readonly available: false; readonly reason: string };

/** Options of {@link Backend.load}. */
export interface LoadOptions {
  /**
   * Whether the encoder reads pairs of texts, as in a reranker: batches may then have `typeIds`, and an ONNX file may
   * output the scores of the pairs (`logits`) instead of token embeddings; see {@link Encoder.pooledOutput}.
   * @default false: batches without `typeIds`
   */
  readonly pairs?: boolean | undefined;
  /** Cancels the loading. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called with one sentence when the backend falls back to something that was not requested, for example because an
   * execution provider is missing.
   * @default `process.emitWarning` or `console.warn`
   */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** The second of a model's four parts: computes a contextual vector for each token. */
export interface Encoder {
  /** Length of a token's vector; 0 for an ONNX file whose only output is the `pooledOutput`. */
  readonly hiddenSize: number;
  /** The most tokens that a text may have. `Infinity` when there is no limit. */
  readonly maxPositions: number;
  /** Number of token ids that the encoder has embeddings for; `undefined` when it is not known. */
  readonly vocabularySize?: number | undefined;
  /**
   * How many batches the encoder computes at once. The pipeline keeps twice as many in flight, so that the encoder
   * never waits for a batch.
   */
  readonly concurrency: number;
  /**
   * Size of a batch, in tokens (rows × cols), at which the encoder is fastest. The `batchTokens` option of a call
   * overrides it.
   */
  readonly batchTokens: number;
  /**
   * The model file that the weights were read from, when that is not the standard one (such as a quantized variant).
   * The fingerprint then hashes this file instead of `model.safetensors` or `onnx/model.onnx`.
   */
  readonly weightsFile?: string | undefined;
  /**
   * The largest error of a token's vector that rounding on the device can cause, relative to the length of the vector.
   * The self-check refuses a larger difference.
   * @default 5e-5, for float32 on a CPU
   */
  readonly roundingError?: number | undefined;
  /**
   * Name and size of the output with which the model's own graph pools a whole text, if it has one:
   * `sentence_embedding` of an ONNX file, or `logits` for pairs. `encodePooled` returns this output for a head whose
   * pooling has the same name as `graphOutput`.
   */
  readonly pooledOutput?: { readonly name: string; readonly size: number } | undefined;
  /**
   * Token embeddings of a batch: row `r * batch.cols + c` of the result belongs to position c of text r. Positions with
   * mask 0 are computed like all others, but no token attends to them: the expanded queries of ColBERT use such
   * positions. Apart from rounding, a text's embeddings do not depend on the other texts of the batch. May be called
   * concurrently. A batch without rows gives no rows. The batch's arrays are neither changed nor transferred.
   * @throws SentvecError `disposed`, `aborted`, `backend-failed`
   */
  encode(batch: TokenBatch, options?: EncodeOptions): Promise<TokenEmbeddings>;
  /**
   * Encodes a batch and applies the head on the backend's own device. The result equals `encode` followed by the head:
   * a row for each text or, with a `perToken` pooling, a row for each pooled token. Resolves to `undefined` when the
   * backend does not support this head: the pipeline then calls `encode` and applies the head itself.
   * @throws SentvecError as {@link Encoder.encode}
   */
  encodePooled?(batch: TokenBatch, head: Head, options?: EncodePooledOptions): Promise<Matrix | undefined>;
  /** Frees all resources. May be called twice. */
  dispose(): Promise<void>;
}

/** Options of {@link Encoder.encode}. */
export interface EncodeOptions {
  /** Cancels the computation as soon as the backend can stop. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link Encoder.encodePooled}. */
export interface EncodePooledOptions extends EncodeOptions {
  /**
   * Which tokens are pooled: 1 or 0 for each, in the shape of `batch.mask`. May include tokens to which no token
   * attends.
   * @default `batch.mask`
   */
  readonly poolingMask?: Int32Array | undefined;
}
