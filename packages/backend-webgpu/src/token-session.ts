// A session of onnxruntime-web that gives token embeddings.
import { tokenInputs, tokenOutput } from '@sentvec/architectures/token-values';
import type { TokenBatch } from '@sentvec/core';
import { InferenceSession, Tensor } from 'onnxruntime-web/webgpu';
import type { ModelSource } from './model-source.ts';

let last: Promise<unknown> = Promise.resolve();

/**
 * Runs one task after the other. The page has one onnxruntime, which loses its state when a call begins while another
 * waits for the GPU.
 */
function oneAtATime<T>(work: () => Promise<T>): Promise<T> {
  const result = last.then(work);
  last = result.catch(() => {});
  return result;
}

/** Token embeddings, where the session left them. */
export type TokenTensor = Tensor;

/** A session of onnxruntime-web that gives token embeddings, whatever its inputs and outputs are called. */
export class TokenSession {
  readonly hiddenSize: number;
  readonly #session: InferenceSession;
  readonly #output: string;

  private constructor(session: InferenceSession, output: string, hiddenSize: number) {
    this.#session = session;
    this.#output = output;
    this.hiddenSize = hiddenSize;
  }

  /**
   * Opens the model and tries it with one token.
   * @param device where to compute, and where to leave the token embeddings; `undefined`: WebAssembly
   * @throws Error that says what does not fit
   */
  static async open(source: ModelSource, device: GPUDevice | undefined): Promise<TokenSession> {
    const session = await oneAtATime(() => InferenceSession.create(source.model, sessionOptions(source, device)));
    try {
      const output = tokenOutput(session.outputMetadata);
      const { dims, type } = await use(session, output, singleToken, async (probe) => probe);
      if (type !== 'float32' || dims.length !== 3) {
        throw new Error(`Its output "${output}" is ${type} [${dims.join(', ')}], not float32 [texts, tokens, width].`);
      }
      return new TokenSession(session, output, dims[2]!);
    } catch (error) {
      await oneAtATime(() => session.release());
      throw error;
    }
  }

  /**
   * Computes token embeddings, `[rows, cols, hiddenSize]`, and lets `read` make something of them before they are
   * freed.
   * @param before called right before the session runs; it may throw
   */
  use<T>(batch: TokenBatch, before: () => void, read: (tokens: TokenTensor) => Promise<T>): Promise<T> {
    return use(this.#session, this.#output, batch, read, before);
  }

  release(): Promise<void> {
    return oneAtATime(() => this.#session.release());
  }
}

const singleToken: TokenBatch = { ids: Int32Array.of(0), mask: Int32Array.of(1), rows: 1, cols: 1 };

function use<T>(
  session: InferenceSession,
  output: string,
  batch: TokenBatch,
  read: (tokens: TokenTensor) => Promise<T>,
  before?: () => void,
): Promise<T> {
  return oneAtATime(async () => {
    before?.();
    const feeds = tokenInputs(session.inputMetadata, batch).map(
      ({ name, type, data, dims }) => [name, new Tensor(type, data, dims)] as const,
    );
    const { [output]: tokens } = await session.run(Object.fromEntries(feeds), [output]);
    try {
      return await read(tokens as TokenTensor);
    } finally {
      tokens!.dispose();
    }
  });
}

function sessionOptions({ externalData }: ModelSource, device: GPUDevice | undefined): InferenceSession.SessionOptions {
  return {
    executionProviders: device === undefined ? ['wasm'] : [{ name: 'webgpu', device }],
    ...(device !== undefined && { preferredOutputLocation: 'gpu-buffer' }),
    ...(externalData.length > 0 && { externalData }),
    graphOptimizationLevel: 'all',
    // A memory pattern would be stored for every combination of rows and length ever seen.
    enableMemPattern: false,
    logSeverityLevel: 3,
  };
}
