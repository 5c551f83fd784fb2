// Operations on tracked tensors, which record how their results were computed. The tape walks these steps backwards.
import { sumOf } from '../dimensions.ts';
import { immediateControl } from '../immediate-control.ts';
import type {
  CreationOperations,
  Dimension,
  ElementwiseOperations,
  LayerOperations,
  MovementOperations,
  Operand,
  Operations,
  ReductionOperations,
} from '../operations.ts';
import { resolveAxis } from '../shapes.ts';
import * as rules from './rules.ts';
/** A recorded step of the computation. */
export interface TapeStep<T> {
  readonly position: number;
  /** The steps of the tracked operands, each with the pullback that gives its gradient. */
  readonly operands: readonly { readonly step: TapeStep<T>; readonly pullback: rules.Pullback<T> }[];
}

/** A tensor on a tape. A tensor without `step` does not depend on a parameter. */
export interface Tracked<T> {
  readonly value: T;
  readonly step?: TapeStep<T> | undefined;
}

/** An operand of an operation together with its pullback. */
export type TrackedOperand<T> = readonly [operand: Tracked<T>, pullback: rules.Pullback<T>];

/** Records a result with its operands and their pullbacks. */
type Recorder<T> = (value: T, operands: readonly TrackedOperand<T>[]) => Tracked<T>;

type Binary<T> = (a: Operand<T>, b: Operand<T>) => T;

function valueOf<T>(operand: Operand<Tracked<T>>): Operand<T> {
  return typeof operand === 'number' ? operand : operand.value;
}

/** The operations of `ops` on tracked tensors. Each is recorded together with its gradient rule. */
export function trackedOperations<T>(ops: Operations<T>, record: Recorder<T>): Operations<Tracked<T>> {
  const moves = movement(ops, record);
  const tracked: Operations<Tracked<T>> = {
    ...creation(ops),
    ...moves,
    ...elementwise(ops, record),
    ...reductions(ops, record),
    ...layers(ops, record),
    ...immediateControl(moves),
    // Gradients always use the branch for short inputs. Both branches compute the same values.
    ifLonger: (_size, _limit, _long, short) => short(),
    attention: (queries, keys, values) =>
      tracked.matmul(tracked.softmax(tracked.matmul(queries, keys, { transposeRight: true })), values),
  };
  return tracked;
}

/** Operations through which no gradient flows. */
function creation<T>(ops: Operations<T>): CreationOperations<Tracked<T>> {
  return {
    shape: (x) => ops.shape(x.value),
    constant: (data, shape) => ({ value: ops.constant(data, shape) }),
    size: (dimension) => ({ value: ops.size(dimension) }),
    range: (length) => ({ value: ops.range(length) }),
    toFloat: (indices) => ({ value: ops.toFloat(indices.value) }),
    toIndex: (x) => ({ value: ops.toIndex(x.value) }),
    detach: (x) => ({ value: ops.detach(x.value) }),
  };
}

function movement<T>(ops: Operations<T>, record: Recorder<T>): MovementOperations<Tracked<T>> {
  return {
    reshape: (x, shape) => record(ops.reshape(x.value, shape), [[x, rules.reshapeRule(ops, x.value)]]),
    transpose: (x, permutation) =>
      record(ops.transpose(x.value, permutation), [[x, rules.transposeRule(ops, x.value, permutation)]]),
    broadcastTo: (x, shape) => record(ops.broadcastTo(x.value, shape), [[x, rules.broadcastToRule(ops, x.value)]]),

    concat(parts, axis) {
      const values = parts.map((part) => part.value);
      let start: Dimension = 0;
      const operands = parts.map((part): TrackedOperand<T> => {
        const pullback = rules.concatRule(ops, part.value, axis, start);
        const shape = ops.shape(part.value);
        start = sumOf([start, shape[resolveAxis(shape, axis)]!]);
        return [part, pullback];
      });
      return record(ops.concat(values, axis), operands);
    },

    slice: (x, axis, start, length) =>
      record(ops.slice(x.value, axis, start, length), [[x, rules.sliceRule(ops, x.value, axis, start)]]),
    pad: (x, axis, start, size) =>
      record(ops.pad(x.value, axis, start, size), [[x, rules.padRule(ops, x.value, axis, start)]]),
    gather: (table, indices, options) =>
      record(ops.gather(table.value, indices.value, options), [
        [table, rules.gatherRule(ops, table.value, indices.value, options)],
      ]),
    scatterAdd: (rows, indices, size, options) =>
      record(ops.scatterAdd(rows.value, indices.value, size, options), [
        [rows, rules.scatterAddRule(ops, indices.value, options)],
      ]),
  };
}

function elementwise<T>(ops: Operations<T>, record: Recorder<T>): ElementwiseOperations<Tracked<T>> {
  const binary =
    (
      compute: Binary<T>,
      rule: (a: Operand<T>, b: Operand<T>, result: T) => readonly [rules.Pullback<T>, rules.Pullback<T>],
    ): Binary<Tracked<T>> =>
    (a, b) => {
      const [left, right] = [valueOf(a), valueOf(b)];
      const result = compute(left, right);
      const pullbacks = rule(left, right, result);
      return record(result, pairs([a, b], pullbacks));
    };
  const unary =
    (compute: (x: T) => T, rule: (x: T, result: T) => rules.Pullback<T>) =>
    (x: Tracked<T>): Tracked<T> => {
      const result = compute(x.value);
      return record(result, [[x, rule(x.value, result)]]);
    };
  return {
    add: binary(
      (a, b) => ops.add(a, b),
      (a, b) => rules.addRule(ops, a, b),
    ),
    subtract: binary(
      (a, b) => ops.subtract(a, b),
      (a, b) => rules.subtractRule(ops, a, b),
    ),
    multiply: binary(
      (a, b) => ops.multiply(a, b),
      (a, b) => rules.multiplyRule(ops, a, b),
    ),
    divide: binary(
      (a, b) => ops.divide(a, b),
      (a, b, result) => rules.divideRule(ops, a, b, result),
    ),
    maximum: binary(
      (a, b) => ops.maximum(a, b),
      (a, b) => rules.maximumRule(ops, a, b),
    ),
    greater: (a, b) => ({ value: ops.greater(valueOf(a), valueOf(b)) }),
    equal: (a, b) => ({ value: ops.equal(valueOf(a), valueOf(b)) }),

    where(condition, a, b) {
      const [left, right] = [valueOf(a), valueOf(b)];
      return record(
        ops.where(condition.value, left, right),
        pairs([a, b], rules.whereRule(ops, condition.value, left, right)),
      );
    },

    exp: unary(
      (x) => ops.exp(x),
      (_, y) => rules.expRule(ops, y),
    ),
    log: unary(
      (x) => ops.log(x),
      (x) => rules.logRule(ops, x),
    ),
    sqrt: unary(
      (x) => ops.sqrt(x),
      (_, y) => rules.sqrtRule(ops, y),
    ),
    tanh: unary(
      (x) => ops.tanh(x),
      (_, y) => rules.tanhRule(ops, y),
    ),
    sigmoid: unary(
      (x) => ops.sigmoid(x),
      (_, y) => rules.sigmoidRule(ops, y),
    ),
    erf: unary(
      (x) => ops.erf(x),
      (x) => rules.erfRule(ops, x),
    ),
    relu: unary(
      (x) => ops.relu(x),
      (_, y) => rules.reluRule(ops, y),
    ),
    gelu: unary(
      (x) => ops.gelu(x),
      (x) => rules.geluRule(ops, x),
    ),
  };
}

/** The operands that are tensors, each with its pullback; numbers are left out. */
function pairs<T>(
  operands: readonly Operand<Tracked<T>>[],
  pullbacks: readonly rules.Pullback<T>[],
): TrackedOperand<T>[] {
  return operands.flatMap((operand, i) => (typeof operand === 'number' ? [] : [[operand, pullbacks[i]!] as const]));
}

function reductions<T>(ops: Operations<T>, record: Recorder<T>): ReductionOperations<Tracked<T>> {
  return {
    sum: (x, axes, keepAxes) => record(ops.sum(x.value, axes, keepAxes), [[x, rules.sumRule(ops, x.value, axes)]]),

    max(x, axes, keepAxes) {
      const y = ops.max(x.value, axes, keepAxes);
      return record(y, [[x, rules.maxRule(ops, x.value, axes, y)]]);
    },

    logSumExp(x, axes, keepAxes) {
      const y = ops.logSumExp(x.value, axes, keepAxes);
      return record(y, [[x, rules.logSumExpRule(ops, x.value, axes, y)]]);
    },

    cumulativeSum: (x, axis) => record(ops.cumulativeSum(x.value, axis), [[x, rules.cumulativeSumRule(ops, axis)]]),
  };
}

function layers<T>(ops: Operations<T>, record: Recorder<T>): Omit<LayerOperations<Tracked<T>>, 'attention'> {
  return {
    softmax(x) {
      const y = ops.softmax(x.value);
      return record(y, [[x, rules.softmaxRule(ops, y)]]);
    },

    matmul: (a, b, options) =>
      record(ops.matmul(a.value, b.value, options), pairs([a, b], rules.matmulRule(ops, a.value, b.value, options))),

    linear(x, weight, bias) {
      const operands = [x, weight, ...(bias === undefined ? [] : [bias])];
      return record(
        ops.linear(x.value, weight.value, bias?.value),
        pairs(operands, rules.linearRule(ops, x.value, weight.value)),
      );
    },

    layerNorm(x, weight, bias, epsilon) {
      const result = ops.layerNorm(x.value, weight.value, bias?.value, epsilon);
      const statistics = rules.statisticsRule(ops, x.value, result);
      return {
        output: record(
          result.output,
          pairs(
            [x, weight, ...(bias === undefined ? [] : [bias])],
            rules.layerNormRule(ops, x.value, weight.value, result),
          ),
        ),
        mean: record(result.mean, [[x, statistics.mean]]),
        inverseDeviation: record(result.inverseDeviation, [[x, statistics.inverseDeviation]]),
      };
    },

    rmsNorm: (x, weight, epsilon) =>
      record(
        ops.rmsNorm(x.value, weight.value, epsilon),
        pairs([x, weight], rules.rmsNormRule(ops, x.value, weight.value, epsilon)),
      ),

    rotate: (x, { value: cosines }, { value: sines }) =>
      record(ops.rotate(x.value, cosines, sines), [[x, rules.rotateRule(ops, cosines, sines)]]),
  };
}
