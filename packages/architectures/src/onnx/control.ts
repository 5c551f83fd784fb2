// Conditions on sizes, and loops over blocks, as ONNX operators.
import { productOf, sumOf } from '../dimensions.ts';
import type { ControlOperations, Dimension, Shape } from '../operations.ts';
import { resolveAxis, sameShape, withSize } from '../shapes.ts';
import type { GraphBuilder, OnnxTensor } from './graph-builder.ts';
import type { GraphValue } from './model.ts';

/** What is computed within a condition or a loop is a graph of its own, whose values are not known outside of it. */
export function control(graph: GraphBuilder): ControlOperations<OnnxTensor> {
  const { sizes } = graph;

  /** Records what `compute` computes as the output of a graph within a node. */
  const outputOf = ({ name, shape }: OnnxTensor): GraphValue => ({ name, type: 'float', shape });

  const branch = (compute: () => OnnxTensor, results: OnnxTensor[]) => ({
    graph: graph.subgraph([], () => {
      const result = compute();
      results.push(result);
      return outputOf(result);
    }),
  });

  /** The numbers of the blocks, from 0. */
  const numbersOf = (count: Dimension, size: number): string => {
    const blocks = graph.value('Div', [sizes.value(sumOf([count, size - 1])), sizes.numbers([size])]);
    return graph.value('Range', [
      graph.scalar(0),
      graph.value('Reshape', [blocks, sizes.numbers([])]),
      graph.scalar(1),
    ]);
  };

  /** The smaller or larger one of two sizes. */
  const bounded = (operator: 'Min' | 'Max', a: Dimension, b: Dimension): Dimension =>
    sizes.named(graph.value(operator, [sizes.value(a), sizes.value(b)]));

  /** Blocks one after the other: the last one ends where all end, so it may begin within the one before. */
  const joined = (blocks: string, shape: Shape, axis: number, count: Dimension, size: number): OnnxTensor => {
    const axes = sizes.numbers([axis]);
    const target = [sizes.vector(shape.slice(0, axis)), sizes.numbers([-1]), sizes.vector(shape.slice(axis + 1))];
    const all = graph.value('Reshape', [blocks, graph.value('Concat', target, { axis: 0 })]);
    const first = graph.value('Slice', [all, sizes.numbers([0]), sizes.value(sumOf([count, -size])), axes]);
    const last = graph.value('Slice', [all, sizes.numbers([-size]), sizes.numbers([farAway]), axes]);
    return graph.float('Concat', [first, last], withSize(shape, axis, count), { axis });
  };

  return {
    ifLonger(size, limit, long, short) {
      if (typeof size === 'number') return size > limit && long !== undefined ? long() : short();
      const results: OnnxTensor[] = [];
      const shorter = branch(short, results);
      const { shape } = results[0]!;
      const nothing = (): OnnxTensor => {
        const emptied = sizes.numbers(shape.map((each) => (typeof each === 'number' ? 1 : 0)));
        return graph.float('ConstantOfShape', [graph.value('Mul', [sizes.vector(shape), emptied])], shape);
      };
      const longer = branch(long ?? nothing, results);
      if (!sameShape(shape, results[1]!.shape)) throw new Error('ifLonger: the two ways give different shapes.');
      const condition = graph.value('Greater', [sizes.value(size), sizes.numbers([limit])]);
      return graph.float('If', [condition], shape, { then_branch: longer, else_branch: shorter });
    },

    // Not `Loop`, which may go on for ever, so that checks of foreign files refuse it.
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
      return joined(graph.value('Scan', [numbersOf(count, size)], scan), shape, along, count, size);
    },
  };
}

/** Beyond the end of any axis. */
const farAway = 2 ** 40;
