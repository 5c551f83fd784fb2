// Reverse-mode differentiation over any interpreter of the operations.
import type { Operations } from '../operations.ts';
import { type TapeStep, type Tracked, trackedOperations, type TrackedOperand } from './tracked-operations.ts';

/**
 * Reverse-mode differentiation of functions that are written with {@link Operations}. `tape.operations` call the
 * wrapped operations and record each step; `gradients()` walks the steps backwards. The gradients are computed with the
 * wrapped operations too: as numbers if these compute numbers, as nodes of the graph if these record a graph.
 *
 * ```ts
 * const tape = new Tape(plainOperations);
 * const x = tape.parameter(plainTensor([3], []));
 * const y = tape.operations.multiply(x, x);
 * const [slope] = tape.gradients(y, [x]); // 6
 * ```
 */
export class Tape<T> {
  readonly operations: Operations<Tracked<T>>;
  readonly #ops: Operations<T>;
  readonly #steps: TapeStep<T>[] = [];

  constructor(ops: Operations<T>) {
    this.#ops = ops;
    this.operations = trackedOperations(ops, (value, operands) => this.#record(value, operands));
  }

  /** Makes a tensor with respect to which {@link gradients} can differentiate. */
  parameter(value: T): Tracked<T> {
    return { value, step: this.#step([]) };
  }

  /** Makes a constant: no gradient flows into it. For the `value` of a tracked tensor this stops the gradient. */
  fixed(value: T): Tracked<T> {
    return { value };
  }

  /**
   * The gradient of the sum of all entries of `result` with respect to each parameter, in the shape of the parameter.
   * It is zero for parameters on which `result` does not depend. A loss has the shape `[]`, that is a single entry.
   * @param weights the factor of each entry of `result` in the sum, in the shape of `result` (default: 1 for all)
   */
  gradients(result: Tracked<T>, parameters: readonly Tracked<T>[], weights?: T): T[] {
    const ops = this.#ops;
    const found = new Map<TapeStep<T>, T>();
    const filled = (entry: number, like: T): T =>
      ops.broadcastTo(ops.constant(Float32Array.of(entry), []), ops.shape(like));
    if (result.step !== undefined) {
      found.set(result.step, weights ?? filled(1, result.value));
      this.#walkBack(result.step, found);
    }
    return parameters.map((parameter) => (parameter.step && found.get(parameter.step)) ?? filled(0, parameter.value));
  }

  #walkBack(from: TapeStep<T>, found: Map<TapeStep<T>, T>): void {
    for (let position = from.position; position >= 0; position -= 1) {
      const { operands } = this.#steps[position]!;
      const gradient = found.get(this.#steps[position]!);
      if (gradient === undefined) continue;
      for (const { step, pullback } of operands) {
        const share = pullback(gradient);
        const others = found.get(step);
        found.set(step, others === undefined ? share : this.#ops.add(others, share));
      }
    }
  }

  #record(value: T, operands: readonly TrackedOperand<T>[]): Tracked<T> {
    const tracked = operands.flatMap(([{ step }, pullback]) => (step === undefined ? [] : [{ step, pullback }]));
    return tracked.length === 0 ? { value } : { value, step: this.#step(tracked) };
  }

  #step(operands: TapeStep<T>['operands']): TapeStep<T> {
    const step = { position: this.#steps.length, operands };
    this.#steps.push(step);
    return step;
  }
}

/** The value of a function and its gradient with respect to each parameter. */
export interface ValueAndGradients<T> {
  readonly value: T;
  readonly gradients: readonly T[];
}

/**
 * Computes the value of a function of `parameters`, and its gradient with respect to each of them, in their shapes.
 * `compute` gets operations that record, the tracked parameters, and `fixed`, which makes a constant of any other
 * tensor.
 */
export function gradients<T>(
  ops: Operations<T>,
  compute: (
    ops: Operations<Tracked<T>>,
    parameters: readonly Tracked<T>[],
    fixed: (value: T) => Tracked<T>,
  ) => Tracked<T>,
  parameters: readonly T[],
): ValueAndGradients<T> {
  const tape = new Tape(ops);
  const tracked = parameters.map((parameter) => tape.parameter(parameter));
  const result = compute(tape.operations, tracked, (value) => tape.fixed(value));
  return { value: result.value, gradients: tape.gradients(result, tracked) };
}
