// The backend `plain`, on the interpreter in plain TypeScript.
import {
  type Backend,
  type Encoder,
  SentvecError,
  throwIfAborted,
  type TokenBatch,
  type TokenEmbeddings,
} from '@sentvec/core';
import { constantWeights, type EncoderDefinition, readEncoder } from './encoders/definition.ts';
import type { WeightLookup } from './encoders/network.ts';
import { plainOperations } from './plain/operations.ts';
import { plainIndices, type PlainTensor } from './plain/tensor.ts';

/**
 * The backend `plain`: encoders in plain TypeScript, computed in float64 in the calling thread. It needs nothing, works
 * everywhere and is hundreds of times slower than the others: the reference that they are tested against.
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
  readonly #definition: EncoderDefinition;
  #weights: WeightLookup<PlainTensor> | undefined;

  constructor(definition: EncoderDefinition) {
    this.hiddenSize = definition.hiddenSize;
    this.maxPositions = definition.maxPositions;
    this.#definition = definition;
    this.#weights = constantWeights(plainOperations, definition);
  }

  async encode(batch: TokenBatch, options?: { readonly signal?: AbortSignal | undefined }): Promise<TokenEmbeddings> {
    throwIfAborted(options?.signal);
    if (this.#weights === undefined) throw new SentvecError('disposed', 'The encoder was used after dispose().');
    const { rows, cols } = batch;
    if (rows * cols === 0)
      return { data: new Float32Array(rows * cols * this.hiddenSize), rows: rows * cols, cols: this.hiddenSize };
    checkTokens(this.#definition, batch);
    const [ids, mask] = [plainIndices(batch.ids, [rows, cols]), plainIndices(batch.mask, [rows, cols])];
    const { data } = this.#definition.network.encode(plainOperations, this.#weights, { ids, mask });
    return { data: Float32Array.from(data), rows: rows * cols, cols: this.hiddenSize };
  }

  async dispose(): Promise<void> {
    this.#weights = undefined;
  }
}

/**
 * Checks that an encoder has embeddings for all ids and positions of a batch.
 * @throws SentvecError `backend-failed` when a text is too long, `invalid-model` when an id is beyond the vocabulary:
 * then the tokenizer belongs to another model
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
