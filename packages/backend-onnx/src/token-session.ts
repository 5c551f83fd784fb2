// A session of onnxruntime-node that gives token embeddings.
import { tokenInputs, tokenOutput } from '@sentvec/architectures/token-values';
import type { TokenBatch } from '@sentvec/core';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { SessionSpecification } from './messages.ts';
import type { OnnxRuntime } from './onnx-runtime.ts';

/** A session of onnxruntime that gives token embeddings, whatever its inputs and outputs are called. */
export interface TokenSession {
  readonly hiddenSize: number;
  /** Token embeddings, row-major, rows × cols × hiddenSize. */
  encode(batch: TokenBatch): Promise<Float32Array>;
  /**
   * The same in space of the session, good until the next call: no garbage, which a thread without memory pressure
   * would collect late.
   */
  encodeInPlace(batch: TokenBatch): Promise<Float32Array>;
  release(): Promise<void>;
}

/** Opens the model and tries it with one token. @throws Error that says what does not fit */
export async function openSession(specification: SessionSpecification): Promise<TokenSession> {
  // oxlint-disable-next-line no-restricted-imports -- the thread that started this one has called `loadOnnxRuntime`
  const runtime: OnnxRuntime = await import('onnxruntime-node');
  const { model, externalData } = specification;
  const options = sessionOptions(specification);
  const session =
    typeof model === 'string'
      ? await runtime.InferenceSession.create(model, options)
      : await runtime.InferenceSession.create(ownCopy(model), {
          ...options,
          ...(externalData.length > 0 && {
            externalData: externalData.map(({ path, data }) => ({ path, data: ownCopy(data) })),
          }),
        });
  const output = tokenOutput(session.outputMetadata);
  const probe = await session.run(feeds(runtime, session, singleToken), [output]);
  const { dims, type } = probe[output]!;
  if (type !== 'float32' || dims.length !== 3) {
    throw new Error(`Its output "${output}" is ${type} [${dims.join(', ')}], not float32 [texts, tokens, width].`);
  }
  const hiddenSize = dims[2]!;
  let space = new Float32Array(0);
  return {
    hiddenSize,
    encodeInPlace: async (batch) => {
      const dimensions = [batch.rows, batch.cols, hiddenSize];
      const length = batch.rows * batch.cols * hiddenSize;
      if (space.length < length) space = new Float32Array(length);
      const data = space.subarray(0, length);
      await session.run(feeds(runtime, session, batch), { [output]: new runtime.Tensor('float32', data, dimensions) });
      return data;
    },
    encode: async (batch) => {
      const { [output]: embeddings } = await session.run(feeds(runtime, session, batch), [output]);
      return embeddings!.data as Float32Array;
    },
    release: () => session.release(),
  };
}

const singleToken: TokenBatch = { ids: Int32Array.of(0), mask: Int32Array.of(1), rows: 1, cols: 1 };

/** onnxruntime takes no shared memory. */
function ownCopy(shared: SharedArrayBuffer): Uint8Array {
  return new Uint8Array(shared).slice();
}

function feeds({ Tensor }: OnnxRuntime, session: InferenceSession, batch: TokenBatch): Record<string, Tensor> {
  return Object.fromEntries(
    tokenInputs(session.inputMetadata, batch).map(({ name, type, data, dims }) => [name, new Tensor(type, data, dims)]),
  );
}

/** The settings of a session. Those that are not onnxruntime's own were measured: see docs/adr on the session pool. */
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
    // A memory pattern would be stored for every combination of rows and length ever seen.
    enableMemPattern: false,
    // Errors are thrown; onnxruntime need not print them as well.
    logSeverityLevel: 4,
  };
}
