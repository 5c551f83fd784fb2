// Runs a recorded graph on a batch: weights in from the flat buffers, gradients out into them.
import type {
  InferenceSession,
  InferenceSessionFactory,
  OnnxValue,
  Tensor,
  TensorConstructor,
} from 'onnxruntime-common';
import type { Matrix } from '@sentvec/core';
import { positionsOfTokens, type TrainingBatch } from '../data/batch.ts';
import type { InitialParameter, Parameters, ParameterSlot } from '../optimizer/parameters.ts';

/** What is used of onnxruntime-node or onnxruntime-web. */
export interface OnnxRuntime {
  readonly InferenceSession: InferenceSessionFactory;
  readonly Tensor: TensorConstructor;
}

/** How graphs are run. */
export interface RunnerOptions {
  readonly session?: InferenceSession.SessionOptions | undefined;
  /**
   * Whether the runtime writes results into arrays that it is given, as onnxruntime-node does. onnxruntime-web takes
   * them and leaves them as they were.
   * @default true
   */
  readonly writesInPlace?: boolean | undefined;
}

/** The weights that graphs read: trained ones in the flat buffers, frozen ones where they are. */
export interface ModelWeights {
  readonly parameters: Parameters;
  readonly frozen: readonly InitialParameter[];
  /** What graphs call a weight. @default as it is called here */
  readonly names?: Readonly<Record<string, string>> | undefined;
  /** What graphs call the token table, which is among either. */
  readonly tokenTable: string;
  /** The token whose row gets no gradient. */
  readonly paddingId?: number | undefined;
}

/**
 * The token table stays outside of the graphs, so that they get and give only the rows of a batch's tokens. Where a graph
 * needs all of it, to score terms, it is an input as other weights are.
 */
interface TokenTable {
  readonly weights: Float32Array;
  readonly width: number;
}

/**
 * Feeds a recorded graph from the flat parameter buffers and takes its gradients into them, without copying weights.
 * The rows of the token table are looked up before a run, and their gradients added up after it.
 */
export class GraphRunner {
  readonly #runtime: OnnxRuntime;
  readonly #session: InferenceSession;
  readonly #parameters: Parameters;
  /** With the names that the graph has. */
  readonly #slots: readonly ParameterSlot[];
  readonly #table: TokenTable;
  readonly #tableName: string;
  readonly #paddingId: number | undefined;
  readonly #weights: Readonly<Record<string, Tensor>>;
  readonly #writesInPlace: boolean;

  private constructor(runtime: OnnxRuntime, session: InferenceSession, weights: ModelWeights, writesInPlace: boolean) {
    const { parameters, frozen, tokenTable, names = {} } = weights;
    const named = <Named extends { readonly name: string }>(each: Named): Named => ({
      ...each,
      name: names[each.name] ?? each.name,
    });
    this.#runtime = runtime;
    this.#writesInPlace = writesInPlace;
    this.#session = session;
    this.#parameters = parameters;
    this.#slots = parameters.slots.map(named);
    const trained = this.#slots.map((slot) => ({ ...slot, data: parameters.view(parameters.weights, slot) }));
    const all = [...trained, ...frozen.map(named)];
    const table = all.find(({ name }) => name === tokenTable);
    if (table === undefined) throw new Error(`There is no weight "${tokenTable}".`);
    this.#table = { weights: table.data, width: table.shape[1]! };
    this.#tableName = tokenTable;
    this.#paddingId = weights.paddingId;
    this.#weights = Object.fromEntries(
      all.map(({ name, shape, data }) => [name, new runtime.Tensor('float32', data, shape)]),
    );
  }

  static async create(
    runtime: OnnxRuntime,
    graph: Uint8Array,
    weights: ModelWeights,
    { session = {}, writesInPlace = true }: RunnerOptions = {},
  ): Promise<GraphRunner> {
    return new GraphRunner(runtime, await runtime.InferenceSession.create(graph, session), weights, writesInPlace);
  }

  /**
   * Runs the graph on a batch. Returns the outputs that are not gradients.
   * @param options.gradients what gets the gradients, a buffer laid out as the parameters'
   * @param options.more inputs that only some graphs have
   */
  async run(
    batch: TrainingBatch,
    {
      gradients,
      more = {},
    }: {
      readonly gradients?: Float32Array | undefined;
      readonly more?: Readonly<Record<string, Tensor>> | undefined;
    } = {},
  ): Promise<Record<string, OnnxValue>> {
    const positions = this.#takes('ids') ? positionsOfTokens(batch) : new Int32Array(0);
    const feeds: Readonly<Record<string, Tensor>> = { ...this.#weights, ...this.#feeds(batch, positions), ...more };
    if (gradients) this.#clearOthers(gradients);
    const inPlace = gradients && this.#writesInPlace ? this.#gradientTensors(gradients) : {};
    const results = await this.#session.run(
      Object.fromEntries(this.#session.inputNames.map((name) => [name, feeds[name]!])),
      Object.fromEntries(this.#session.outputNames.map((name) => [name, inPlace[name] ?? null])),
    );
    if (gradients && !this.#writesInPlace) this.#copyGradients(results, gradients);
    const tokenGradients = results['gradient.tokenRows'];
    if (tokenGradients && gradients)
      this.#addTokenGradients(batch, positions, tokenGradients.data as Float32Array, gradients);
    return results;
  }

  async dispose(): Promise<void> {
    await this.#session.release();
  }

  #takes(name: string): boolean {
    return this.#session.inputNames.includes(name);
  }

  /** The graph of a loss alone takes no tokens. */
  #feeds(batch: TrainingBatch, positions: Int32Array): Record<string, Tensor> {
    if (!this.#takes('ids')) return {};
    const { Tensor } = this.#runtime;
    const { width } = this.#table;
    const shape = [batch.columns, batch.examples, batch.length];
    return {
      ids: new Tensor('int64', BigInt64Array.from(batch.ids, BigInt), shape),
      mask: new Tensor('int64', BigInt64Array.from(batch.mask, BigInt), shape),
      poolingMask: new Tensor('float32', batch.poolingMask, shape),
      rows: new Tensor('int64', BigInt64Array.from(positions, BigInt), [positions.length]),
      ...(this.#takes('tokenRows') && {
        tokenRows: new Tensor('float32', this.#lookUp(batch, positions), [positions.length, width]),
      }),
      ...(this.#takes('types') && {
        types: new Tensor(
          'int64',
          BigInt64Array.from(batch.typeIds ?? new Int32Array(batch.ids.length), BigInt),
          shape,
        ),
      }),
    };
  }

  #lookUp(batch: TrainingBatch, positions: Int32Array): Float32Array {
    const { weights, width } = this.#table;
    const found = new Float32Array(positions.length * width);
    for (const [token, position] of positions.entries()) {
      const from = batch.ids[position]! * width;
      found.set(weights.subarray(from, from + width), token * width);
    }
    return found;
  }

  #addTokenGradients(batch: TrainingBatch, positions: Int32Array, found: Float32Array, gradients: Float32Array): void {
    const { width } = this.#table;
    const slot = this.#slots.find(({ name }) => name === this.#tableName)!;
    const table = this.#parameters.view(gradients, slot).fill(0);
    for (let token = 0; token < positions.length; token++) {
      const id = batch.ids[positions[token]!]!;
      if (id === this.#paddingId) continue;
      const to = id * width;
      for (let i = 0; i < width; i++) table[to + i] = table[to + i]! + found[token * width + i]!;
    }
  }

  /** Zeros for the tensors that take no part in this graph, such as those of other losses. */
  #clearOthers(gradients: Float32Array): void {
    const given = new Set(this.#session.outputNames);
    for (const slot of this.#slots)
      if (!given.has(`gradient.${slot.name}`)) this.#parameters.view(gradients, slot).fill(0);
  }

  #copyGradients(results: Readonly<Record<string, OnnxValue>>, gradients: Float32Array): void {
    for (const slot of this.#slots) {
      const found = results[`gradient.${slot.name}`];
      if (found) this.#parameters.view(gradients, slot).set(found.data as Float32Array);
    }
  }

  #gradientTensors(gradients: Float32Array): Record<string, Tensor> {
    return Object.fromEntries(
      this.#slots.map((slot) => [
        `gradient.${slot.name}`,
        new this.#runtime.Tensor('float32', this.#parameters.view(gradients, slot), slot.shape),
      ]),
    );
  }
}

/** An output of two axes as a matrix. */
export function matrixOf(value: OnnxValue): Matrix {
  const [rows, cols] = value.dims as [number, number];
  return { data: value.data as Float32Array, rows, cols };
}

/** An output of shape `[]`. */
export function numberOf(value: OnnxValue): number {
  return (value.data as Float32Array)[0]!;
}
