import type { InferenceSession, Tensor } from 'onnxruntime-common';
import { textsInParts, type TrainingBatch } from '../batch.ts';
import type { Parameters } from '../optimizer/parameters.ts';
import type { BatchGradients } from './batch-gradients.ts';
import { add, joined } from './flat-arrays.ts';
import type { GraphRunner, OnnxRuntime } from './graph-runner.ts';
import { labelInput, matrixOf, numberOf } from './tensors.ts';

/** The two passes over the texts, a few examples at a time. */
export interface CachedPasses {
  readonly examples: number;
  readonly embedding: GraphRunner;
  readonly pullback: GraphRunner;
}

/**
 * Gradient caching (Gao et al., 2021): embeds the batch a few texts at a time, finds the loss of all vectors and what
 * each vector counts in it, then goes a second time over the texts to bring that back to the weights. Memory is that of
 * a few texts.
 */
export class CachedBatch implements BatchGradients {
  readonly #runtime: OnnxRuntime;
  readonly #parameters: Parameters;
  readonly #passes: CachedPasses;
  readonly #loss: InferenceSession;
  #part: Float32Array | undefined;

  constructor(runtime: OnnxRuntime, parameters: Parameters, passes: CachedPasses, loss: InferenceSession) {
    this.#runtime = runtime;
    this.#parameters = parameters;
    this.#passes = passes;
    this.#loss = loss;
  }

  async gradients(batch: TrainingBatch, into: Float32Array, seed: Record<string, Tensor>): Promise<number> {
    const { embedding, pullback, examples } = this.#passes;
    const { Tensor } = this.#runtime;
    const parts = textsInParts(batch, examples);
    const found: Float32Array[] = [];
    let dimension = 0;
    for (const part of parts) {
      const { data, cols } = matrixOf((await embedding.run(part, undefined, seed))['vectors']!);
      found.push(data);
      dimension = cols;
    }
    const vectors = joined(found);
    const results = await this.#loss.run({
      vectors: new Tensor('float32', vectors, [batch.columns, batch.examples, dimension]),
      ...labelInput(Tensor, batch),
    });
    const vectorGradients = results['vectorGradients']!.data as Float32Array;
    into.fill(0);
    this.#part ??= new Float32Array(this.#parameters.length);
    let start = 0;
    for (const part of parts) {
      const end = start + part.examples * dimension;
      const incoming = new Tensor('float32', vectorGradients.slice(start, end), [part.examples, dimension]);
      await pullback.run(part, this.#part, { vectorGradients: incoming, ...seed });
      add(into, this.#part);
      start = end;
    }
    return numberOf(results['loss']!);
  }

  async dispose(): Promise<void> {
    await Promise.all([this.#loss.release(), this.#passes.embedding.dispose(), this.#passes.pullback.dispose()]);
  }
}
