// A linear classifier on the vectors of a frozen encoder.
import { throwIfAborted, type Matrix } from '@sentvec/core';
import { checkOptionNames } from '@sentvec/platform';
import { BlockedVectors } from './blocked-vectors.ts';
import { minimize } from './minimize.ts';

/** Options of {@link fitLinearProbe}. */
export interface LinearProbeOptions {
  /** The fit ends when no entry of the gradient of the mean loss is larger than this. @default 1e-4 */
  readonly tolerance?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A fitted linear classifier. */
export interface LinearProbe {
  /** `[classes, cols]`. */
  readonly weights: Matrix;
  /** `[classes]`. */
  readonly bias: Float32Array;
  /** Predicts the class of each row, 0 to `classes - 1`. */
  predict(vectors: Matrix): Promise<number[]>;
}

/**
 * Multinomial logistic regression with an L2 penalty, fitted by L-BFGS. It minimizes Σ log-loss + ½ Σ weights², like
 * `LogisticRegression` of scikit-learn with its defaults (C = 1; the bias is not penalized). Deterministic. Yields to
 * the event loop every few milliseconds.
 * @param classes the class of each row, 0 to `count - 1`
 * @throws SentvecError `aborted`
 */
export async function fitLinearProbe(
  vectors: Matrix,
  classes: readonly number[],
  count: number,
  options: LinearProbeOptions = {},
): Promise<LinearProbe> {
  checkOptionNames('fitLinearProbe()', options, { tolerance: true, signal: true });
  const { tolerance = 1e-4, signal } = options;
  const { rows, cols } = vectors;
  const blocked = new BlockedVectors(vectors, count);
  const size = count * cols;
  // With two classes, scikit-learn has one row of weights w = w₁ - w₀. Two rows ±w/2 need twice the penalty.
  const penalty = (count === 2 ? 2 : 1) / rows;
  const found = await minimize(
    async (x) => {
      throwIfAborted(signal);
      const sums = new Float64Array(size);
      const gradient = new Float64Array(size + count);
      let loss = 0;
      await blocked.multiply(
        x.subarray(0, size),
        x.subarray(size),
        (scores, first, blockRows) => {
          for (let row = 0; row < blockRows; row++) {
            const own = scores.subarray(row * count, (row + 1) * count);
            loss += errorsInPlace(own, classes[first + row]!);
            for (let k = 0; k < count; k++) gradient[size + k]! += own[k]! / rows;
          }
        },
        sums,
      );
      let squares = 0;
      for (let i = 0; i < size; i++) {
        squares += x[i]! ** 2;
        gradient[i] = sums[i]! / rows + penalty * x[i]!;
      }
      return { value: loss / rows + (penalty * squares) / 2, gradient };
    },
    new Float64Array(size + count),
    { tolerance, iterations: 200 },
  );
  const weights = { data: Float32Array.from(found.subarray(0, size)), rows: count, cols };
  const bias = Float32Array.from(found.subarray(size));
  return { weights, bias, predict: async (unknown) => predict(unknown, weights, bias) };
}

/** Replaces each score by the predicted probability minus the true one. @returns the log-loss */
function errorsInPlace(scores: Float32Array, right: number): number {
  const largest = scores.reduce((most, score) => Math.max(most, score), -Infinity);
  const own = scores[right]! - largest;
  let total = 0;
  for (let k = 0; k < scores.length; k++) total += scores[k] = Math.exp(scores[k]! - largest);
  for (let k = 0; k < scores.length; k++) scores[k]! /= total;
  scores[right]! -= 1;
  return Math.log(total) - own;
}

async function predict(vectors: Matrix, weights: Matrix, bias: Float32Array): Promise<number[]> {
  const guesses: number[] = [];
  if (vectors.rows === 0) return guesses;
  await new BlockedVectors(vectors, weights.rows).multiply(weights.data, bias, (scores, _, rows) => {
    for (let row = 0; row < rows; row++) {
      const own = scores.subarray(row * weights.rows, (row + 1) * weights.rows);
      guesses.push(own.indexOf(own.reduce((most, score) => Math.max(most, score), -Infinity)));
    }
  });
  return guesses;
}
