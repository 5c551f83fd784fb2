// An encoder in the TensorFlow.js of this thread.
import {
  checkTokens,
  type EncoderNetwork,
  type Operations,
  readEncoder,
  type WeightLookup,
} from '@sentvec/architectures';
import { termWeightsOutput, type ModelFiles, type TokenBatch } from '@sentvec/core';
import type { EncoderSizes } from './host.ts';
import { LocalHead, type PlainHead } from './local-head.ts';
import { tfjsOperations } from './operations/operations.ts';
import { onBackend, type Runtime } from './runtime.ts';
import type { TfTensor } from './tensor-flow.ts';

/** An encoder whose weights are tensors of this thread's TensorFlow.js. Its computations block the thread. */
export class LocalEncoder {
  readonly network: EncoderNetwork;
  readonly #runtime: Runtime;
  readonly #operations: Operations<TfTensor>;
  readonly #weights: ReadonlyMap<string, TfTensor>;
  readonly #heads = new Map<number, LocalHead>();

  private constructor(runtime: Runtime, network: EncoderNetwork, weights: ReadonlyMap<string, TfTensor>) {
    this.#runtime = runtime;
    this.network = network;
    this.#operations = tfjsOperations(runtime.tf);
    this.#weights = weights;
  }

  /** @throws SentvecError `invalid-model`, `unsupported-model` */
  static async open(runtime: Runtime, files: ModelFiles): Promise<LocalEncoder> {
    const definition = await readEncoder(files);
    const weights = onBackend(runtime, () => {
      const { tf } = runtime;
      return new Map(
        [...definition.weights].map(([name, shape]) => [
          name,
          tf.tensor(definition.weight(name), [...shape], 'float32'),
        ]),
      );
    });
    return new LocalEncoder(runtime, definition.network, weights);
  }

  get sizes(): EncoderSizes {
    const { hiddenSize, maxPositions, vocabularySize } = this.network;
    const pooledOutput =
      this.network.termWeights === undefined ? undefined : { name: termWeightsOutput, size: vocabularySize };
    return { hiddenSize, maxPositions, vocabularySize, pooledOutput };
  }

  /** Token embeddings, row-major: rows × cols × hidden size. @throws SentvecError `backend-failed`, `invalid-model` */
  encode(batch: TokenBatch): Float32Array {
    return this.#compute(batch, (tokens) => tokens);
  }

  /** The weights of terms of a sparse model, row-major: rows × vocabulary size. @throws SentvecError as `encode` */
  #termWeights(batch: TokenBatch): Float32Array {
    return this.#compute(batch, (tokens, weight, mask) =>
      this.network.termWeights!(this.#operations, weight, { tokens, mask }),
    );
  }

  #compute(
    batch: TokenBatch,
    finish: (tokens: TfTensor, weight: WeightLookup<TfTensor>, mask: TfTensor) => TfTensor,
  ): Float32Array {
    const { rows, cols, ids, mask, typeIds } = batch;
    const isTyped = typeIds !== undefined && this.network.tokenTypes > 1;
    if (rows * cols === 0) return new Float32Array(0);
    checkTokens(this.network, batch);
    const ops = this.#operations;
    return onBackend(this.#runtime, () => {
      const { tf } = this.#runtime;
      const result = tf.tidy(() => {
        const indices = (numbers: Int32Array): TfTensor => ops.constant(numbers, [rows, cols]);
        const inputs = { ids: indices(ids), mask: indices(mask), types: isTyped ? indices(typeIds) : undefined };
        const weight = (name: string): TfTensor => this.#weights.get(name)!;
        return finish(this.network.encode(ops, weight, inputs), weight, inputs.mask);
      });
      // Outside of `tidy`, which would look for tensors in every entry of an array.
      const data = result.dataSync<'float32'>();
      result.dispose();
      return data;
    });
  }

  /** Prepares a head under a number, for `encodePooled`. */
  addHead(number: number, head: PlainHead): void {
    this.#heads.set(number, new LocalHead(this.#runtime, head));
  }

  /** The final vectors, row-major. `mask` says which tokens take part in pooling. @throws SentvecError as `encode` */
  encodePooled(batch: TokenBatch, head: number, mask: Int32Array): Float32Array {
    const local = this.#heads.get(head)!;
    if (!local.poolsTokens) {
      const texts = { data: this.#termWeights(batch), rows: batch.rows, cols: this.network.vocabularySize };
      return local.project(texts).data;
    }
    const tokens = { data: this.encode(batch), rows: batch.rows * batch.cols, cols: this.network.hiddenSize };
    return local.apply(tokens, { ...batch, mask }).data;
  }

  dispose(): void {
    for (const head of this.#heads.values()) head.dispose();
    onBackend(this.#runtime, () => this.#runtime.tf.dispose([...this.#weights.values()]));
  }
}
