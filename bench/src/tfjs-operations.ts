import type { EncoderDefinition, Operations } from '@sentvec/architectures';
import { onBackend, openRuntime, tfjsOperations, type TfTensor } from '@sentvec/backend-tfjs';

/** The size of a batch of tokens. */
export interface BatchSize {
  readonly rows: number;
  readonly cols: number;
}

/** The time of a batch, by operation. */
export interface OperationTimes {
  readonly batch: BatchSize;
  /** Time for the whole batch. */
  readonly milliseconds: number;
  /** Billions of floating-point operations per second in the linear layers. */
  readonly gigaflops: number;
  /** Time of each operation in one batch, the longest first. */
  readonly shares: readonly { readonly name: string; readonly calls: number; readonly time: number }[];
}

const warmUp = 5;
const repetitions = 20;

/** Encodes a batch with WebAssembly on this thread, and times each operation. */
export async function measureOperations(definition: EncoderDefinition, batch: BatchSize): Promise<OperationTimes> {
  const runtime = await openRuntime('wasm');
  return onBackend(runtime, () => {
    const { tf } = runtime;
    const stopwatch = new Stopwatch(tfjsOperations(tf));
    const weights = new Map(
      [...definition.weights].map(([name, shape]) => [name, tf.tensor(definition.weight(name), [...shape])]),
    );
    const count = batch.rows * batch.cols;
    const shape = [batch.rows, batch.cols];
    const ids = Int32Array.from({ length: count }, (_, index) => 6 + ((index * 37) % (definition.vocabularySize - 6)));
    const encode = (): void => {
      const inputs = { ids: tf.tensor(ids, shape, 'int32'), mask: tf.onesLike(tf.tensor(ids, shape, 'int32')) };
      definition.network.encode(stopwatch.operations, (name) => weights.get(name)!, inputs).dataSync();
    };
    for (let round = 0; round < warmUp; round += 1) tf.tidy(encode);
    stopwatch.reset();
    const started = performance.now();
    for (let round = 0; round < repetitions; round += 1) tf.tidy(encode);
    const milliseconds = (performance.now() - started) / repetitions;
    tf.dispose([...weights.values()]);
    return { batch, milliseconds, ...stopwatch.read(repetitions) };
  });
}

/** Wraps operations so that their calls are timed. */
class Stopwatch {
  readonly operations: Operations<TfTensor>;
  readonly #times = new Map<string, { calls: number; time: number }>();
  #flops = 0;

  constructor(operations: Operations<TfTensor>) {
    const timed = Object.entries(operations).map(([name, compute]: [string, (...operands: unknown[]) => unknown]) => [
      name,
      (...operands: unknown[]): unknown => {
        const started = performance.now();
        const result = compute(...operands);
        const sums = this.#times.get(name) ?? { calls: 0, time: 0 };
        this.#times.set(name, { calls: sums.calls + 1, time: sums.time + performance.now() - started });
        if (name === 'linear') this.#flops += flopsOf(operands as [TfTensor, TfTensor]);
        return result;
      },
    ]);
    this.operations = Object.fromEntries(timed) as Operations<TfTensor>;
  }

  reset(): void {
    this.#times.clear();
    this.#flops = 0;
  }

  read(runs: number): Pick<OperationTimes, 'gigaflops' | 'shares'> {
    const shares = [...this.#times].map(([name, { calls, time }]) => ({
      name,
      calls: calls / runs,
      time: time / runs,
    }));
    const gigaflops = this.#flops / (this.#times.get('linear')?.time ?? Infinity) / 1e6;
    return { gigaflops, shares: shares.sort((a, b) => b.time - a.time) };
  }
}

function flopsOf([x, weight]: [TfTensor, TfTensor]): number {
  return (2 * x.size * weight.size) / weight.shape[1]!;
}
