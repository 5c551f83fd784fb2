// Computes dimensions as values of an ONNX graph.
import { namedDimension, termsOf } from '../dimensions.ts';
import type { Dimension, Shape } from '../operations.ts';
import type { OnnxGraph } from './graph.ts';

/** Adds nodes that compute dimensions. Named sizes are read from the shapes of inputs. */
export class OnnxSizes {
  readonly #graph: OnnxGraph;
  /** The source of each named size: an input and an axis, or a value that contains the size. */
  readonly #sources = new Map<string, { readonly value: string; readonly axis?: number | undefined }>();

  constructor(graph: OnnxGraph) {
    this.#graph = graph;
  }

  /** Registers the named sizes of an input. An expression of several names is registered as a whole. */
  register(value: string, shape: Shape): void {
    shape.forEach((size, axis) => {
      if (typeof size === 'string' && !this.#sources.has(size)) this.#sources.set(size, { value, axis });
    });
  }

  /** Makes a dimension of a computed size, an int64 value of shape `[1]`. */
  named(value: string): Dimension {
    this.#sources.set(value, { value });
    return namedDimension(value);
  }

  /** A dimension as an int64 value of shape `[1]`. */
  value(dimension: Dimension): string {
    if (typeof dimension === 'number') return this.numbers([dimension]);
    const terms = termsOf(dimension).map(({ coefficient, names }) => {
      const factors = names.map((name) => this.#named(name));
      if (coefficient !== 1 || factors.length === 0) factors.push(this.numbers([coefficient]));
      return factors.reduce((a, b) => this.#graph.node('Mul', [a, b])[0]!);
    });
    return terms.reduce((a, b) => this.#graph.node('Add', [a, b])[0]!);
  }

  /** A list of dimensions as an int64 value of shape `[count]`. */
  vector(dimensions: Shape): string {
    if (dimensions.every((dimension) => typeof dimension === 'number')) return this.numbers(dimensions);
    return this.#graph.node('Concat', this.#runs(dimensions), { axis: 0 })[0]!;
  }

  /** Integers as an int64 constant of shape `[count]`. */
  numbers(values: readonly number[]): string {
    return this.#graph.sharedInitializer(BigInt64Array.from(values, BigInt), [values.length]);
  }

  /**
   * The shape operand of a `Reshape` node. It is a constant if possible: 0 copies a size of the input, and -1 infers
   * one size.
   */
  reshapeTarget(from: Shape, target: Shape): string {
    const copied = target.map((size, axis) => (typeof size === 'string' && size === from[axis] ? 0 : size));
    const named = copied.filter((size) => typeof size === 'string');
    if (named.length > 1) return this.vector(target);
    return this.numbers(copied.map((size) => (typeof size === 'string' ? -1 : size)));
  }

  #named(name: string): string {
    const source = this.#sources.get(name);
    if (source === undefined) throw new Error(`No input of the graph has the size "${name}".`);
    const { value, axis } = source;
    return axis === undefined ? value : this.#graph.node('Shape', [value], { start: axis, end: axis + 1 })[0]!;
  }

  /** Values whose concatenation is the list. Successive numbers are one constant. */
  #runs(dimensions: Shape): string[] {
    const runs: string[] = [];
    let numbers: number[] = [];
    const flush = (): void => {
      if (numbers.length > 0) runs.push(this.numbers(numbers));
      numbers = [];
    };
    for (const dimension of dimensions) {
      if (typeof dimension === 'number') numbers.push(dimension);
      else {
        flush();
        runs.push(this.value(dimension));
      }
    }
    flush();
    return runs;
  }
}
