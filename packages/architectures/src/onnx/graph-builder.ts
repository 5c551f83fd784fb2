// An ONNX graph whose values are tensors with kinds and shapes instead of bare names. The recorded operations build it.
import type { Operand, Shape } from '../operations.ts';
import { broadcastShapes } from '../shapes.ts';
import { OnnxGraph } from './graph.ts';
import { type Attribute, elementTypes } from './model.ts';
import { OnnxSizes } from './sizes.ts';

/** A value of the recorded graph. */
export interface OnnxTensor {
  readonly name: string;
  /** The type: float32 for `float`, int64 for `index`. */
  readonly kind: 'float' | 'index';
  readonly shape: Shape;
  /** For the result of a comparison, the name of the same value with the type bool. */
  readonly truth?: string | undefined;
  /** For a weight that is stored in half precision, the name of the stored value. */
  readonly half?: string | undefined;
  /** For a weight that is stored as integers, the names of the integers and of the scales. */
  readonly integers?: StoredMatrix | undefined;
}

/** The names of a matrix of integers, and of the scales of its rows or columns. */
export interface StoredMatrix {
  readonly values: string;
  readonly scales: string;
}

type Attributes = Readonly<Record<string, Attribute>>;

/** An {@link OnnxGraph} with methods that the recorded operations share. */
export class GraphBuilder extends OnnxGraph {
  readonly sizes: OnnxSizes = new OnnxSizes(this);
  readonly #matrices = new Map<string, StoredMatrix>();

  /** Adds an operator with one output and returns the name of the output. */
  value(operator: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.node(operator, inputs, attributes)[0]!;
  }

  /** Adds an operator whose output are floats. */
  float(operator: string, inputs: readonly string[], shape: Shape, attributes: Attributes = {}): OnnxTensor {
    return { name: this.value(operator, inputs, attributes), kind: 'float', shape };
  }

  /** Adds an operator whose output has the kind of `x`. */
  like(
    x: OnnxTensor,
    operator: string,
    inputs: readonly string[],
    shape: Shape,
    attributes: Attributes = {},
  ): OnnxTensor {
    return { name: this.value(operator, inputs, attributes), kind: x.kind, shape };
  }

  /** Converts a number to a constant tensor of shape `[]`; tensors are returned unchanged. */
  operand(operand: Operand<OnnxTensor>): OnnxTensor {
    if (typeof operand !== 'number') return operand;
    return { name: this.sharedInitializer(Float32Array.of(operand), []), kind: 'float', shape: [] };
  }

  /** An int64 constant of shape `[]`. */
  scalar(value: number): string {
    return this.sharedInitializer(BigInt64Array.of(BigInt(value)), []);
  }

  /** Returns the matrix of integers for `key`; `store` is called only if there is none yet. */
  storedMatrix(key: string, store: () => StoredMatrix): StoredMatrix {
    const known = this.#matrices.get(key) ?? store();
    this.#matrices.set(key, known);
    return known;
  }

  /** Adds an operator with two operands, which are broadcast. */
  binary(operator: string, a: Operand<OnnxTensor>, b: Operand<OnnxTensor>): OnnxTensor {
    const [left, right] = [this.operand(a), this.operand(b)];
    return this.float(operator, [left.name, right.name], broadcastShapes(operator, left.shape, right.shape));
  }

  /** Adds a comparison of two operands. The result is a float tensor of 0 and 1 with its `truth` as bool. */
  comparison(operator: string, a: Operand<OnnxTensor>, b: Operand<OnnxTensor>): OnnxTensor {
    const truth = this.binary(operator, a, b);
    return { ...this.float('Cast', [truth.name], truth.shape, { to: elementTypes.float }), truth: truth.name };
  }
}
