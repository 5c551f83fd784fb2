// Reverse-mode differentiation over any interpreter of the operations.
import type { Operations } from '../operations.ts';
import { type TapeStep, type Tracked, trackedOperations, type TrackedOperand } from './tracked-operations.ts';

/**
 * Reverse-mode differentiation of anything that is written over the operations. Its `operations` compute what those it
 * wraps compute, and record the steps; `gradients` then walks them back. The gradients are computed by the wrapped
 * operations: at once if these compute at once, as part of the graph if these record.
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

  /** A tensor that gradients can be asked for. */
  parameter(value: T): Tracked<T> {
    return { value, step: this.#step([]) };
  }

  /**
   * A tensor that is taken as it is: no gradient flows into it. Also stops the gradient of a tracked tensor's `value`.
   */
  fixed(value: T): Tracked<T> {
    return { value };
  }

  /**
   * The gradient of the sum of all entries of `result` with respect to each parameter, in the parameter's shape; zeros
   * for those that it does not depend on. A `result` that is a loss has one entry, whose shape is `[]`.
   * @param weights the factor of each entry of `result` in the sum, in its shape. Without it each counts once
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

/** A function's value and its gradients. */
export interface ValueAndGradients<T> {
  readonly value: T;
  readonly gradients: readonly T[];
}

/**
 * The value of a function of some tensors, and its gradient with respect to each of them, in their shapes. `compute`
 * gets operations that remember, and the parameters; tensors from elsewhere enter it through `fixed`.
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
