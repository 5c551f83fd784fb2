// The worker thread that trains. onnxruntime blocks its thread while it computes, so the main thread stays free.
import type { OnnxDevice } from '@sentvec/backend-onnx';
import { loadOnnxRuntime } from '@sentvec/backend-onnx/onnx-runtime';
import { SentvecError } from '@sentvec/platform';
import { serveThread, transferred } from '@sentvec/platform/node';
import { graphEngine } from '../step/graph-gradients.ts';
import type { EngineProtocol } from './onnx-engine.ts';

serveThread<EngineProtocol>(
  async ({ graphs, device, threads, name }) => {
    // enableMemPattern allocates another block of memory for each batch shape, about twice the memory in total.
    const session = {
      enableMemPattern: false,
      executionProviders: device === 'cpu' ? ['cpu'] : [device, 'cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential' as const,
      logSeverityLevel: 3 as const,
    };
    // Only on the CPU can onnxruntime write outputs into given arrays. Other devices copy them after a run.
    const options = { name, session, writesInPlace: device === 'cpu' };
    const engine = await guarded(async () => {
      const runtime = await loadOnnxRuntime();
      // onnxruntime would silently fall back to the CPU, so check first that the device is present.
      if (device !== 'cpu') await (await import('@sentvec/backend-onnx')).presentDevices([device], () => {});
      return graphEngine(runtime, graphs, options);
    }, device);
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

/** Converts errors of onnxruntime into SentvecErrors. @param opening the device of the engine, while it is created */
async function guarded<T>(work: () => Promise<T>, opening: OnnxDevice = 'cpu'): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (SentvecError.is(error)) throw error;
    if (opening !== 'cpu')
      throw new SentvecError(
        'backend-unavailable',
        `onnxruntime cannot train on ${opening}: ${reasonOf(error)} Check its driver and libraries, or train on the device "cpu".`,
        { device: opening },
        { cause: error },
      );
    throw new SentvecError('backend-failed', `Training failed in onnxruntime: ${String(error)}`, {}, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  return line.endsWith('.') ? line : `${line}.`;
}

/** The buffers of a result that can be transferred: those that belong to one array only. Others are copied. */
function buffersOf(result: object): ArrayBuffer[] {
  return Object.values(result).flatMap((value: unknown) =>
    value instanceof Float32Array && value.buffer instanceof ArrayBuffer && value.byteLength === value.buffer.byteLength
      ? [value.buffer]
      : [],
  );
}
