// Runs a recorded graph on a batch. Weights are read from the flat buffers, and gradients are written into them.
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

/** The part of onnxruntime-node or onnxruntime-web that training uses. */
export interface OnnxRuntime {
  readonly InferenceSession: InferenceSessionFactory;
  readonly Tensor: TensorConstructor;
}

/** Options of {@link GraphRunner}. */
export interface RunnerOptions {
  readonly session?: InferenceSession.SessionOptions | undefined;
  /**
   * Whether the runtime writes outputs into preallocated arrays, as onnxruntime-node does. onnxruntime-web accepts such
   * arrays but does not write into them.
   * @default true
   */
  readonly writesInPlace?: boolean | undefined;
}

/** The weights that graphs read: trained ones from the flat buffers, frozen ones from their own arrays. */
export interface ModelWeights {
  readonly parameters: Parameters;
  readonly frozen: readonly InitialParameter[];
  /** Maps names of weights to names in the graphs. @default the names are the same */
  readonly names?: Readonly<Record<string, string>> | undefined;
  /** The name of the token table in the graphs. The table is a trained or a frozen weight. */
  readonly tokenTable: string;
  /** The token id whose row gets no gradient. */
  readonly paddingId?: number | undefined;
}

/**
 * The token embedding table. Graphs do not contain it: they get only the rows of a batch's tokens and return only their
 * gradients. Only graphs that score all terms of a vocabulary get the whole table as an input.
 */
interface TokenTable {
  readonly weights: Float32Array;
  readonly width: number;
}

/**
 * Runs a recorded graph with weights from the flat parameter buffers, without copying them, and writes the gradients
 * into such a buffer. It looks up the rows of the token table before a run, and adds up their gradients after it.
 */
export class GraphRunner {
  readonly #runtime: OnnxRuntime;
  readonly #session: InferenceSession;
  readonly #parameters: Parameters;
  /** Slots with their names in the graph. */
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
    if (table === undefined) throw new Error(`The model has no weight "${tokenTable}".`);
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
   * Runs the graph on a batch. Returns all outputs except gradients.
   * @param options.gradients the buffer for the gradients, with the layout of the parameters
   * @param options.more further inputs, which only some graphs have
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

  /** The graph of a loss alone has no token inputs. */
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

  /** Zeroes the gradients of tensors that are not in this graph, such as those of other losses. */
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

/** Converts an output with two axes to a matrix. */
export function matrixOf(value: OnnxValue): Matrix {
  const [rows, cols] = value.dims as [number, number];
  return { data: value.data as Float32Array, rows, cols };
}

/** Converts an output of shape `[]` to a number. */
export function numberOf(value: OnnxValue): number {
  return (value.data as Float32Array)[0]!;
}
