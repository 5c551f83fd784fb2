import { readFileSync } from 'node:fs';
import { goldenPath } from '@sentvec/testing';
import type { Operations } from '@sentvec/architectures';
import { lossFromName, type Loss } from '@sentvec/training';

/** A loss computed with PyTorch for given embeddings, with its gradients with respect to them. */
export interface GoldenLoss {
  readonly loss: string;
  readonly params: Record<string, unknown>;
  readonly columns: readonly string[];
  readonly embeddings: readonly (readonly (readonly number[])[])[];
  readonly labels: readonly (number | readonly number[])[] | null;
  /** Trainable tensors of the loss. Their gradients follow those of the columns. */
  readonly weights?: Readonly<Record<string, readonly (number | readonly number[])[]>>;
  readonly value: number;
  readonly gradients: readonly (readonly (readonly number[])[])[];
}

/** All golden cases, with names for tests. */
export const goldenLosses: readonly (readonly [string, GoldenLoss])[] = (
  JSON.parse(readFileSync(goldenPath('losses.json'), 'utf8')) as { cases: GoldenLoss[] }
).cases.map((golden) => [`${golden.loss} ${JSON.stringify(golden.params)}`, golden]);

/** The loss itself; those of sparse vectors are for models of that kind. */
export const lossOf = ({ loss, params }: GoldenLoss): Loss =>
  lossFromName(loss, params, /^(?:Sparse|Splade)/u.test(loss) ? 'sparse' : 'embedder');

/** Returns the tensors with gradients: the columns, then the weights of the loss. */
export function tensorsOf({ columns, embeddings, weights = {} }: GoldenLoss) {
  const named = [...columns.map((name, i) => [name, embeddings[i]!] as const), ...Object.entries(weights)];
  return named.map(([name, rows], index) => ({
    name,
    shape: [rows.length, ...(Array.isArray(rows[0]) ? [rows[0].length] : [])],
    data: flat(rows),
    /** The number of examples in the columns is dynamic. */
    isColumn: index < columns.length,
  }));
}

/** The loss from the tensors that {@link tensorsOf} describes. */
export function computeLoss<Tensor>(
  golden: GoldenLoss,
  ops: Operations<Tensor>,
  tensors: readonly Tensor[],
  labels: Tensor | undefined,
): Tensor {
  const columns = golden.columns.length;
  const names = Object.keys(golden.weights ?? {});
  const weight = (name: string) => tensors[columns + names.indexOf(name)]!;
  const drawn = (): never => {
    throw new Error('These losses draw nothing.');
  };
  return lossOf(golden).compute(ops, tensors.slice(0, columns), labels, { weight, drawn });
}

/** Flattens a matrix or an array in row-major order. */
export const flat = (matrix: readonly (number | readonly number[])[]): Float32Array => Float32Array.from(matrix.flat());

/** Returns the largest absolute difference between entries, divided by the largest expected absolute value. */
export function difference(actual: ArrayLike<number>, expected: Float32Array): number {
  if (actual.length !== expected.length) return Infinity;
  const largest = expected.reduce((most, entry) => Math.max(most, Math.abs(entry)), 0);
  return Math.max(...expected.map((entry, i) => Math.abs(entry - actual[i]!))) / largest;
}
