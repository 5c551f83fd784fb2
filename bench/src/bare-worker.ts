import { parentPort, workerData } from 'node:worker_threads';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { BareWork, BatchShape } from './bare-products.ts';
import { randomNumbers, uniform } from './random-numbers.ts';

const { model, sizes } = workerData as BareWork;
const session = await InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
const next = uniform(11);

parentPort!.on(
  'message',
  ({ batches, taken }: { batches: readonly BatchShape[]; taken: Int32Array }) => void work(batches, taken),
);
parentPort!.postMessage('ready');

/** Takes batches from a list that all workers share, until there is none left. */
async function work(batches: readonly BatchShape[], taken: Int32Array): Promise<void> {
  for (;;) {
    const batch = batches[Atomics.add(taken, 0, 1)];
    if (batch === undefined) break;
    await session.run(inputs(batch));
  }
  parentPort!.postMessage('done');
}

const made = new Map<string, Record<string, Tensor>>();

/** Random operands of the shapes of a batch, made once. */
function inputs({ rows, cols }: BatchShape): Record<string, Tensor> {
  const key = `${rows} ${cols}`;
  const known = made.get(key);
  if (known !== undefined) return known;
  const { hidden, heads } = sizes;
  const size = hidden / heads;
  const tensor = (deviation: number, ...shape: number[]): Tensor =>
    new Tensor(
      'float32',
      randomNumbers(
        shape.reduce((product, extent) => product * extent, 1),
        deviation,
        next,
      ),
      shape,
    );
  const fresh = {
    x: tensor(1, rows * cols, hidden),
    queries: tensor(1, rows, heads, cols, size),
    keys: tensor(1 / Math.sqrt(size), rows, heads, size, cols),
    values: tensor(1 / Math.sqrt(cols), rows, heads, cols, size),
  };
  made.set(key, fresh);
  return fresh;
}
