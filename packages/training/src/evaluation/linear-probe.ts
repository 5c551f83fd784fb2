import type { Matrix } from '@sentvec/core';

/** A fitted linear classifier. */
export interface LinearProbe {
  /** The number of the class of each row. */
  predict(vectors: Matrix): number[];
}

const [iterations, learningRate, decay] = [200, 0.05, 1e-4] as const;

/**
 * Multinomial logistic regression with a small L2 penalty, fitted by Adam on all examples at once. Vectors are
 * standardized by column first. Deterministic.
 * @param classes the number of the class of each row, 0 to `count - 1`
 */
export function fitLinearProbe(vectors: Matrix, classes: readonly number[], count: number): LinearProbe {
  const scaling = columnScaling(vectors);
  const inputs = standardize(vectors, scaling);
  const width = vectors.cols + 1;
  const weights = new Float64Array(count * width);
  const [mean, variance] = [new Float64Array(weights.length), new Float64Array(weights.length)];
  for (let step = 1; step <= iterations; step++) {
    const gradient = lossGradient(inputs, classes, weights, count);
    for (let i = 0; i < weights.length; i++) {
      const g = gradient[i]! + decay * weights[i]!;
      mean[i] = 0.9 * mean[i]! + 0.1 * g;
      variance[i] = 0.999 * variance[i]! + 0.001 * g * g;
      weights[i]! -=
        (learningRate * (mean[i]! / (1 - 0.9 ** step))) / (Math.sqrt(variance[i]! / (1 - 0.999 ** step)) + 1e-8);
    }
  }
  return {
    predict(unknown) {
      const rows = standardize(unknown, scaling);
      const scores = new Float64Array(count);
      return Array.from({ length: unknown.rows }, (_, row) => {
        scoreRow(rows, row, weights, scores);
        return scores.indexOf(Math.max(...scores));
      });
    },
  };
}

interface Scaling {
  readonly mean: Float64Array;
  readonly inverseDeviation: Float64Array;
}

function columnScaling({ data, rows, cols }: Matrix): Scaling {
  const mean = new Float64Array(cols);
  const squares = new Float64Array(cols);
  for (let i = 0; i < rows * cols; i++) {
    mean[i % cols]! += data[i]! / rows;
    squares[i % cols]! += data[i]! ** 2 / rows;
  }
  return { mean, inverseDeviation: squares.map((square, i) => 1 / Math.sqrt(Math.max(square - mean[i]! ** 2, 1e-12))) };
}

/** With a column of ones at the end, for the intercept. */
function standardize({ data, rows, cols }: Matrix, { mean, inverseDeviation }: Scaling): Matrix {
  const result = new Float32Array(rows * (cols + 1)).fill(1);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < cols; i++)
      result[row * (cols + 1) + i] = (data[row * cols + i]! - mean[i]!) * inverseDeviation[i]!;
  }
  return { data: result, rows, cols: cols + 1 };
}

function lossGradient(inputs: Matrix, classes: readonly number[], weights: Float64Array, count: number): Float64Array {
  const { data, rows, cols } = inputs;
  const gradient = new Float64Array(weights.length);
  const scores = new Float64Array(count);
  for (let row = 0; row < rows; row++) {
    scoreRow(inputs, row, weights, scores);
    const largest = Math.max(...scores);
    const total = scores.reduce((sum, score) => sum + Math.exp(score - largest), 0);
    for (let k = 0; k < count; k++) {
      const error = (Math.exp(scores[k]! - largest) / total - Number(k === classes[row])) / rows;
      for (let i = 0; i < cols; i++) gradient[k * cols + i]! += error * data[row * cols + i]!;
    }
  }
  return gradient;
}

function scoreRow({ data, cols }: Matrix, row: number, weights: Float64Array, scores: Float64Array): void {
  for (let k = 0; k < scores.length; k++) {
    let score = 0;
    for (let i = 0; i < cols; i++) score += weights[k * cols + i]! * data[row * cols + i]!;
    scores[k] = score;
  }
}
