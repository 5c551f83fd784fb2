// The backend `plain`, which uses the interpreter in plain TypeScript.
import {
  applyProjections,
  type Backend,
  type EncodePooledOptions,
  type Encoder,
  type Head,
  type Matrix,
  SentvecError,
  termWeightsOutput,
  throwIfAborted,
  type TokenBatch,
  type TokenEmbeddings,
} from '@sentvec/core';
import { constantWeights, type EncoderDefinition, readEncoder } from './encoders/definition.ts';
import type { EncoderInputs, EncoderNetwork, WeightLookup } from './encoders/network.ts';
import { plainOperations } from './plain/operations.ts';
import { plainIndices, type PlainTensor } from './plain/tensor.ts';

/**
 * The backend `plain`, which computes encoders in plain TypeScript, in float64 and on the calling thread. It has no
 * dependencies and works everywhere, but is hundreds of times slower than other backends. It is the reference in their
 * tests.
 */
export function plainBackend(): Backend {
  return {
    specificationVersion: 1,
    name: 'plain',
    isAvailable: async () => ({ available: true, device: 'JavaScript' }),
    load: async (model, options) => {
      throwIfAborted(options?.signal);
      return new PlainEncoder(await readEncoder(model));
    },
  };
}

class PlainEncoder implements Encoder {
  readonly hiddenSize: number;
  readonly maxPositions: number;
  readonly concurrency = 1;
  readonly batchTokens = 512;
  readonly pooledOutput: Encoder['pooledOutput'];
  readonly #definition: EncoderDefinition;
  #weights: WeightLookup<PlainTensor> | undefined;

  constructor(definition: EncoderDefinition) {
    this.hiddenSize = definition.hiddenSize;
    this.maxPositions = definition.maxPositions;
    if (definition.network.termWeights !== undefined)
      this.pooledOutput = { name: termWeightsOutput, size: definition.vocabularySize };
    this.#definition = definition;
    this.#weights = constantWeights(plainOperations, definition);
  }

  async encode(batch: TokenBatch, options?: { readonly signal?: AbortSignal | undefined }): Promise<TokenEmbeddings> {
    throwIfAborted(options?.signal);
    const weights = this.#aliveWeights();
    const { rows, cols } = batch;
    if (rows * cols === 0)
      return { data: new Float32Array(rows * cols * this.hiddenSize), rows: rows * cols, cols: this.hiddenSize };
    const { data } = this.#compute(batch, weights).tokens;
    return { data: Float32Array.from(data), rows: rows * cols, cols: this.hiddenSize };
  }

  /** The term weights of a sparse model; `undefined` for other heads, which the caller computes. */
  async encodePooled(batch: TokenBatch, head: Head, options: EncodePooledOptions = {}): Promise<Matrix | undefined> {
    throwIfAborted(options.signal);
    const { graphOutput } = head.pooling;
    if (graphOutput === undefined || graphOutput !== this.pooledOutput?.name || batch.ids.length === 0)
      return undefined;
    const weights = this.#aliveWeights();
    const { tokens, mask } = this.#compute(batch, weights);
    const { data } = this.#definition.network.termWeights!(plainOperations, weights, { tokens, mask });
    const texts = { data: Float32Array.from(data), rows: batch.rows, cols: this.pooledOutput.size };
    return applyProjections(head.projections, texts);
  }

  #compute(
    batch: TokenBatch,
    weights: WeightLookup<PlainTensor>,
  ): { readonly tokens: PlainTensor; readonly mask: PlainTensor } {
    checkTokens(this.#definition, batch);
    const { network } = this.#definition;
    const inputs = plainInputs(network, batch);
    return { tokens: network.encode(plainOperations, weights, inputs), mask: inputs.mask };
  }

  #aliveWeights(): WeightLookup<PlainTensor> {
    if (this.#weights !== undefined) return this.#weights;
    throw new SentvecError('disposed', 'The encoder was used after dispose(). Load the model again.');
  }

  async dispose(): Promise<void> {
    this.#weights = undefined;
  }
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
