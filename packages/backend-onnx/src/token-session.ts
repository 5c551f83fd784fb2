// A session of onnxruntime-node that computes token embeddings.
import { checkOutputShape, pooledOutput, tokenInputs, tokenOutput } from '@sentvec/architectures/token-values';
import type { TokenBatch } from '@sentvec/core';
import { float16ToFloat32 } from '@sentvec/core/head';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { SessionFacts, SessionSpecification } from './messages.ts';
import type { OnnxRuntime } from './onnx-runtime.ts';

/** A session of onnxruntime that computes token embeddings, with any supported names of inputs and outputs. */
export interface TokenSession extends SessionFacts {
  /** Computes token embeddings, row-major: rows × cols × hiddenSize. */
  encode(batch: TokenBatch): Promise<Float32Array>;
  /**
   * Like `encode`, but the result is in a buffer of the session and valid until the next call. This avoids garbage,
   * which V8 would collect late in a thread without memory pressure.
   */
  encodeInPlace(batch: TokenBatch): Promise<Float32Array>;
  /** Computes the `pooledOutput` of a session that has one: rows × its size. */
  encodeTexts(batch: TokenBatch): Promise<Float32Array>;
  /** Computes all float outputs of the model by name. */
  outputs(batch: TokenBatch): Promise<Readonly<Record<string, Float32Array>>>;
  release(): Promise<void>;
}

/**
 * Opens a model and runs it with one token.
 * @throws Error with the reason why the model cannot be used
 */
export async function openSession(specification: SessionSpecification): Promise<TokenSession> {
  const runtime = await importOnnxRuntime();
  const session = await createSession(runtime, specification);
  const textOutput = pooledOutput(session.outputMetadata, specification.pairs);
  const run = async (batch: TokenBatch, name: string): Promise<Tensor> =>
    (await session.run(feeds(runtime, session, batch), [name]))[name]!;
  const size = textOutput === undefined ? undefined : (await run(singleToken, textOutput)).dims[1];
  // A model with scores need not have token embeddings.
  const output = specification.pairs && textOutput !== undefined ? undefined : tokenOutput(session.outputMetadata);
  const { dims, type } = output === undefined ? scoresAlone : await run(singleToken, output);
  if (!isFloat(type) || dims.length !== 3) {
    throw new Error(
      `Its output "${output}" has the type ${type} and the shape [${dims.join(', ')}]; expected floats of shape [texts, tokens, width].`,
    );
  }
  const hiddenSize = dims[2];
  const numbers = async (batch: TokenBatch, name: string, shape: readonly number[]): Promise<Float32Array> => {
    const tensor = await run(batch, name);
    checkOutputShape(name, tensor.dims, shape);
    return numbersOf(tensor);
  };
  const encode = async (batch: TokenBatch): Promise<Float32Array> => {
    if (output !== undefined) return numbers(batch, output, [batch.rows, batch.cols, hiddenSize]);
    throw new Error(`The ONNX file of the model has only the output "${textOutput}" and no token embeddings.`);
  };
  let space = new Float32Array(0);
  return {
    hiddenSize,
    pooledOutput: textOutput !== undefined && size !== undefined ? { name: textOutput, size } : undefined,
    encode,
    encodeInPlace: async (batch) => {
      if (type !== 'float32' || output === undefined) return encode(batch);
      const dimensions = [batch.rows, batch.cols, hiddenSize];
      const length = batch.rows * batch.cols * hiddenSize;
      if (space.length < length) space = new Float32Array(length);
      const data = space.subarray(0, length);
      await session.run(feeds(runtime, session, batch), { [output]: new runtime.Tensor('float32', data, dimensions) });
      return data;
    },
    encodeTexts: (batch) => numbers(batch, textOutput!, [batch.rows, size!]),
    outputs: async (batch) => {
      const tensors = Object.entries(await session.run(feeds(runtime, session, batch)));
      return Object.fromEntries(
        tensors.filter(([, tensor]) => isFloat(tensor.type)).map(([name, tensor]) => [name, numbersOf(tensor)]),
      );
    },
    release: () => session.release(),
  };
}

/** Imports onnxruntime-node directly, because the thread that started this one has disabled its telemetry. */
export function importOnnxRuntime(): Promise<OnnxRuntime> {
  // oxlint-disable-next-line no-restricted-imports -- see above
  return import('onnxruntime-node');
}

/** Used instead of the token embeddings of a model that has none. */
const scoresAlone = { dims: [1, 1, 0], type: 'float32' } as const;

function createSession(runtime: OnnxRuntime, specification: SessionSpecification): Promise<InferenceSession> {
  const { model, externalData } = specification;
  const options = sessionOptions(specification);
  if (typeof model === 'string') return runtime.InferenceSession.create(model, options);
  return runtime.InferenceSession.create(ownCopy(model), {
    ...options,
    ...(externalData.length > 0 && {
      externalData: externalData.map(({ path, data }) => ({ path, data: ownCopy(data) })),
    }),
  });
}

function isFloat(type: string): boolean {
  return type === 'float32' || type === 'float16';
}

/**
 * The numbers of a tensor. Half-precision tensors contain bits in a Uint16Array, or numbers where JavaScript has
 * Float16Array.
 */
function numbersOf({ data, type }: Tensor): Float32Array {
  if (type === 'float32') return data as Float32Array;
  return data instanceof Uint16Array ? float16ToFloat32(data) : Float32Array.from(data as Float32Array);
}

const singleToken: TokenBatch = { ids: Int32Array.of(0), mask: Int32Array.of(1), rows: 1, cols: 1 };

/** Copies shared memory, which onnxruntime does not accept. */
function ownCopy(shared: SharedArrayBuffer): Uint8Array {
  return new Uint8Array(shared).slice();
}

function feeds({ Tensor }: OnnxRuntime, session: InferenceSession, batch: TokenBatch): Record<string, Tensor> {
  return Object.fromEntries(
    tokenInputs(session.inputMetadata, batch).map(({ name, type, data, dims }) => [name, new Tensor(type, data, dims)]),
  );
}

/**
 * The settings of a session. Settings that differ from the defaults of onnxruntime were measured: see docs/adr on the
 * session pool.
 */
function sessionOptions({
  device,
  threads,
}: Pick<SessionSpecification, 'device' | 'threads'>): InferenceSession.SessionOptions {
  return {
    executionProviders: device === 'cpu' ? ['cpu'] : [device, 'cpu'],
    graphOptimizationLevel: 'all',
    executionMode: 'sequential',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    enableCpuMemArena: true,
    // With memory patterns onnxruntime would store one for each combination of rows and length.
    enableMemPattern: false,
    // Threads spin between two matrix products of a batch. By default they also spin after the last product, which
    // takes CPU time from the code that uses the result.
    ...(threads > 1 && { extra: { session: { force_spinning_stop: '1' } } }),
    // Errors are thrown, so onnxruntime need not print them.
    logSeverityLevel: 4,
  };
}
