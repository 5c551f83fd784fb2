// Element-wise operations as ONNX operators.
import type { ElementwiseOperations } from '../operations.ts';
import { broadcastShapes } from '../shapes.ts';
import { elementTypes } from './model.ts';
import type { GraphBuilder, OnnxTensor } from './graph-builder.ts';

export function elementwise(graph: GraphBuilder): ElementwiseOperations<OnnxTensor> {
  const unary =
    (operator: string): ElementwiseOperations<OnnxTensor>['exp'] =>
    (x) =>
      graph.float(operator, [x.name], x.shape);
  const binary =
    (operator: string): ElementwiseOperations<OnnxTensor>['add'] =>
    (a, b) =>
      graph.binary(operator, a, b);
  return {
    add: binary('Add'),
    subtract: binary('Sub'),
    multiply: binary('Mul'),
    divide: binary('Div'),
    maximum: binary('Max'),
    greater: (a, b) => graph.comparison('Greater', a, b),
    equal: (a, b) => graph.comparison('Equal', a, b),

    where(condition, a, b) {
      const [left, right] = [graph.operand(a), graph.operand(b)];
      const truth = condition.truth ?? graph.value('Cast', [condition.name], { to: elementTypes.bool });
      return graph.float(
        'Where',
        [truth, left.name, right.name],
        broadcastShapes('where', condition.shape, left.shape, right.shape),
      );
    },

    exp: unary('Exp'),
    log: unary('Log'),
    sqrt: unary('Sqrt'),
    tanh: unary('Tanh'),
    sigmoid: unary('Sigmoid'),
    erf: unary('Erf'),
    relu: unary('Relu'),

    // onnxruntime replaces nodes of this form by a single kernel.
    gelu(x) {
      const grown = graph.binary('Add', graph.float('Erf', [graph.binary('Div', x, Math.SQRT2).name], x.shape), 1);
      return graph.binary('Mul', graph.binary('Mul', x, grown), 0.5);
    },
  };
}
