// Quantizes token vectors to 8 bits or 1 bit per entry: a quarter or 1/32 of the space of float32.
import { checkChoice } from '../search/vector-checks.ts';
import { SentvecError } from '../errors.ts';
import type { Matrix } from '../types.ts';
import type { MultiVectors } from './multi-vector-types.ts';
import { checkMultiVectors } from './multi-vectors.ts';

/**
 * How an entry of a token's vector is stored: in 8 bits (`int8`), or in one bit that says whether it is positive
 * (`binary`).
 */
export type TokenPrecision = 'int8' | 'binary';

/** The precisions that token vectors can be quantized to. */
export const tokenPrecisions: readonly TokenPrecision[] = ['int8', 'binary'];

/** Quantized token vectors of several texts; see {@link quantizeTokens}. */
export interface QuantizedMultiVectors extends Omit<MultiVectors, 'data'> {
  readonly precision: TokenPrecision;
  /**
   * `int8`: an Int8Array with `cols` bytes per row. `binary`: a Uint8Array with `ceil(cols / 8)` bytes per row; the
   * first entry is in the most significant bit.
   */
  readonly data: Int8Array | Uint8Array;
  /** `int8`: for each row, the factor that its entries are multiplied with. */
  readonly scales?: Float32Array | undefined;
}

/**
 * Quantizes token vectors for {@link maxSimilarityScores}. `int8`: each vector is divided by its own scale, which is
 * its largest absolute entry divided by 127. `binary`: only the sign of each entry is stored, so vectors must have
 * length 1. The query itself is not binarized, which gives a more accurate ranking (asymmetric distance).
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

/** Quantizes rows to 8 bits, each with its own scale: entry ≈ data · scale. */
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

/** Lookup table: for each byte, the signs (1 or -1) of its eight bits, as two 32-bit words of four bytes each. */
const signsOfByte: Uint32Array = new Uint32Array(512);
const signBytes = new Int8Array(signsOfByte.buffer);
for (let at = 0; at < signBytes.length; at++) signBytes[at] = ((at >> 3) & (0x80 >> (at & 7))) === 0 ? -1 : 1;

/** Expands each bit to a byte with the value 1 or -1. */
export function expandSigns(bits: Uint8Array, signs: Uint32Array): void {
  for (let at = 0; at < bits.length; at++) {
    signs[2 * at] = signsOfByte[2 * bits[at]!]!;
    signs[2 * at + 1] = signsOfByte[2 * bits[at]! + 1]!;
  }
}
