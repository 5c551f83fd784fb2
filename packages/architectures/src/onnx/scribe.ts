import type { Operand, Shape } from '../operations.ts';
import { broadcastShapes } from '../shapes.ts';
import type { OnnxGraph } from './graph.ts';
import { type Attribute, elementTypes } from './model.ts';
import { OnnxSizes } from './sizes.ts';

/** A value of a graph that is being recorded. */
export interface OnnxTensor {
  readonly name: string;
  /** Floats are float32, indices int64. */
  readonly kind: 'float' | 'index';
  readonly shape: Shape;
  /** The name of the same as bool, where it is the result of a comparison. */
  readonly truth?: string;
}

type Attributes = Readonly<Record<string, Attribute>>;

/** Writes operators into a graph: what the recorded operations share. */
export class OnnxScribe {
  readonly graph: OnnxGraph;
  readonly sizes: OnnxSizes;

  constructor(graph: OnnxGraph) {
    this.graph = graph;
    this.sizes = new OnnxSizes(graph);
  }

  /** An operator with one output; the name of that. */
  node(operator: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.graph.node(operator, inputs, attributes)[0]!;
  }

  /** An operator that gives floats. */
  float(operator: string, inputs: readonly string[], shape: Shape, attributes: Attributes = {}): OnnxTensor {
    return { name: this.node(operator, inputs, attributes), kind: 'float', shape };
  }

  /** An operator that gives the kind of tensor that `x` is. */
  like(
    x: OnnxTensor,
    operator: string,
    inputs: readonly string[],
    shape: Shape,
    attributes: Attributes = {},
  ): OnnxTensor {
    return { name: this.node(operator, inputs, attributes), kind: x.kind, shape };
  }

  /** A number as a tensor. */
  operand(operand: Operand<OnnxTensor>): OnnxTensor {
    if (typeof operand !== 'number') return operand;
    return { name: this.graph.sharedInitializer(Float32Array.of(operand), []), kind: 'float', shape: [] };
  }

  /** A whole number: int64 `[]`. */
  scalar(value: number): string {
    return this.graph.sharedInitializer(BigInt64Array.of(BigInt(value)), []);
  }

  binary(operator: string, a: Operand<OnnxTensor>, b: Operand<OnnxTensor>): OnnxTensor {
    const [left, right] = [this.operand(a), this.operand(b)];
    return this.float(operator, [left.name, right.name], broadcastShapes(operator, left.shape, right.shape));
  }

  comparison(operator: string, a: Operand<OnnxTensor>, b: Operand<OnnxTensor>): OnnxTensor {
    const truth = this.binary(operator, a, b);
    return { ...this.float('Cast', [truth.name], truth.shape, { to: elementTypes.float }), truth: truth.name };
  }
}
