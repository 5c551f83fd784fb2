import { availableParallelism } from 'node:os';
import { OnnxRecorder } from '@sentvec/architectures';
import { startThread } from '@sentvec/platform/node';
import { randomNumbers, uniform } from './random-numbers.ts';

/** The sizes of a transformer that decide its matrix products. */
export interface TransformerSizes {
  readonly layers: number;
  readonly hidden: number;
  readonly intermediate: number;
  readonly heads: number;
}

/** A batch, as far as its matrix products go. */
export interface BatchShape {
  readonly rows: number;
  readonly cols: number;
}

/** Does the matrix products of batches and nothing else, on as many threads as there are cores. */
export interface BareProducts {
  /** Milliseconds until the products of all batches are done. */
  run(batches: readonly BatchShape[]): Promise<number>;
  close(): Promise<void>;
}

/** See `ThreadProtocol` of `@sentvec/platform/node`. */
export interface BareProtocol {
  /** The products that a thread computes. */
  readonly data: { readonly model: Uint8Array; readonly sizes: TransformerSizes };
  readonly ready: undefined;
  readonly calls: {
    /** Takes batches from a list that all threads share, until there is none left. */
    work(request: { readonly batches: readonly BatchShape[]; readonly taken: Int32Array }): void;
  };
  readonly programCalls: object;
}

/** Opens a session with the products of all layers in each of several threads. */
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

/** Floating-point operations of the products of a batch. */
export function operationsOf({ layers, hidden, intermediate }: TransformerSizes, { rows, cols }: BatchShape): number {
  const dense = 4 * hidden * hidden + 2 * hidden * intermediate;
  const attention = 2 * cols * hidden;
  return 2 * layers * rows * cols * (dense + attention);
}

/**
 * The products of a transformer in a row, each of its own weights: four of hidden × hidden and two of hidden ×
 * intermediate in a layer, and the two of attention. Weights and inputs are such that numbers keep their size.
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
