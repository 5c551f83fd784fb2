// Quantizes vectors to 8 bits or 1 bit per entry, and determines the ranges for 8 bits.
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import type { Matrix } from '../types.ts';
import { checkChoice, checkMatrix, checkNumbers, checkSameLength } from './vector-checks.ts';

/**
 * How an entry of a quantized vector is stored: in 8 bits (`int8`, `uint8`), as one of 256 steps of its dimension's
 * range, or in one bit (`binary`, `ubinary`) that says whether it is positive.
 */
export type QuantizedPrecision = 'int8' | 'uint8' | 'binary' | 'ubinary';

/** The precisions that vectors can be quantized to. */
export const quantizedPrecisions: readonly QuantizedPrecision[] = ['int8', 'uint8', 'binary', 'ubinary'];

/** Quantized vectors, row-major. */
export interface QuantizedMatrix {
  readonly precision: QuantizedPrecision;
  /** Int8Array for `int8` and `binary`, Uint8Array for `uint8` and `ubinary`. */
  readonly data: Int8Array | Uint8Array;
  readonly rows: number;
  /** Bytes of a row: `dimension`, or `ceil(dimension / 8)` for `binary` and `ubinary`. */
  readonly cols: number;
  /** Entries of a vector. */
  readonly dimension: number;
  /**
   * The ranges that `int8` and `uint8` were scaled with: row 0 has the lower and row 1 the upper end of each dimension.
   */
  readonly ranges?: Matrix | undefined;
}

/** Options of {@link quantize}. */
export interface QuantizeOptions {
  /**
   * The range of each dimension for `int8` and `uint8`: row 0 has the lower and row 1 the upper ends.
   * @default {@link quantizationRanges} of `calibration`
   */
  readonly ranges?: Matrix | undefined;
  /**
   * Vectors whose smallest and largest entries are used as ranges.
   * @default the embeddings themselves, which should then be at least 100 vectors
   */
  readonly calibration?: Matrix | undefined;
}

const optionNames: OptionNames<QuantizeOptions> = {
  ranges: true,
  calibration: true,
};

/**
 * Quantizes vectors to a quarter of the space (`int8`, `uint8`) or 1/32 (`binary`, `ubinary`).
 *
 * `uint8`: the range of each dimension is divided into 256 steps, and an entry is stored as the number of its step;
 * entries outside of the range get the nearest step. `int8` is `uint8` minus 128. `ubinary` has one bit per entry, 1 if
 * it is positive; the first entry is the most significant bit, and the last byte is padded with zeros. `binary` is
 * `ubinary` minus 128. Computed in single precision, like `quantize_embeddings` in
 * `sentence_transformers/util/quantization.py`.
 * @throws SentvecError `invalid-argument` (ranges that do not fit, an entry that is not a number)
 */
export function quantize(
  embeddings: Matrix,
  precision: QuantizedPrecision,
  options: QuantizeOptions = {},
): QuantizedMatrix {
  checkOptionNames('quantize()', options, optionNames);
  checkChoice(precision, quantizedPrecisions, 'precision');
  checkMatrix(embeddings, 'The embeddings', 0);
  if (precision === 'binary' || precision === 'ubinary') return quantizeToBits(embeddings, precision);
  const ranges = options.ranges ?? quantizationRanges(options.calibration ?? embeddings);
  checkRanges(ranges, embeddings);
  return quantizeToSteps(embeddings, precision, ranges);
}

function checkRanges(ranges: Matrix, embeddings: Matrix): void {
  checkMatrix(ranges, 'The ranges');
  checkNumbers(ranges, 'The ranges');
  if (ranges.rows !== 2)
    throw new SentvecError('invalid-argument', `ranges must have 2 rows (lower, upper), not ${ranges.rows}.`);
  checkSameLength(embeddings.cols, 'embeddings', ranges.cols, 'ranges');
  for (let i = 0; i < ranges.cols; i++) {
    const [lower, upper] = [ranges.data[i]!, ranges.data[ranges.cols + i]!];
    if (lower <= upper) continue;
    throw new SentvecError(
      'invalid-argument',
      `The range of dimension ${i} has the lower end ${lower} and the upper end ${upper}; the lower end must not be larger.`,
    );
  }
}

/**
 * The smallest (row 0) and the largest (row 1) entry of each dimension, for {@link QuantizeOptions.ranges}.
 * @param embeddings a sample of the vectors that will be quantized
 * @throws SentvecError `invalid-argument` when there are none, or an entry is infinite or not a number
 */
export function quantizationRanges(embeddings: Matrix): Matrix {
  checkMatrix(embeddings, 'The calibration vectors');
  checkNumbers(embeddings, 'The calibration vectors');
  const { data, rows, cols } = embeddings;
  const ranges = new Float32Array(2 * cols);
  ranges.set(data.subarray(0, cols), 0);
  ranges.set(data.subarray(0, cols), cols);
  for (let row = 1; row < rows; row++) {
    for (let i = 0, at = row * cols; i < cols; i++, at++) {
      if (data[at]! < ranges[i]!) ranges[i] = data[at]!;
      if (data[at]! > ranges[cols + i]!) ranges[cols + i] = data[at]!;
    }
  }
  return { data: ranges, rows: 2, cols };
}

function quantizeToSteps(embeddings: Matrix, precision: 'int8' | 'uint8', ranges: Matrix): QuantizedMatrix {
  const { fround } = Math;
  const { data: entries, rows, cols } = embeddings;
  const lower = ranges.data;
  const steps = Float32Array.from({ length: cols }, (_, i) => fround(lower[cols + i]! - lower[i]!) / 255 || 1);
  const data = precision === 'int8' ? new Int8Array(entries.length) : new Uint8Array(entries.length);
  const offset = precision === 'int8' ? 128 : 0;
  for (let row = 0, at = 0; row < rows; row++) {
    for (let i = 0; i < cols; i++, at++) {
      const step = Math.floor(fround(fround(entries[at]! - lower[i]!) / steps[i]!));
      if (Number.isNaN(step)) throw notANumber(row, i);
      data[at] = Math.min(Math.max(step, 0), 255) - offset;
    }
  }
  return { precision, data, rows, cols, dimension: cols, ranges };
}

function notANumber(row: number, dimension: number): SentvecError {
  return new SentvecError(
    'invalid-argument',
    `Entry ${dimension} of row ${row} is not a number, so it cannot be quantized.`,
    { row },
  );
}

function quantizeToBits(embeddings: Matrix, precision: 'binary' | 'ubinary'): QuantizedMatrix {
  const { data: entries, rows, cols: dimension } = embeddings;
  const cols = Math.ceil(dimension / 8);
  const bits = new Uint8Array(rows * cols);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let i = 0; i < dimension; i++, at++) {
      if (Number.isNaN(entries[at]!)) throw notANumber(row, i);
      if (entries[at]! > 0) bits[row * cols + (i >> 3)]! |= 0x80 >> (i & 7);
    }
  }
  const data = precision === 'binary' ? Int8Array.from(bits, (byte) => byte - 128) : bits;
  return { precision, data, rows, cols, dimension };
}
