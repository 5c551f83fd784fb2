// Token vectors in a quarter or a 32nd of the space: 8 bits or one bit an entry.
import { checkChoice } from '../search/vector-checks.ts';
import { SentvecError } from '../errors.ts';
import type { Matrix } from '../types.ts';
import type { MultiVectors } from './multi-vector-types.ts';
import { checkMultiVectors } from './multi-vectors.ts';

/** How an entry of a token's vector is stored: in 8 bits, or in one bit, whether it is positive. */
export type TokenPrecision = 'int8' | 'binary';

/** The precisions that token vectors can be quantized to. */
export const tokenPrecisions: readonly TokenPrecision[] = ['int8', 'binary'];

/** Token vectors of several texts in 8 bits or one bit an entry; see {@link quantizeTokens}. */
export interface QuantizedMultiVectors extends Omit<MultiVectors, 'data'> {
  readonly precision: TokenPrecision;
  /**
   * `int8`: an Int8Array of `cols` bytes a row. `binary`: a Uint8Array of an eighth of that, rounded up; the first entry
   * is in the highest bit.
   */
  readonly data: Int8Array | Uint8Array;
  /** `int8`: what the entries of each row are multiplied with. */
  readonly scales?: Float32Array | undefined;
}

/**
 * Token vectors for {@link maxSimilarityScores} in less space. `int8`: each vector is divided by a scale of its own, its
 * largest entry over 127. `binary`: of each entry only the sign stays, so vectors must have the length 1; the query is
 * not cut down to its signs, which keeps more of the order (asymmetric distance).
 * @throws SentvecError `invalid-argument` for an entry that is not a number
 */
export function quantizeTokens(vectors: MultiVectors, precision: TokenPrecision): QuantizedMultiVectors {
  checkChoice(precision, tokenPrecisions, 'precision');
  checkMultiVectors(vectors, 'The token vectors');
  const { data, offsets, texts, cols } = vectors;
  const at = data.findIndex((entry) => !Number.isFinite(entry));
  if (at !== -1) {
    const message = `Entry ${at % cols} of row ${Math.floor(at / cols)} is not a finite number, so it cannot be quantized.`;
    throw new SentvecError('invalid-argument', message, { row: Math.floor(at / cols) });
  }
  const rest = { precision, offsets, texts, cols };
  if (precision === 'int8') return { ...rest, ...quantizeRows({ data, rows: offsets[texts]!, cols }) };
  return { ...rest, data: signBits({ data, rows: offsets[texts]!, cols }) };
}

/** Rows in 8 bits, each with a scale of its own: entry ≈ data · scale. */
export function quantizeRows({ data, rows, cols }: Matrix): {
  readonly data: Int8Array;
  readonly scales: Float32Array;
} {
  const quantized = new Int8Array(rows * cols);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    let largest = 0;
    for (let i = row * cols; i < (row + 1) * cols; i++) largest = Math.max(largest, Math.abs(data[i]!));
    scales[row] = largest / 127;
    const factor = largest === 0 ? 0 : 127 / largest;
    for (let i = row * cols; i < (row + 1) * cols; i++) quantized[i] = Math.round(data[i]! * factor);
  }
  return { data: quantized, scales };
}

function signBits({ data, rows, cols }: Matrix): Uint8Array {
  const rowBytes = Math.ceil(cols / 8);
  const bits = new Uint8Array(rows * rowBytes);
  for (let row = 0, at = 0; row < rows; row++)
    for (let i = 0; i < cols; i++, at++) if (data[at]! > 0) bits[row * rowBytes + (i >> 3)]! |= 0x80 >> (i & 7);
  return bits;
}

/** For each byte of bits its eight signs, 1 or -1, as two words of four bytes. */
const signsOfByte: Uint32Array = new Uint32Array(512);
const signBytes = new Int8Array(signsOfByte.buffer);
for (let at = 0; at < signBytes.length; at++) signBytes[at] = ((at >> 3) & (0x80 >> (at & 7))) === 0 ? -1 : 1;

/** The signs of some bytes of bits, eight bytes for each. */
export function expandSigns(bits: Uint8Array, signs: Uint32Array): void {
  for (let at = 0; at < bits.length; at++) {
    signs[2 * at] = signsOfByte[2 * bits[at]!]!;
    signs[2 * at + 1] = signsOfByte[2 * bits[at]! + 1]!;
  }
}
