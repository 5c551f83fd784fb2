import { quantize, type Matrix } from '@sentvec/core';
import type { Precision } from '../request.ts';
import { entriesOf, type ShardVectors } from '../sinks/sink.ts';
import { readJson, type CorpusRun } from './corpus-run.ts';
import { runFolder } from './run-folder.ts';

/** Ranges of the entries of vectors, for the quantization to int8 and uint8. JSON. */
export interface Calibration {
  /** Texts that the ranges come from: the first of the corpus. */
  readonly rows: number;
  /** Smallest and largest value of each entry. */
  readonly lower: readonly number[];
  readonly upper: readonly number[];
}

/** Whether a precision needs ranges. */
export function isCalibrated(precision: Precision): boolean {
  return precision === 'int8' || precision === 'uint8';
}

/**
 * The ranges of a run; `undefined` for a precision without, and for a corpus without a text. @throws SentvecError
 * `io-failed`
 */
export async function readCalibration(run: CorpusRun): Promise<Calibration | undefined> {
  return isCalibrated(run.options.precision)
    ? readJson<Calibration>(runFolder(run.output, run.key).calibration)
    : undefined;
}

/** The ranges as {@link quantize} takes them: row 0 the lower, row 1 the upper ends. */
export function rangesOf({ lower, upper }: Calibration): Matrix {
  return { data: Float32Array.of(...lower, ...upper), rows: 2, cols: lower.length };
}

/** Vectors in the precision in which they are stored. */
export function quantizeVectors(
  vectors: Matrix,
  precision: Precision,
  calibration: Calibration | undefined,
): ShardVectors {
  if (precision === 'float32') return vectors;
  if (vectors.rows === 0) return { data: entriesOf(precision, 0), rows: 0, cols: vectors.cols };
  return quantize(vectors, precision, { ranges: calibration && rangesOf(calibration) });
}
