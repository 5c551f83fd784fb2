// A session of onnxruntime-web that gives token embeddings.
import { checkOutputShape, pooledOutput, tokenInputs, tokenOutput } from '@sentvec/architectures/token-values';
import type { Encoder, TokenBatch } from '@sentvec/core';
import { float16ToFloat32 } from '@sentvec/core/head';
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

/** An output of a session, where the session left it. */
export type OutputTensor = Tensor;

/** A session of onnxruntime-web that gives token embeddings, whatever its inputs and outputs are called. */
export class TokenSession {
  readonly hiddenSize: number;
  /** Whether token embeddings are in half precision. */
  readonly isHalfPrecision: boolean;
  /** See `Encoder.pooledOutput`. */
  readonly pooledOutput: Encoder['pooledOutput'];
  readonly #session: InferenceSession;
  /** Of token embeddings; `undefined` for a file of scores. */
  readonly #output: string | undefined;

  private constructor(session: InferenceSession, output: string | undefined, facts: TokenSessionFacts) {
    this.#session = session;
    this.#output = output;
    this.hiddenSize = facts.hiddenSize;
    this.isHalfPrecision = facts.isHalfPrecision;
    this.pooledOutput = facts.pooledOutput;
  }

  /**
   * Opens the model and tries it with one token.
   * @param device where to compute, and where to leave the token embeddings; `undefined`: WebAssembly
   * @throws Error that says what does not fit
   */
  static async open(source: ModelSource, device: GPUDevice | undefined): Promise<TokenSession> {
    const session = await oneAtATime(() => InferenceSession.create(source.model, sessionOptions(source, device)));
    try {
      const name = pooledOutput(session.outputMetadata, source.pairs);
      const size = name && (await use(session, name, singleToken, async (probe) => probe.dims[1]!));
      const pooled = name && size ? { name, size } : undefined;
      // A file of scores need not give token embeddings as well.
      if (source.pairs && pooled !== undefined)
        return new TokenSession(session, undefined, { hiddenSize: 0, isHalfPrecision: false, pooledOutput: pooled });
      const output = tokenOutput(session.outputMetadata);
      const { dims, type } = await use(session, output, singleToken, async (probe) => probe);
      if ((type !== 'float32' && type !== 'float16') || dims.length !== 3)
        throw new Error(`Its output "${output}" is ${type} [${dims.join(', ')}], not numbers [texts, tokens, width].`);
      return new TokenSession(session, output, {
        hiddenSize: dims[2]!,
        isHalfPrecision: type === 'float16',
        pooledOutput: pooled,
      });
    } catch (error) {
      await oneAtATime(() => session.release());
      throw error;
    }
  }

  /**
   * Computes an output and passes it to `read` before it is freed.
   * @param output token embeddings, `[rows, cols, hiddenSize]`, or the vectors of the texts, `[rows, size]`
   * @param before called when the session is free; it may throw
   */
  use<T>(
    output: 'tokens' | 'texts',
    batch: TokenBatch,
    before: () => void,
    read: (values: OutputTensor) => Promise<T>,
  ): Promise<T> {
    const { rows, cols } = batch;
    if (output === 'tokens' && this.#output === undefined)
      throw new Error(`The model's ONNX file gives "${this.pooledOutput!.name}" only, and no token embeddings.`);
    const [name, shape] =
      output === 'tokens'
        ? [this.#output!, [rows, cols, this.hiddenSize]]
        : [this.pooledOutput!.name, [rows, this.pooledOutput!.size]];
    const checked = async (values: OutputTensor): Promise<T> => {
      checkOutputShape(name, values.dims, shape);
      return read(values);
    };
    return use(this.#session, name, batch, checked, before);
  }

  release(): Promise<void> {
    return oneAtATime(() => this.#session.release());
  }
}

interface TokenSessionFacts {
  readonly hiddenSize: number;
  readonly isHalfPrecision: boolean;
  readonly pooledOutput: Encoder['pooledOutput'];
}

/** The numbers of an output, wherever it is. */
export async function numbersOf(output: OutputTensor): Promise<Float32Array> {
  const data = await output.getData();
  if (output.type === 'float32') return data as Float32Array;
  // Half precision comes as the bits of its numbers, or as numbers where JavaScript knows them.
  return data instanceof Uint16Array ? float16ToFloat32(data) : Float32Array.from(data as Float32Array);
}

const singleToken: TokenBatch = { ids: Int32Array.of(0), mask: Int32Array.of(1), rows: 1, cols: 1 };

function use<T>(
  session: InferenceSession,
  output: string,
  batch: TokenBatch,
  read: (values: OutputTensor) => Promise<T>,
  before?: () => void,
): Promise<T> {
  return oneAtATime(async () => {
    before?.();
    const feeds = tokenInputs(session.inputMetadata, batch).map(
      ({ name, type, data, dims }) => [name, new Tensor(type, data, dims)] as const,
    );
    const { [output]: values } = await session.run(Object.fromEntries(feeds), [output]);
    try {
      return await read(values as OutputTensor);
    } finally {
      values!.dispose();
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
