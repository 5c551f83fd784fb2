// Conditions on sizes (`If`) and loops over blocks (`Scan`) as ONNX operators.
import { productOf, sumOf } from '../dimensions.ts';
import type { ControlOperations, Dimension, Shape } from '../operations.ts';
import { resolveAxis, sameShape, withSize } from '../shapes.ts';
import type { GraphBuilder, OnnxTensor } from './graph-builder.ts';
import type { GraphValue } from './model.ts';

/** Branches and loop bodies are subgraphs. Their values cannot be used outside of them. */
export function control(graph: GraphBuilder): ControlOperations<OnnxTensor> {
  const { sizes } = graph;

  /** The description of a tensor as the output of a subgraph. */
  const outputOf = ({ name, shape }: OnnxTensor): GraphValue => ({ name, type: 'float', shape });

  const branch = (compute: () => OnnxTensor, results: OnnxTensor[]) => ({
    graph: graph.subgraph([], () => {
      const result = compute();
      results.push(result);
      return outputOf(result);
    }),
  });

  /** The block numbers 0, 1, …: an int64 tensor `[blocks]`. */
  const blockNumbers = (count: Dimension, size: number): string => {
    const blocks = graph.value('Div', [sizes.value(sumOf([count, size - 1])), sizes.numbers([size])]);
    return graph.value('Range', [
      graph.scalar(0),
      graph.value('Reshape', [blocks, sizes.numbers([])]),
      graph.scalar(1),
    ]);
  };

  /** The minimum or maximum of two sizes. */
  const bounded = (operator: 'Min' | 'Max', a: Dimension, b: Dimension): Dimension =>
    sizes.named(graph.value(operator, [sizes.value(a), sizes.value(b)]));

  /** Concatenates the blocks. The last block ends at the end of the axis, so it may overlap the previous one. */
  const joinBlocks = (blocks: string, shape: Shape, axis: number, count: Dimension, size: number): OnnxTensor => {
    const axes = sizes.numbers([axis]);
    const target = [sizes.vector(shape.slice(0, axis)), sizes.numbers([-1]), sizes.vector(shape.slice(axis + 1))];
    const all = graph.value('Reshape', [blocks, graph.value('Concat', target, { axis: 0 })]);
    const first = graph.value('Slice', [all, sizes.numbers([0]), sizes.value(sumOf([count, -size])), axes]);
    const last = graph.value('Slice', [all, sizes.numbers([-size]), sizes.numbers([endOfAxis]), axes]);
    return graph.float('Concat', [first, last], withSize(shape, axis, count), { axis });
  };

  return {
    ifLonger(size, limit, long, short) {
      if (typeof size === 'number') return size > limit && long !== undefined ? long() : short();
      const results: OnnxTensor[] = [];
      const shorter = branch(short, results);
      const { shape } = results[0]!;
      const emptyTensor = (): OnnxTensor => {
        const emptied = sizes.numbers(shape.map((each) => (typeof each === 'number' ? 1 : 0)));
        return graph.float('ConstantOfShape', [graph.value('Mul', [sizes.vector(shape), emptied])], shape);
      };
      const longer = branch(long ?? emptyTensor, results);
      if (!sameShape(shape, results[1]!.shape)) throw new Error('ifLonger: the two branches return different shapes.');
      const condition = graph.value('Greater', [sizes.value(size), sizes.numbers([limit])]);
      return graph.float('If', [condition], shape, { then_branch: longer, else_branch: shorter });
    },

    // `Scan` instead of `Loop`: `checkGraph` refuses `Loop`, because its execution may never end.
    inBlocks(count, { size, before = Infinity, after = Infinity }, axis, compute) {
      let shape: Shape = [];
      const body = graph.subgraph([{ type: 'int64', shape: [] }], ([number]) => {
        const even = graph.value('Mul', [number!, sizes.numbers([size])]);
        const start = bounded('Min', sizes.named(even), sumOf([count, -size]));
        const from = before === Infinity ? 0 : bounded('Max', sumOf([start, -before]), 0);
        const end = after === Infinity ? count : bounded('Min', sumOf([start, size + after]), count);
        const length = sumOf([end, productOf([-1, from])]);
        const result = compute({ start, size, from, length });
        shape = result.shape;
        return outputOf(result);
      });
      const along = resolveAxis(shape, axis);
      const scan = { body: { graph: body }, num_scan_inputs: 1, scan_output_axes: [along] };
      return joinBlocks(graph.value('Scan', [blockNumbers(count, size)], scan), shape, along, count, size);
    },
  };
}

/** An index beyond the end of every axis, for slices up to the end. */
const endOfAxis = 2 ** 40;
