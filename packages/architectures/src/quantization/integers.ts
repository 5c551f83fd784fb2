// Numbers as integers or in half precision: of weights by rows, and of activations by their range.

/** Rows of whole numbers; times the scale of its row, each is a number. */
export interface IntegerRows {
  readonly values: Int8Array;
  /** One for each row. */
  readonly scales: Float32Array;
}

/** How many bits of a signed integer weights use: the largest is 63 with 7 of them, 127 with 8. */
export type WeightBits = 7 | 8;

/**
 * Rounds each row to whole numbers that are symmetric about 0: the largest number of the row becomes 127, or 63. A row
 * of zeros has the scale 0.
 * @param numbers row-major, all rows as long as each other
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

/** How activations become unsigned bytes: `round(x / scale) + zeroPoint`, cut off at 0 and 255. */
export interface ActivationScale {
  readonly scale: number;
  readonly zeroPoint: number;
}

/** The scale for activations of a range, which is widened to hold 0: that is then exact. */
export function activationScale(minimum: number, maximum: number): ActivationScale {
  const [low, high] = [Math.min(0, minimum), Math.max(0, maximum)];
  if (low === high) return { scale: 1, zeroPoint: 0 };
  const scale = Math.fround((high - low) / 255);
  return { scale, zeroPoint: Math.round(Math.abs(low) / scale) };
}

/** The rows of a matrix as the columns of another. */
export function transposed<Numbers extends Int8Array | Float32Array>(numbers: Numbers, rows: number): Numbers {
  const cols = numbers.length / rows;
  const result = numbers.slice() as Numbers;
  for (let row = 0; row < rows; row += 1) {
    for (let col = 0; col < cols; col += 1) result[col * rows + row] = numbers[row * cols + col]!;
  }
  return result;
}

const floatView = new DataView(new ArrayBuffer(4));

/** The bits of the nearest IEEE 754 binary16 of each number, ties to even; infinite beyond 65,504. */
export function toFloat16(numbers: Float32Array): Uint16Array {
  return Uint16Array.from(numbers, (number) => {
    floatView.setFloat32(0, number);
    const bits = floatView.getUint32(0);
    const sign = (bits >>> 16) & 0x8000;
    const exponent = ((bits >>> 23) & 255) - 112;
    const fraction = bits & 0x7fffff;
    if (exponent >= 31) return Number.isNaN(number) ? 0x7e00 : sign | 0x7c00;
    if (exponent <= 0) return exponent < -10 ? sign : sign | halved(fraction | 0x800000, 14 - exponent);
    // A fraction that is rounded up to the next power of two carries into the exponent, which is right.
    return sign | ((exponent << 10) + halved(fraction, 13));
  });
}

/** A whole number divided by `2 ** places`, to the nearest, ties to even. */
function halved(number: number, places: number): number {
  const quotient = number >>> places;
  const rest = number & (2 ** places - 1);
  const half = 2 ** (places - 1);
  return rest > half || (rest === half && (quotient & 1) === 1) ? quotient + 1 : quotient;
}
