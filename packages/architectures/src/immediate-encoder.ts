// An encoder over operations that compute at once: those in plain TypeScript, or those on WebAssembly.
import { type Encoder, type ModelFiles, SentvecError, termWeightsOutput, type TokenBatch } from '@sentvec/core';
import { constantWeights, type EncoderDefinition, readEncoder } from './encoders/definition.ts';
import type { EncoderInputs, EncoderNetwork, WeightLookup } from './encoders/network.ts';
import type { Operations } from './operations.ts';
import { plainIndices, type PlainTensor } from './plain/tensor.ts';

/** The sizes of an encoder, as `Encoder` describes them. */
export type EncoderSizes = Pick<Encoder, 'hiddenSize' | 'maxPositions' | 'vocabularySize' | 'pooledOutput'>;

/** The encoder of a model. Its computations block the calling thread. */
export class ImmediateEncoder {
  readonly #definition: EncoderDefinition;
  readonly #operations: Operations<PlainTensor>;
  readonly #weights: WeightLookup<PlainTensor>;

  private constructor(definition: EncoderDefinition, operations: Operations<PlainTensor>) {
    this.#definition = definition;
    this.#operations = operations;
    this.#weights = constantWeights(operations, definition);
  }

  /** Reads the encoder of a model folder. @throws SentvecError `invalid-model`, `unsupported-model` */
  static async open(files: ModelFiles, operations: Operations<PlainTensor>): Promise<ImmediateEncoder> {
    return new ImmediateEncoder(await readEncoder(files), operations);
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
    return asFloat32(this.#compute(batch).tokens);
  }

  /** The term weights of a sparse model, row-major: rows × vocabulary size. @throws SentvecError as `encode` */
  termWeights(batch: TokenBatch): Float32Array {
    if (batch.ids.length === 0) return new Float32Array(0);
    const { network } = this.#definition;
    return asFloat32(network.termWeights!(this.#operations, this.#weights, this.#compute(batch)));
  }

  #compute(batch: TokenBatch): { readonly tokens: PlainTensor; readonly mask: PlainTensor } {
    checkTokens(this.#definition, batch);
    const { network } = this.#definition;
    const inputs = plainInputs(network, batch);
    return { tokens: network.encode(this.#operations, this.#weights, inputs), mask: inputs.mask };
  }
}

function asFloat32({ data }: PlainTensor): Float32Array {
  return data instanceof Float32Array ? data : Float32Array.from(data);
}

/** Converts a batch to the inputs of a network. */
export function plainInputs({ tokenTypes }: EncoderNetwork, batch: TokenBatch): EncoderInputs<PlainTensor> {
  const { ids, mask, typeIds, rows, cols } = batch;
  const types = typeIds !== undefined && tokenTypes > 1 ? plainIndices(typeIds, [rows, cols]) : undefined;
  return { ids: plainIndices(ids, [rows, cols]), mask: plainIndices(mask, [rows, cols]), types };
}

/**
 * Checks that all ids and positions of a batch are within those of an encoder.
 * @throws SentvecError `backend-failed` if a text is too long, `invalid-model` if an id is beyond the vocabulary,
 * because then the tokenizer belongs to another model
 */
export function checkTokens(
  definition: Pick<EncoderDefinition, 'maxPositions' | 'vocabularySize'>,
  batch: TokenBatch,
): void {
  const { maxPositions, vocabularySize } = definition;
  if (batch.cols > maxPositions) {
    throw new SentvecError(
      'backend-failed',
      `The batch is ${batch.cols} tokens long, but the model has only ${maxPositions} positions.`,
    );
  }
  const id = batch.ids.find((each) => each < 0 || each >= vocabularySize);
  if (id === undefined) return;
  throw new SentvecError(
    'invalid-model',
    `The tokenizer gave the id ${id}, but the model has only ${vocabularySize} embeddings: tokenizer.json and model.safetensors do not belong together.`,
    { id, vocabularySize },
  );
}
