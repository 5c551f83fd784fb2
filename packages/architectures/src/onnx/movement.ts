// Operations that move entries (reshape, concat, gather and others) as ONNX operators.
import { productOf, sumOf } from '../dimensions.ts';
import type { Dimension, MovementOperations, Shape } from '../operations.ts';
import {
  checkBroadcast,
  checkConcat,
  checkReshape,
  resolveAxis,
  sameShape,
  scatterShape,
  transposedShape,
  withSize,
} from '../shapes.ts';
import { elementTypes } from './model.ts';
import type { GraphBuilder, OnnxTensor } from './graph-builder.ts';

/**
 * Up to this number of rows in the result, `scatterAdd` uses a matrix product. `ScatterND` with a reduction would be
 * wrong: onnxruntime 1.30 runs it on several threads without a lock and loses additions to a row that occurs twice.
 */
const maxSelected = 1024;

/** The operations that move entries. Those that would change nothing add no node. */
export function movement(graph: GraphBuilder): MovementOperations<OnnxTensor> {
  const { sizes } = graph;

  const reshape: MovementOperations<OnnxTensor>['reshape'] = (x, shape) => {
    checkReshape(x.shape, shape);
    if (sameShape(x.shape, shape)) return x;
    return graph.like(x, 'Reshape', [x.name, sizes.reshapeTarget(x.shape, shape)], shape);
  };

  const zerosOf = (shape: Shape): string => graph.value('ConstantOfShape', [sizes.vector(shape)]);

  // A matrix product with a matrix of 0 and 1, which selects the rows to add for each row of the result.
  const selectAndSum = (rows: OnnxTensor, indices: OnnxTensor, size: number): OnnxTensor => {
    const [count, width] = rows.shape as [Dimension, Dimension];
    const numbers = graph.initializer(
      BigInt64Array.from({ length: size }, (_, row) => BigInt(row)),
      [size, 1],
    );
    const chosen = graph.value('Equal', [numbers, reshape(indices, [1, count]).name]);
    const selection = graph.value('Cast', [chosen], { to: elementTypes.float });
    return graph.float('MatMul', [selection, rows.name], [size, width]);
  };

  // `ScatterElements` adds one entry after the other. It is slow, but its work does not grow with the size of the
  // result.
  const scatterEntries = (rows: OnnxTensor, indices: OnnxTensor, size: Dimension): OnnxTensor => {
    const [count, width] = rows.shape as [Dimension, Dimension];
    const rowOfEntry = graph.value('Expand', [reshape(indices, [count, 1]).name, sizes.vector([count, width])]);
    const inputs = [zerosOf([size, width]), rowOfEntry, rows.name];
    return graph.float('ScatterElements', inputs, [size, width], { axis: 0, reduction: 'add' });
  };

  return {
    reshape,

    transpose(x, permutation) {
      const perm = permutation.map((axis) => resolveAxis(x.shape, axis));
      return graph.like(x, 'Transpose', [x.name], transposedShape(x.shape, perm), { perm });
    },

    broadcastTo(x, shape) {
      checkBroadcast(x.shape, shape);
      return sameShape(x.shape, shape) ? x : graph.like(x, 'Expand', [x.name, sizes.vector(shape)], shape);
    },

    concat(parts, axis) {
      const shapes = parts.map((part) => part.shape);
      checkConcat(shapes, axis);
      const first = parts[0]!;
      const at = resolveAxis(first.shape, axis);
      const shape = withSize(first.shape, at, sumOf(shapes.map((each) => each[at]!)));
      const names = parts.map((part) => part.name);
      return graph.like(first, 'Concat', names, shape, { axis: at });
    },

    slice(x, axis, start, length) {
      const at = resolveAxis(x.shape, axis);
      if (start === 0 && length === x.shape[at]) return x;
      const bounds = [sizes.value(start), sizes.value(sumOf([start, length])), sizes.numbers([at])];
      return graph.like(x, 'Slice', [x.name, ...bounds], withSize(x.shape, at, length));
    },

    pad(x, axis, start, size) {
      const at = resolveAxis(x.shape, axis);
      if (start === 0 && size === x.shape[at]) return x;
      const after = graph.value('Sub', [sizes.value(size), sizes.value(sumOf([start, x.shape[at]!]))]);
      const others = x.shape.length - 1;
      const zeros = (count: number): string => sizes.numbers(Array.from({ length: count }, () => 0));
      const pads = graph.value('Concat', [zeros(at), sizes.value(start), zeros(others), after, zeros(others - at)], {
        axis: 0,
      });
      return graph.like(x, 'Pad', [x.name, pads], withSize(x.shape, at, size));
    },

    gather(table, indices) {
      const shape = [...indices.shape, ...table.shape.slice(1)];
      const { half, integers } = table;
      // Only the gathered rows are converted to float32, not the whole table.
      const toFloat32 = (stored: string): string =>
        graph.value('Cast', [graph.value('Gather', [stored, indices.name], { axis: 0 })], { to: elementTypes.float });
      if (integers !== undefined) {
        const scales = graph.value('Gather', [integers.scales, indices.name], { axis: 0 });
        return graph.float('Mul', [toFloat32(integers.values), scales], shape);
      }
      if (half !== undefined) return { name: toFloat32(half), kind: 'float', shape };
      return graph.like(table, 'Gather', [table.name, indices.name], shape, { axis: 0 });
    },

    scatterAdd(rows, indices, size, { distinct = false } = {}) {
      const shape = scatterShape(rows.shape, indices.shape, size);
      if (distinct) {
        const rowNumbers = reshape(indices, [...indices.shape, 1]);
        return graph.float('ScatterND', [zerosOf(shape), rowNumbers.name, rows.name], shape);
      }
      const count = productOf(indices.shape);
      const width = productOf(shape.slice(1));
      const flat = reshape(rows, [count, width]);
      const sums =
        typeof size === 'number' && size <= maxSelected
          ? selectAndSum(flat, indices, size)
          : scatterEntries(flat, indices, size);
      return reshape(sums, shape);
    },
  };
}
