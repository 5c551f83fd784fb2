// An ONNX graph as the recorded operations build it: tensors with kinds and shapes in place of bare names.
import type { Operand, Shape } from '../operations.ts';
import { broadcastShapes } from '../shapes.ts';
import { OnnxGraph } from './graph.ts';
import { type Attribute, elementTypes } from './model.ts';
import { OnnxSizes } from './sizes.ts';

/** A value of a graph that is being recorded. */
export interface OnnxTensor {
  readonly name: string;
  /** Floats are float32, indices int64. */
  readonly kind: 'float' | 'index';
  readonly shape: Shape;
  /** The name of the same as bool, where it is the result of a comparison. */
  readonly truth?: string | undefined;
  /** The name of the same in half precision, where it is a weight that is stored so. */
  readonly half?: string | undefined;
  /** The names of its rows as integers, and of the scale of each, where it is a weight that is stored so. */
  readonly integers?: StoredMatrix | undefined;
}

/** The names of a matrix of integers, and of the scales of its rows or columns. */
export interface StoredMatrix {
  readonly values: string;
  readonly scales: string;
}

type Attributes = Readonly<Record<string, Attribute>>;

/** An {@link OnnxGraph} with what the recorded operations share. */
export class GraphBuilder extends OnnxGraph {
  readonly sizes: OnnxSizes = new OnnxSizes(this);
  readonly #matrices = new Map<string, StoredMatrix>();

  /** An operator with one output; the name of that. */
  value(operator: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.node(operator, inputs, attributes)[0]!;
  }

  /** An operator that gives floats. */
  float(operator: string, inputs: readonly string[], shape: Shape, attributes: Attributes = {}): OnnxTensor {
    return { name: this.value(operator, inputs, attributes), kind: 'float', shape };
  }

  /** An operator that gives the kind of tensor that `x` is. */
  like(
    x: OnnxTensor,
    operator: string,
    inputs: readonly string[],
    shape: Shape,
    attributes: Attributes = {},
  ): OnnxTensor {
    return { name: this.value(operator, inputs, attributes), kind: x.kind, shape };
  }

  /** A number as a tensor. */
  operand(operand: Operand<OnnxTensor>): OnnxTensor {
    if (typeof operand !== 'number') return operand;
    return { name: this.sharedInitializer(Float32Array.of(operand), []), kind: 'float', shape: [] };
  }

  /** A whole number: int64 `[]`. */
  scalar(value: number): string {
    return this.sharedInitializer(BigInt64Array.of(BigInt(value)), []);
  }

  /** A matrix of integers, stored once however often it is asked for. @param key says what it holds */
  storedMatrix(key: string, store: () => StoredMatrix): StoredMatrix {
    const known = this.#matrices.get(key) ?? store();
    this.#matrices.set(key, known);
    return known;
  }

  /** An operator with two operands that broadcast. */
  binary(operator: string, a: Operand<OnnxTensor>, b: Operand<OnnxTensor>): OnnxTensor {
    const [left, right] = [this.operand(a), this.operand(b)];
    return this.float(operator, [left.name, right.name], broadcastShapes(operator, left.shape, right.shape));
  }

  /** An operator with two operands that gives truth values. */
  comparison(operator: string, a: Operand<OnnxTensor>, b: Operand<OnnxTensor>): OnnxTensor {
    const truth = this.binary(operator, a, b);
    return { ...this.float('Cast', [truth.name], truth.shape, { to: elementTypes.float }), truth: truth.name };
  }
}
