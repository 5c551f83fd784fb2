import type { InferenceSession, OnnxValue, Tensor, TensorConstructor, InferenceSessionFactory } from 'onnxruntime-common';
import type { Matrix } from '@sentvec/core';
import type { TrainingBatch } from '../batch.ts';
import type { Parameters, ParameterSlot } from '../optimizer/parameters.ts';

/** What is used of onnxruntime-node or onnxruntime-web. */
export interface OnnxRuntime {
  readonly InferenceSession: InferenceSessionFactory;
  readonly Tensor: TensorConstructor;
}

/**
 * Feeds a recorded step graph from flat parameter buffers and takes its gradients into them, without copying weights. The token
 * table stays outside of the graph: its rows are looked up before a run, and their gradients added up after it.
 */
export class GraphRunner {
  readonly #runtime: OnnxRuntime;
  readonly #session: InferenceSession;
  readonly #parameters: Parameters;
  readonly #table: ParameterSlot;
  readonly #weights: Record<string, Tensor>;

  private constructor(runtime: OnnxRuntime, session: InferenceSession, parameters: Parameters, table: ParameterSlot) {
    this.#runtime = runtime;
    this.#session = session;
    this.#parameters = parameters;
    this.#table = table;
    this.#weights = this.#tensorsOver(parameters.weights, '');
  }

  /** @param tokenTable name of the parameter that holds the token table */
  static async create(
    runtime: OnnxRuntime,
    graph: Uint8Array,
    parameters: Parameters,
    tokenTable: string,
    options: InferenceSession.SessionOptions = {},
  ): Promise<GraphRunner> {
    const table = parameters.slots.find(({ name }) => name === tokenTable);
    if (table === undefined) throw new Error(`There is no parameter "${tokenTable}".`);
    return new GraphRunner(runtime, await runtime.InferenceSession.create(graph, options), parameters, table);
  }

  /**
   * The loss of a batch; the gradients go into `gradients`, a buffer laid out as the parameters', which is overwritten. What is
   * not trained keeps zeros.
   */
  async step(batch: TrainingBatch, gradients: Float32Array): Promise<number> {
    const rows = positionsOfTokens(batch.mask);
    const feeds = { ...this.#weights, ...this.#feeds(batch, rows) };
    const { Tensor } = this.#runtime;
    if (batch.labels) {
      const width = batch.labels.length / batch.examples;
      feeds['labels'] = new Tensor('float32', batch.labels, width === 1 ? [batch.examples] : [batch.examples, width]);
    }
    // Only buffers in one piece with the weights' layout are handed over as outputs.
    const outputs = new Set(this.#session.outputNames);
    const places = this.#tensorsOver(gradients, 'gradient.');
    const fetches: Record<string, OnnxValue | null> = {};
    for (const name of outputs) fetches[name] = places[name] ?? null;
    const results = await this.#session.run(feeds, fetches);
    const tokenGradients = results['gradient.tokenRows'];
    if (tokenGradients) this.#addTokenGradients(batch, rows, tokenGradients.data as Float32Array, gradients);
    return (results['loss']!.data as Float32Array)[0]!;
  }

  /** The final vectors of a batch of one column: `[examples, dimension]`. */
  async embed(batch: TrainingBatch): Promise<Matrix> {
    const rows = positionsOfTokens(batch.mask);
    const { vectors } = await this.#session.run({ ...this.#weights, ...this.#feeds(batch, rows) });
    const [count, dimension] = vectors!.dims as [number, number];
    return { data: vectors!.data as Float32Array, rows: count, cols: dimension };
  }

  async dispose(): Promise<void> {
    await this.#session.release();
  }

  #feeds(batch: TrainingBatch, rows: Int32Array): Record<string, Tensor> {
    const { Tensor } = this.#runtime;
    const width = this.#table.shape[1]!;
    const shape = [batch.columns, batch.examples, batch.length];
    return {
      ids: new Tensor('int64', BigInt64Array.from(batch.ids, BigInt), shape),
      mask: new Tensor('int64', BigInt64Array.from(batch.mask, BigInt), shape),
      poolingMask: new Tensor('float32', batch.poolingMask, shape),
      rows: new Tensor('int64', BigInt64Array.from(rows, BigInt), [rows.length]),
      tokenRows: new Tensor('float32', this.#lookUp(batch, rows, width), [rows.length, width]),
    };
  }

  #lookUp(batch: TrainingBatch, rows: Int32Array, width: number): Float32Array {
    const { weights } = this.#parameters;
    const found = new Float32Array(rows.length * width);
    for (const [token, position] of rows.entries()) {
      const from = this.#table.offset + batch.ids[position]! * width;
      found.set(weights.subarray(from, from + width), token * width);
    }
    return found;
  }

  #addTokenGradients(batch: TrainingBatch, rows: Int32Array, found: Float32Array, gradients: Float32Array): void {
    const width = this.#table.shape[1]!;
    const table = this.#parameters.view(gradients, this.#table);
    table.fill(0);
    for (let token = 0; token < rows.length; token++) {
      const to = batch.ids[rows[token]!]! * width;
      for (let i = 0; i < width; i++) table[to + i] = table[to + i]! + found[token * width + i]!;
    }
  }

  #tensorsOver(buffer: Float32Array, prefix: string): Record<string, Tensor> {
    const slots = this.#parameters.slots.filter((slot) => slot !== this.#table);
    return Object.fromEntries(
      slots.map((slot) => [`${prefix}${slot.name}`, new this.#runtime.Tensor('float32', this.#parameters.view(buffer, slot), slot.shape)]),
    );
  }
}

/** Which positions of a batch hold a token, counted through all of it. */
function positionsOfTokens(mask: Int32Array): Int32Array {
  const positions = new Int32Array(mask.length);
  let count = 0;
  for (let position = 0; position < mask.length; position++) {
    if (mask[position] !== 0) positions[count++] = position;
  }
  return positions.subarray(0, count);
}
