// The interpreter that records operations as an ONNX model.
import type { CreationOperations, Operations, Shape } from '../operations.ts';
import { checkConstant } from '../shapes.ts';
import { attentionInBlocks } from '../derived-operations.ts';
import { control } from './control.ts';
import { elementwise } from './elementwise.ts';
import { fusedAttention, layers } from './layers.ts';
import { elementTypes, type ExternalNumbers, type SplitModel } from './model.ts';
import { movement } from './movement.ts';
import { GraphBuilder, type OnnxTensor } from './graph-builder.ts';

/** Longer constants are not compared with each other. */
const maxSharedLength = 64;

/** Options of an {@link OnnxRecorder}. */
export interface RecorderOptions {
  /**
   * `onnxruntime`: also operators that onnxruntime alone has, where they are faster.
   * @default 'standard'
   */
  readonly operators?: 'standard' | 'onnxruntime' | undefined;
}

/**
 * Records operations as an ONNX graph of standard operators (opset 17) unless others are allowed: declare inputs, apply
 * `operations`, declare outputs, then `encode()`. Sizes of inputs may have names; they are then open, and equal
 * wherever the name occurs.
 *
 * ```ts
 * const recorder = new OnnxRecorder();
 * const x = recorder.input('x', 'float', ['batch', 8]);
 * recorder.output('y', recorder.operations.softmax(x));
 * const model = recorder.encode();
 * ```
 */
export class OnnxRecorder {
  readonly operations: Operations<OnnxTensor>;
  /** The graph so far, for operators that are none of the operations. */
  readonly graph: GraphBuilder = new GraphBuilder();

  constructor({ operators = 'standard' }: RecorderOptions = {}) {
    const operations: Operations<OnnxTensor> = {
      ...creation(this.graph),
      ...elementwise(this.graph),
      ...movement(this.graph),
      ...layers(this.graph),
      ...control(this.graph),
      attention: (queries, keys, values) =>
        operators === 'standard'
          ? attentionInBlocks(operations, queries, keys, values)
          : fusedAttention(this.graph, queries, keys, values),
    };
    this.operations = operations;
  }

  /** Declares an input. Named sizes in `shape` can be used from then on. */
  input(name: string, kind: 'float' | 'index', shape: Shape): OnnxTensor {
    this.graph.input(name, kind === 'float' ? 'float' : 'int64', shape);
    this.graph.sizes.learn(name, shape);
    return { name, kind, shape };
  }

  /** A weight whose numbers are in another file. Half precision is converted to float32 where the weight is used. */
  weight(numbers: ExternalNumbers, shape: readonly number[]): OnnxTensor {
    if (numbers.type === 'float') return { name: this.graph.externalInitializer(numbers, shape), kind: 'float', shape };
    const { half, wide } = this.graph.widenedInitializer(numbers, shape);
    return { name: wide, kind: 'float', shape, half };
  }

  /** Declares an output. */
  output(name: string, x: OnnxTensor): void {
    this.graph.output(name, x.name, x.kind === 'float' ? 'float' : 'int64', x.shape);
  }

  /** The model's bytes: what the outputs need, and all inputs. */
  encode(): Uint8Array<ArrayBuffer> {
    return this.graph.encode();
  }

  /** The same with the large constants in a file of their own, called `location`, which belongs next to the model. */
  encodeSplit(location: string): SplitModel {
    return this.graph.encodeSplit(location);
  }
}

function creation(graph: GraphBuilder): CreationOperations<OnnxTensor> {
  const constant: CreationOperations<OnnxTensor>['constant'] = (data, shape) => {
    checkConstant(data, shape);
    const kind = data instanceof Float32Array ? 'float' : 'index';
    const stored = data instanceof Float32Array ? data : BigInt64Array.from(data, BigInt);
    const name =
      data.length > maxSharedLength ? graph.initializer(stored, shape) : graph.sharedInitializer(stored, shape);
    return { name, kind, shape };
  };

  return {
    shape: (x) => x.shape,
    constant,

    size(dimension) {
      if (typeof dimension === 'number') return graph.operand(dimension);
      const value = graph.value('Cast', [graph.sizes.value(dimension)], { to: elementTypes.float });
      return graph.float('Reshape', [value, graph.sizes.numbers([])], []);
    },

    range(length) {
      if (typeof length === 'number')
        return constant(
          Int32Array.from({ length }, (_, i) => i),
          [length],
        );
      const limit = graph.value('Reshape', [graph.sizes.value(length), graph.sizes.numbers([])]);
      return {
        name: graph.value('Range', [graph.scalar(0), limit, graph.scalar(1)]),
        kind: 'index',
        shape: [length],
      };
    },

    toFloat: (indices) => graph.float('Cast', [indices.name], indices.shape, { to: elementTypes.float }),
    detach: (x) => x,
    toIndex: (x) => ({
      name: graph.value('Cast', [x.name], { to: elementTypes.int64 }),
      kind: 'index',
      shape: x.shape,
    }),
  };
}
