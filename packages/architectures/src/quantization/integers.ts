// Conversion of weights to integers with a scale for each row, of activations by their range, and to half precision.

/** Rows of integers. Each number is an integer multiplied by the scale of its row. */
export interface IntegerRows {
  readonly values: Int8Array;
  /** The scale of each row. */
  readonly scales: Float32Array;
}

/** The number of bits of the signed integers for weights: the largest integer is 63 with 7 bits, 127 with 8 bits. */
export type WeightBits = 7 | 8;

/**
 * Quantizes each row symmetrically: its largest absolute number becomes 127 with 8 bits, 63 with 7 bits. A row of zeros
 * has the scale 0.
 * @param numbers a row-major matrix with `rows` rows
 */
export function integerRows(numbers: Float32Array, rows: number, bits: WeightBits): IntegerRows {
  const largest = 2 ** (bits - 1) - 1;
  const width = rows === 0 ? 0 : numbers.length / rows;
  const values = new Int8Array(numbers.length);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row += 1) {
    let extent = 0;
    for (let i = row * width; i < (row + 1) * width; i += 1) extent = Math.max(extent, Math.abs(numbers[i]!));
    scales[row] = extent / largest;
    const scale = scales[row]!;
    if (scale === 0) continue;
    for (let i = row * width; i < (row + 1) * width; i += 1) {
      values[i] = Math.max(-largest, Math.min(largest, Math.round(numbers[i]! / scale)));
    }
  }
  return { values, scales };
}

/** The quantization of activations to unsigned bytes: `round(x / scale) + zeroPoint`, clamped to 0 to 255. */
export interface ActivationScale {
  readonly scale: number;
  readonly zeroPoint: number;
}

/** The scale for activations in a range. The range is extended to include 0, so that 0 is represented exactly. */
export function activationScale(minimum: number, maximum: number): ActivationScale {
  const [low, high] = [Math.min(0, minimum), Math.max(0, maximum)];
  if (low === high) return { scale: 1, zeroPoint: 0 };
  const scale = Math.fround((high - low) / 255);
  return { scale, zeroPoint: Math.round(Math.abs(low) / scale) };
}

/** The transpose of a row-major matrix with `rows` rows. */
export function transposed<Numbers extends Int8Array | Float32Array>(numbers: Numbers, rows: number): Numbers {
  const cols = numbers.length / rows;
  const result = numbers.slice() as Numbers;
  for (let row = 0; row < rows; row += 1) {
    for (let col = 0; col < cols; col += 1) result[col * rows + row] = numbers[row * cols + col]!;
  }
  return result;
}

const floatView = new DataView(new ArrayBuffer(4));

/**
 * The bits of each number in half precision (IEEE 754 binary16), rounded to nearest, ties to even. Numbers that round
 * to more than 65,504 are infinite.
 */
export function toFloat16(numbers: Float32Array): Uint16Array {
  return Uint16Array.from(numbers, (number) => {
    floatView.setFloat32(0, number);
    const bits = floatView.getUint32(0);
    const sign = (bits >>> 16) & 0x8000;
    const exponent = ((bits >>> 23) & 255) - 112;
    const fraction = bits & 0x7fffff;
    if (exponent >= 31) return Number.isNaN(number) ? 0x7e00 : sign | 0x7c00;
    if (exponent <= 0) return exponent < -10 ? sign : sign | shiftRounded(fraction | 0x800000, 14 - exponent);
    // If the fraction is rounded up to the next power of two, the carry correctly increments the exponent.
    return sign | ((exponent << 10) + shiftRounded(fraction, 13));
  });
}

/** An integer divided by `2 ** places`, rounded to nearest, ties to even. */
function shiftRounded(number: number, places: number): number {
  const quotient = number >>> places;
  const rest = number & (2 ** places - 1);
  const half = 2 ** (places - 1);
  return rest > half || (rest === half && (quotient & 1) === 1) ? quotient + 1 : quotient;
}
