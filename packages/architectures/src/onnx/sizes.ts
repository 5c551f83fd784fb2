// Dimensions as values of an ONNX graph.
import { namedDimension, termsOf } from '../dimensions.ts';
import type { Dimension, Shape } from '../operations.ts';
import type { OnnxGraph } from './graph.ts';

/** Computes dimensions within a graph: named sizes are read from the shapes of the inputs that have them. */
export class OnnxSizes {
  readonly #graph: OnnxGraph;
  /** Where a named size can be read: an input, and one of its axes, or a value that is the size. */
  readonly #sources = new Map<string, { readonly value: string; readonly axis?: number | undefined }>();

  constructor(graph: OnnxGraph) {
    this.#graph = graph;
  }

  /** Remembers the named sizes of an input. Expressions of several names are skipped. */
  learn(value: string, shape: Shape): void {
    shape.forEach((size, axis) => {
      if (typeof size === 'string' && !this.#sources.has(size)) this.#sources.set(size, { value, axis });
    });
  }

  /** A size that was computed, int64 `[1]`, as a dimension. */
  named(value: string): Dimension {
    this.#sources.set(value, { value });
    return namedDimension(value);
  }

  /** A dimension as a value: int64 `[1]`. */
  value(dimension: Dimension): string {
    if (typeof dimension === 'number') return this.numbers([dimension]);
    const terms = termsOf(dimension).map(({ coefficient, names }) => {
      const factors = names.map((name) => this.#named(name));
      if (coefficient !== 1 || factors.length === 0) factors.push(this.numbers([coefficient]));
      return factors.reduce((a, b) => this.#graph.node('Mul', [a, b])[0]!);
    });
    return terms.reduce((a, b) => this.#graph.node('Add', [a, b])[0]!);
  }

  /** A list of dimensions as a value: int64 `[count]`. */
  vector(dimensions: Shape): string {
    if (dimensions.every((dimension) => typeof dimension === 'number')) return this.numbers(dimensions);
    return this.#graph.node('Concat', this.#runs(dimensions), { axis: 0 })[0]!;
  }

  /** Whole numbers as a value: int64 `[count]`. */
  numbers(values: readonly number[]): string {
    return this.#graph.sharedInitializer(BigInt64Array.from(values, BigInt), [values.length]);
  }

  /**
   * The shape to give to `Reshape`: constants where possible, since it can copy a size of its input (0) and infer one
   * (-1).
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

  /** Values whose concatenation is the list: numbers that follow each other share one. */
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
