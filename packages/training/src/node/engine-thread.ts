// The thread that trains: onnxruntime blocks it while it computes, and nobody else.
import { loadOnnxRuntime } from '@sentvec/backend-onnx/onnx-runtime';
import { SentvecError } from '@sentvec/platform';
import { serveThread, transferred } from '@sentvec/platform/node';
import { graphEngine } from '../step/graph-gradients.ts';
import type { EngineProtocol } from './onnx-engine.ts';

serveThread<EngineProtocol>(
  async ({ graphs, threads, name }) => {
    // Spinning threads would take the core that the main thread, or the next operator, needs.
    const session = {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential' as const,
      logSeverityLevel: 3 as const,
    };
    const engine = await guarded(async () => graphEngine(await loadOnnxRuntime(), graphs, { name, session }));
    return {
      ready: undefined,
      handlers: {
        step: (order) => guarded(() => engine.step(order)),
        embed: async (batch) => {
          const vectors = await guarded(() => engine.embed(batch));
          return transferred(vectors, buffersOf(vectors));
        },
        state: async () => {
          const state = await guarded(() => engine.state());
          return transferred(state, buffersOf(state));
        },
        restore: (state) => guarded(() => engine.restore(state)),
      },
      dispose: () => engine.dispose(),
    };
  },
  { serial: true },
);

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (SentvecError.is(error)) throw error;
    throw new SentvecError('backend-failed', `Training failed in onnxruntime: ${String(error)}`, {}, { cause: error });
  }
}

/** Buffers of a result that are its own. Others are copied. */
function buffersOf(result: object): ArrayBuffer[] {
  return Object.values(result).flatMap((value: unknown) =>
    value instanceof Float32Array && value.buffer instanceof ArrayBuffer && value.byteLength === value.buffer.byteLength
      ? [value.buffer]
      : [],
  );
}
