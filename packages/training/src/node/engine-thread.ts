// The thread that trains: onnxruntime blocks it while it computes, and nobody else.
import { parentPort, workerData } from 'node:worker_threads';
import { loadOnnxRuntime } from '@sentvec/backend-onnx/onnx-runtime';
import { SentvecError } from '@sentvec/core';
import { graphEngine, type EngineGraphs } from '../step/graph-gradients.ts';
import type { EngineCall, EngineReply } from './onnx-engine.ts';

const { graphs, threads, name } = workerData as { graphs: EngineGraphs; threads: number; name: string };
const port = parentPort!;
// Spinning threads would take the core that the main thread, or the next operator, needs.
const session = {
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  executionMode: 'sequential' as const,
  logSeverityLevel: 3 as const,
};
const engine = loadOnnxRuntime().then((onnxruntime) => graphEngine(onnxruntime, graphs, { name, session }));
let queue: Promise<unknown> = engine;

port.on('message', ({ id, method, argument }: EngineCall) => {
  queue = queue.then(
    () => answer(id, method, argument),
    () => answer(id, method, argument),
  );
});

async function answer(id: number, method: EngineCall['method'], argument: unknown): Promise<void> {
  try {
    const ready = await engine;
    const result: unknown = await ready[method](argument as never);
    post({ id, result });
  } catch (error) {
    const plain = SentvecError.is(error)
      ? error.toJSON()
      : { code: 'backend-failed' as const, details: {}, message: `Training failed in onnxruntime: ${String(error)}` };
    post({ id, error: plain });
  }
}

function post(reply: EngineReply): void {
  port.postMessage(reply, transferable(reply.result));
}

/** Buffers of a result that are its own. Others are copied. */
function transferable(result: unknown): ArrayBuffer[] {
  if (typeof result !== 'object' || result === null) return [];
  return Object.values(result).flatMap((value: unknown) =>
    value instanceof Float32Array && value.buffer instanceof ArrayBuffer && value.byteLength === value.buffer.byteLength
      ? [value.buffer]
      : [],
  );
}
