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

/** Constants with more entries are not searched for duplicates. */
const maxSharedLength = 64;

/** Options of an {@link OnnxRecorder}. */
export interface RecorderOptions {
  /**
   * `standard`: only operators of the ONNX standard. `onnxruntime`: also faster operators that only onnxruntime has.
   * @default 'standard'
   */
  readonly operators?: 'standard' | 'onnxruntime' | undefined;
}

/**
 * Records operations as an ONNX graph (opset 17): declare inputs, apply `operations`, declare outputs, then call
 * `encode()`. The sizes of inputs may be names, which become symbolic dimensions.
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
  /** The recorded graph, for ONNX operators that are not in `operations`. */
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

  /** Declares an input. Later shapes can use the named sizes in `shape`. */
  input(name: string, kind: 'float' | 'index', shape: Shape): OnnxTensor {
    this.graph.input(name, kind === 'float' ? 'float' : 'int64', shape);
    this.graph.sizes.register(name, shape);
    return { name, kind, shape };
  }

  /** Adds a weight whose numbers are in an external data file. Half precision is converted to float32 in each run. */
  weight(numbers: ExternalNumbers, shape: readonly number[]): OnnxTensor {
    if (numbers.type === 'float') return { name: this.graph.externalInitializer(numbers, shape), kind: 'float', shape };
    const { half, float32 } = this.graph.widenedInitializer(numbers, shape);
    return { name: float32, kind: 'float', shape, half };
  }

  /** Declares an output. */
  output(name: string, x: OnnxTensor): void {
    this.graph.output(name, x.name, x.kind === 'float' ? 'float' : 'int64', x.shape);
  }

  /** Encodes the model: all inputs, and the nodes and constants on which the outputs depend. */
  encode(): Uint8Array<ArrayBuffer> {
    return this.graph.encode();
  }

  /**
   * Encodes the model with its large constants in a separate file, which must be stored as `location` in the folder of
   * the model.
   */
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
