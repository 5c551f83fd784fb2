import { availableParallelism } from 'node:os';
import { OnnxRecorder } from '@sentvec/architectures';
import { startThread } from '@sentvec/platform/node';
import { randomNumbers, uniform } from './random-numbers.ts';

/** The sizes of a transformer that determine its matrix products. */
export interface TransformerSizes {
  readonly layers: number;
  readonly hidden: number;
  readonly intermediate: number;
  readonly heads: number;
}

/** The shape of a batch, which determines its matrix products. */
export interface BatchShape {
  readonly rows: number;
  readonly cols: number;
}

/** Computes only the matrix products of batches, on as many threads as there are cores. */
export interface BareProducts {
  /** Computes the products of all batches. Returns the elapsed time in milliseconds. */
  run(batches: readonly BatchShape[]): Promise<number>;
  close(): Promise<void>;
}

/**
 * Types of the messages between the main thread and a worker thread, see `ThreadProtocol` of `@sentvec/platform/node`.
 */
export interface BareProtocol {
  /** The ONNX graph of the products, and their sizes. */
  readonly data: { readonly model: Uint8Array; readonly sizes: TransformerSizes };
  readonly ready: undefined;
  readonly calls: {
    /** Computes batches from a list that all threads share, until the list is empty. */
    work(request: { readonly batches: readonly BatchShape[]; readonly taken: Int32Array }): void;
  };
  readonly programCalls: object;
}

/** Starts the threads, and opens in each a session with the products of all layers. */
export async function openBareProducts(sizes: TransformerSizes): Promise<BareProducts> {
  const data = { model: recordProducts(sizes), sizes };
  const file = new URL('./bare-worker.js', import.meta.url);
  const start = () => startThread<BareProtocol>(file, { name: 'bare products', data });
  const threads = await Promise.all(Array.from({ length: availableParallelism() }, start));
  return {
    async run(batches) {
      const started = performance.now();
      const taken = new Int32Array(new SharedArrayBuffer(4));
      await Promise.all(threads.map((thread) => thread.call('work', { batches, taken })));
      return performance.now() - started;
    },
    close: async () => {
      await Promise.all(threads.map((thread) => thread.close()));
    },
  };
}

/** Returns the number of floating-point operations for the matrix products of a batch. */
export function operationsOf({ layers, hidden, intermediate }: TransformerSizes, { rows, cols }: BatchShape): number {
  const dense = 4 * hidden * hidden + 2 * hidden * intermediate;
  const attention = 2 * cols * hidden;
  return 2 * layers * rows * cols * (dense + attention);
}

/**
 * Builds an ONNX graph with the matrix products of a transformer, one after the other. Each layer has four products of
 * hidden × hidden, two of hidden × intermediate, and the two of attention, all with separate weights. Weights and
 * inputs are scaled so that values neither overflow nor vanish.
 */
function recordProducts({ layers, hidden, intermediate, heads }: TransformerSizes): Uint8Array {
  const recorder = new OnnxRecorder();
  const { operations: ops } = recorder;
  const next = uniform(7);
  const weight = (inputs: number, outputs: number) =>
    ops.constant(randomNumbers(inputs * outputs, 1 / Math.sqrt(inputs), next), [outputs, inputs]);
  let x = recorder.input('x', 'float', ['tokens', hidden]);
  let mixed = recorder.input('queries', 'float', ['rows', heads, 'length', hidden / heads]);
  const keys = recorder.input('keys', 'float', ['rows', heads, hidden / heads, 'length']);
  const values = recorder.input('values', 'float', ['rows', heads, 'length', hidden / heads]);
  for (let layer = 0; layer < layers; layer += 1) {
    for (const [inputs, outputs] of [
      [hidden, hidden],
      [hidden, hidden],
      [hidden, hidden],
      [hidden, hidden],
      [hidden, intermediate],
      [intermediate, hidden],
    ] as const) {
      x = ops.linear(x, weight(inputs, outputs));
    }
    mixed = ops.matmul(ops.matmul(mixed, keys), values);
  }
  recorder.output('dense', x);
  recorder.output('attention', mixed);
  return recorder.encode();
}
