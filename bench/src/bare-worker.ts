// Computes the matrix products of batches, with single-threaded onnxruntime.
import { serveThread } from '@sentvec/platform/node';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { BareProtocol, BatchShape, TransformerSizes } from './bare-products.ts';
import { randomNumbers, uniform } from './random-numbers.ts';

serveThread<BareProtocol>(async ({ model, sizes }) => {
  const session = await InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const inputs = randomInputs(sizes);
  return {
    ready: undefined,
    handlers: {
      work: async ({ batches, taken }) => {
        for (;;) {
          const batch = batches[Atomics.add(taken, 0, 1)];
          if (batch === undefined) break;
          await session.run(inputs(batch));
        }
      },
    },
    dispose: () => session.release(),
  };
});

/** Returns random inputs for the shape of a batch, created once per shape. */
function randomInputs({ hidden, heads }: TransformerSizes): (batch: BatchShape) => Record<string, Tensor> {
  const made = new Map<string, Record<string, Tensor>>();
  const next = uniform(11);
  const size = hidden / heads;
  const tensor = (deviation: number, ...shape: number[]): Tensor => {
    const length = shape.reduce((product, extent) => product * extent, 1);
    return new Tensor('float32', randomNumbers(length, deviation, next), shape);
  };
  return ({ rows, cols }) => {
    const key = `${rows} ${cols}`;
    const known = made.get(key);
    if (known !== undefined) return known;
    const fresh = {
      x: tensor(1, rows * cols, hidden),
      queries: tensor(1, rows, heads, cols, size),
      keys: tensor(1 / Math.sqrt(size), rows, heads, size, cols),
      values: tensor(1 / Math.sqrt(cols), rows, heads, cols, size),
    };
    made.set(key, fresh);
    return fresh;
  };
}
