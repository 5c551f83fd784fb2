// An encoder in this thread, on WebAssembly.
import { checkTokens, constantWeights, type EncoderDefinition, plainInputs, readEncoder } from '@sentvec/architectures';
import type { Operations, PlainTensor, WeightLookup } from '@sentvec/architectures';
import { termWeightsOutput, type Encoder, type ModelFiles, type TokenBatch } from '@sentvec/core';
import { wasmOperations } from './operations.ts';

/** What a program has to know about an encoder. */
export type EncoderSizes = Pick<Encoder, 'hiddenSize' | 'maxPositions' | 'vocabularySize' | 'pooledOutput'>;

/** An encoder whose computations block this thread. */
export class LocalEncoder {
  readonly #definition: EncoderDefinition;
  readonly #operations: Operations<PlainTensor>;
  readonly #weights: WeightLookup<PlainTensor>;

  private constructor(definition: EncoderDefinition) {
    this.#definition = definition;
    this.#operations = wasmOperations();
    this.#weights = constantWeights(this.#operations, definition);
  }

  /** @throws SentvecError `invalid-model`, `unsupported-model` */
  static async open(files: ModelFiles): Promise<LocalEncoder> {
    return new LocalEncoder(await readEncoder(files));
  }

  get sizes(): EncoderSizes {
    const { hiddenSize, maxPositions, vocabularySize, network } = this.#definition;
    const isSparse = network.termWeights !== undefined;
    const pooledOutput = isSparse ? { name: termWeightsOutput, size: vocabularySize } : undefined;
    return { hiddenSize, maxPositions, vocabularySize, pooledOutput };
  }

  /** Token embeddings, row-major: rows × cols × hidden size. @throws SentvecError `backend-failed`, `invalid-model` */
  encode(batch: TokenBatch): Float32Array {
    if (batch.ids.length === 0) return new Float32Array(0);
    return this.#compute(batch).tokens.data as Float32Array;
  }

  /** The weights of terms of a sparse model: rows × vocabulary size. @throws SentvecError as `encode` */
  termWeights(batch: TokenBatch): Float32Array {
    if (batch.ids.length === 0) return new Float32Array(0);
    const { network } = this.#definition;
    return network.termWeights!(this.#operations, this.#weights, this.#compute(batch)).data as Float32Array;
  }

  #compute(batch: TokenBatch): { readonly tokens: PlainTensor; readonly mask: PlainTensor } {
    checkTokens(this.#definition, batch);
    const { network } = this.#definition;
    const inputs = plainInputs(network, batch);
    return { tokens: network.encode(this.#operations, this.#weights, inputs), mask: inputs.mask };
  }
}
