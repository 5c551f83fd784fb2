// Reductions and layers as ONNX operators.
import { productOf } from '../dimensions.ts';
import type { Dimension, LayerOperations, ReductionOperations } from '../operations.ts';
import {
  checkNorm,
  halfShape,
  linearShape,
  matmulShape,
  reducedShape,
  resolveAxes,
  resolveAxis,
  withSize,
} from '../shapes.ts';
import { movement } from './movement.ts';
import type { GraphBuilder, OnnxTensor } from './graph-builder.ts';

/** Reductions and layers. */
export function layers(
  graph: GraphBuilder,
): ReductionOperations<OnnxTensor> & Omit<LayerOperations<OnnxTensor>, 'attention'> {
  const moves = movement(graph);

  const swapLastAxes = (x: OnnxTensor): OnnxTensor => {
    const axes = x.shape.map((_, axis) => axis);
    return moves.transpose(x, [...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
  };

  const reduction =
    (operator: string): ReductionOperations<OnnxTensor>['max'] =>
    (x, axes, keepAxes = false) => {
      const attributes = { axes: resolveAxes(x.shape, axes), keepdims: Number(keepAxes) };
      return graph.float(operator, [x.name], reducedShape(x.shape, axes, keepAxes), attributes);
    };

  return {
    sum(x, axes, keepAxes = false) {
      const inputs = [x.name, graph.sizes.numbers(resolveAxes(x.shape, axes))];
      return graph.float('ReduceSum', inputs, reducedShape(x.shape, axes, keepAxes), { keepdims: Number(keepAxes) });
    },

    max: reduction('ReduceMax'),
    logSumExp: reduction('ReduceLogSumExp'),

    cumulativeSum(x, axis) {
      return graph.float('CumSum', [x.name, graph.scalar(resolveAxis(x.shape, axis))], x.shape);
    },

    softmax(x) {
      return graph.float('Softmax', [x.name], x.shape, { axis: -1 });
    },

    matmul(a, b, { transposeLeft = false, transposeRight = false } = {}) {
      const shape = matmulShape(a.shape, b.shape, transposeLeft, transposeRight);
      if (shape.length === 2 && (transposeLeft || transposeRight)) {
        return graph.float('Gemm', [a.name, b.name], shape, {
          transA: Number(transposeLeft),
          transB: Number(transposeRight),
        });
      }
      const left = transposeLeft ? swapLastAxes(a) : a;
      const right = transposeRight ? swapLastAxes(b) : b;
      return graph.float('MatMul', [left.name, right.name], shape);
    },

    // One Gemm over all rows: onnxruntime adds the bias in the same pass, and the weight keeps its layout.
    linear(x, weight, bias) {
      const shape = linearShape(x.shape, weight.shape, bias?.shape);
      const rows = moves.reshape(x, [productOf(x.shape.slice(0, -1)), x.shape.at(-1)!]);
      const inputs = [rows, weight, ...(bias === undefined ? [] : [bias])].map(({ name }) => name);
      const product = graph.float('Gemm', inputs, [rows.shape[0]!, shape.at(-1)!], { transB: 1 });
      return moves.reshape(product, shape);
    },

    layerNorm(x, weight, bias, epsilon) {
      checkNorm('layerNorm', x.shape, weight.shape, bias?.shape);
      const inputs = [x, weight, ...(bias === undefined ? [] : [bias])].map(({ name }) => name);
      const [output, mean, inverseDeviation] = graph.node(
        'LayerNormalization',
        inputs,
        { axis: -1, epsilon: { float: epsilon } },
        3,
      );
      const statistics = withSize(x.shape, -1, 1);
      return {
        output: { name: output!, kind: 'float', shape: x.shape },
        mean: { name: mean!, kind: 'float', shape: statistics },
        inverseDeviation: { name: inverseDeviation!, kind: 'float', shape: statistics },
      };
    },

    // onnxruntime replaces nodes of this form by a single kernel.
    rmsNorm(x, weight, epsilon) {
      checkNorm('rmsNorm', x.shape, weight.shape);
      const squares = graph.binary('Pow', x, 2);
      const mean = graph.float('ReduceMean', [squares.name], withSize(x.shape, -1, 1), { axes: [-1], keepdims: 1 });
      const deviation = graph.float('Sqrt', [graph.binary('Add', mean, epsilon).name], mean.shape);
      return graph.binary('Mul', graph.binary('Div', x, deviation), weight);
    },

    rotate(x, cosines, sines) {
      const half = halfShape(x.shape, cosines.shape, sines.shape).at(-1)!;
      const [first, second] = [moves.slice(x, -1, 0, half), moves.slice(x, -1, half, half)];
      const rotated = [
        graph.binary('Sub', graph.binary('Mul', first, cosines), graph.binary('Mul', second, sines)),
        graph.binary('Add', graph.binary('Mul', second, cosines), graph.binary('Mul', first, sines)),
      ];
      return moves.concat(rotated, -1);
    },
  };
}

/**
 * Attention by the operator `MultiHeadAttention` of onnxruntime. On a CPU without mask and bias, it uses flash
 * attention: it computes in tiles that fit into the cache (Dao et al., 2022).
 */
export function fusedAttention(
  graph: GraphBuilder,
  queries: OnnxTensor,
  keys: OnnxTensor,
  values: OnnxTensor,
): OnnxTensor {
  const moves = movement(graph);
  const shape = [...queries.shape.slice(0, 3), values.shape[3]!] as [Dimension, number, Dimension, number];
  const [batch, heads, rows, width] = shape;
  const inputs = [queries, keys, values].map((x) => {
    const [, , count, size] = x.shape;
    return moves.reshape(moves.transpose(x, [0, 2, 1, 3]), [batch, count!, productOf([heads, size!])]).name;
  });
  const attributes = { num_heads: heads, scale: { float: 1 } };
  const mixed = graph.float('MultiHeadAttention', inputs, [batch, rows, heads * width], attributes);
  return moves.transpose(moves.reshape(mixed, [batch, rows, heads, width]), [0, 2, 1, 3]);
}
