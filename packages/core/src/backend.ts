/**
 * What a backend implements: the whole contract, in one file. `backendContract` of `@sentvec/testing` proves an
 * implementation. Data (`TokenBatch`, `TokenEmbeddings`, `Head`) are described in `types.ts`.
 */
import type { Head, Matrix, ModelFiles, TokenBatch, TokenEmbeddings } from './types.ts';

/** A runtime that can execute encoders. */
export interface Backend {
  /**
   * Version of this interface. `loadEmbedder` refuses a backend of another version: a change that breaks
   * implementations raises it.
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
   * Token embeddings of a short batch, computed in another way than the encoder's. The self-check compares with them
   * when the model folder holds no values of its own. `plainReference` of `@sentvec/architectures` serves any backend.
   * A reason, when there is no such way, or it would cost more than it is worth (a download, minutes).
   */
  reference?(model: ModelFiles, batch: TokenBatch): Promise<TokenEmbeddings | { readonly reason: string }>;
}

/** Whether a backend can work here; when not, why, in words that say what to do. */
export type Availability =
  | { readonly available: true; readonly device: string }
  | { readonly available: false; readonly reason: string };

/** Options of {@link Backend.load}. */
export interface LoadOptions {
  /**
   * Whether the encoder is for pairs of texts, of a reranker: its batches may have `typeIds`, and an ONNX file may give
   * the scores of a pair (`logits`) instead of token embeddings; see {@link Encoder.pooledOutput}.
   * @default false: batches without `typeIds`
   */
  readonly pairs?: boolean | undefined;
  /** Cancels the loading. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called with one sentence when something works differently than asked (for example, when a provider is missing).
   * @default `process.emitWarning` or `console.warn`
   */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** The second part of a model: a vector in its context for each token. */
export interface Encoder {
  /** Width of a token's vector; 0 for a file that gives nothing but a `pooledOutput`. */
  readonly hiddenSize: number;
  /** The longest text, in tokens, that the encoder has positions for. `Infinity` when it has no limit. */
  readonly maxPositions: number;
  /** Number of token ids that it has weights for; `undefined` when that is not known. */
  readonly vocabularySize?: number | undefined;
  /**
   * How many batches it computes at once. The pipeline has twice as many in flight, so that none waits for the next.
   */
  readonly concurrency: number;
  /** The tokens (rows × cols) of a batch at which it works best. The caller's choice wins. */
  readonly batchTokens: number;
  /**
   * The file of the model that its weights come from, when that is not the standard one (such as a quantized variant). The
   * fingerprint then hashes this file instead of `model.safetensors` or `onnx/model.onnx`.
   */
  readonly weightsFile?: string | undefined;
  /**
   * How far rounding on its device may take a token's vector from the exact one, as a share of that vector's length.
   * The self-check refuses a larger difference.
   * @default 5e-5, for float32 on a CPU
   */
  readonly roundingError?: number | undefined;
  /**
   * The vector of a whole text that the model's own file computes, where it does so (the output `sentence_embedding` of
   * an ONNX file, or `logits` for pairs), and its length. `encodePooled` gives it for a head whose pooling has this
   * `graphOutput`.
   */
  readonly pooledOutput?: { readonly name: string; readonly size: number } | undefined;
  /**
   * Token embeddings of a batch: row `r * batch.cols + c` of the result belongs to position c of text r. Positions with
   * mask 0 are computed like all others, but no token attends to them: the expanded queries of ColBERT use such
   * positions. A text's embeddings do not depend on its batch-mates beyond rounding. May be called concurrently. A
   * batch without rows gives no rows. The batch's arrays are neither changed nor transferred.
   * @throws SentvecError `disposed`, `aborted`, `backend-failed`
   */
  encode(batch: TokenBatch, options?: EncodeOptions): Promise<TokenEmbeddings>;
  /**
   * The final vectors in one go, for a backend that pools on its own device: the same numbers as `encode` with the head
   * applied, which with a pooling that is `perToken` are a row for each token that takes part. `undefined` when it
   * cannot do this head: the pipeline then calls `encode` and applies the head itself.
   * @throws SentvecError as {@link Encoder.encode}
   */
  encodePooled?(batch: TokenBatch, head: Head, options?: EncodePooledOptions): Promise<Matrix | undefined>;
  /** Frees everything. May be called twice. */
  dispose(): Promise<void>;
}

/** Options of {@link Encoder.encode}. */
export interface EncodeOptions {
  /** Ends the computation, as soon as the backend can. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link Encoder.encodePooled}. */
export interface EncodePooledOptions extends EncodeOptions {
  /**
   * Which tokens take part in pooling, in the shape of `batch.mask`. It may include tokens to which no token attends.
   * @default `batch.mask`
   */
  readonly poolingMask?: Int32Array | undefined;
}
