import type { Operations } from '../operations.ts';
import { broadcastShapes } from '../shapes.ts';
import { elementTypes } from './model.ts';
import type { OnnxScribe, OnnxTensor } from './scribe.ts';

type Elementwise = Pick<
  Operations<OnnxTensor>,
  | 'add'
  | 'subtract'
  | 'multiply'
  | 'divide'
  | 'maximum'
  | 'greater'
  | 'equal'
  | 'where'
  | 'exp'
  | 'log'
  | 'sqrt'
  | 'tanh'
  | 'sigmoid'
  | 'erf'
  | 'relu'
  | 'gelu'
>;

export function elementwise(scribe: OnnxScribe): Elementwise {
  const unary =
    (operator: string): Elementwise['exp'] =>
    (x) =>
      scribe.float(operator, [x.name], x.shape);
  const binary =
    (operator: string): Elementwise['add'] =>
    (a, b) =>
      scribe.binary(operator, a, b);
  return {
    add: binary('Add'),
    subtract: binary('Sub'),
    multiply: binary('Mul'),
    divide: binary('Div'),
    maximum: binary('Max'),
    greater: (a, b) => scribe.comparison('Greater', a, b),
    equal: (a, b) => scribe.comparison('Equal', a, b),

    where(condition, a, b) {
      const [left, right] = [scribe.operand(a), scribe.operand(b)];
      const truth = condition.truth ?? scribe.node('Cast', [condition.name], { to: elementTypes.bool });
      return scribe.float(
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

    // The form that onnxruntime replaces by one kernel.
    gelu(x) {
      const grown = scribe.binary('Add', scribe.float('Erf', [scribe.binary('Div', x, Math.SQRT2).name], x.shape), 1);
      return scribe.binary('Mul', scribe.binary('Mul', x, grown), 0.5);
    },
  };
}
