// A head in the TensorFlow.js of this thread.
import {
  applyActivation,
  applyProjections,
  createPooling,
  tokenPooling,
  type Matrix,
  type Pooling,
  type PoolingMode,
  type Projection,
  type TokenBatch,
  type TokenEmbeddings,
} from '@sentvec/core';
import { onBackend, type Runtime } from './runtime.ts';
import type { TfTensor } from './tensor-flow.ts';

/** A head whose pooling is one of the built-in ones, in a form that can be sent to a thread. */
export interface PlainHead {
  /** `tokens`: no pooling; `undefined`: no tokens are pooled, since the network itself gives a vector for each text. */
  readonly modes: readonly PoolingMode[] | 'tokens' | undefined;
  readonly projections: readonly Projection[];
}

/**
 * A head next to its encoder. It uses the functions of core, except for the products of dense layers, which TensorFlow.js
 * computes.
 */
export class LocalHead {
  readonly #runtime: Runtime;
  readonly #pooling: Pooling | undefined;
  readonly #projections: readonly Projection[];
  readonly #weights: readonly (readonly TfTensor[])[];

  constructor(runtime: Runtime, head: PlainHead) {
    this.#runtime = runtime;
    this.#pooling = head.modes === 'tokens' ? tokenPooling() : head.modes && createPooling(head.modes);
    this.#projections = head.projections;
    const { tf } = runtime;
    this.#weights = onBackend(runtime, () =>
      head.projections.map((projection) => {
        if (projection.kind !== 'dense' || projection.residual === true) return [];
        const { weight, bias } = projection;
        return [
          tf.tensor2d(weight.data, [weight.rows, weight.cols]),
          ...(bias === undefined ? [] : [tf.tensor1d(bias)]),
        ];
      }),
    );
  }

  /** Whether the vectors of texts are made of those of tokens, by `apply`. */
  get poolsTokens(): boolean {
    return this.#pooling !== undefined;
  }

  /** The final vectors of a batch. `batch.mask` says which tokens take part in pooling. */
  apply(tokens: TokenEmbeddings, batch: TokenBatch): Matrix {
    return this.project(this.#pooling!.pool(tokens, batch));
  }

  /** The final vectors, from those of texts. */
  project(texts: Matrix): Matrix {
    let vectors = texts;
    for (const [index, projection] of this.#projections.entries()) {
      const [weight, bias] = this.#weights[index]!;
      if (projection.kind !== 'dense' || weight === undefined) vectors = applyProjections([projection], vectors);
      else {
        const data = this.#product(vectors, weight, bias);
        applyActivation(projection.activation, data, projection.weight.rows);
        vectors = { data, rows: vectors.rows, cols: projection.weight.rows };
      }
    }
    return vectors;
  }

  dispose(): void {
    onBackend(this.#runtime, () => this.#runtime.tf.dispose(this.#weights.flat()));
  }

  #product({ data, rows, cols }: Matrix, weight: TfTensor, bias: TfTensor | undefined): Float32Array {
    const { tf } = this.#runtime;
    return onBackend(this.#runtime, () => {
      const product = tf.tidy(() =>
        tf.fused.matMul({ a: tf.tensor2d(data, [rows, cols]), b: weight, transposeB: true, ...(bias && { bias }) }),
      );
      const result = product.dataSync<'float32'>();
      product.dispose();
      return result;
    });
  }
}
