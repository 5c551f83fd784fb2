// Converts the number types of safetensors files to float32 or to 32-bit integers.

/**
 * Converts little-endian floating-point numbers to a Float32Array: F32 at an aligned position becomes a view of the
 * same memory, other types are copied. `undefined` for other types than F32, F16, BF16 and F64.
 */
export function toFloat32(bytes: Uint8Array, type: string): Float32Array | undefined {
  switch (type) {
    case 'F32': {
      const aligned = alignedTo(bytes, 4);
      return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
    }
    case 'F16':
      return float16ToFloat32(asUint16(bytes));
    case 'BF16':
      return fromBrainFloat(asUint16(bytes));
    case 'F64': {
      const aligned = alignedTo(bytes, 8);
      return new Float32Array(new Float64Array(aligned.buffer, aligned.byteOffset, aligned.length / 8));
    }
    default:
      return undefined;
  }
}

/**
 * Converts little-endian integers (BOOL, I8 to I64, U8 to U64) to an Int32Array; `undefined` for other types.
 * @throws RangeError when a number does not fit into a signed 32-bit integer
 */
export function toInt32(bytes: Uint8Array, type: string): Int32Array | undefined {
  const read = integerReaders[type];
  if (read === undefined) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const numbers = new Int32Array(bytes.length / read.size);
  for (let i = 0; i < numbers.length; i++) {
    const value = Number(read.at(view, i * read.size));
    if (value !== (value | 0)) throw new RangeError(`entry ${i} is ${value}`);
    numbers[i] = value;
  }
  return numbers;
}

const integerReaders: Readonly<
  Record<string, { readonly size: number; readonly at: (view: DataView, offset: number) => number | bigint }>
> = {
  BOOL: { size: 1, at: (view, offset) => view.getUint8(offset) },
  U8: { size: 1, at: (view, offset) => view.getUint8(offset) },
  I8: { size: 1, at: (view, offset) => view.getInt8(offset) },
  U16: { size: 2, at: (view, offset) => view.getUint16(offset, true) },
  I16: { size: 2, at: (view, offset) => view.getInt16(offset, true) },
  U32: { size: 4, at: (view, offset) => view.getUint32(offset, true) },
  I32: { size: 4, at: (view, offset) => view.getInt32(offset, true) },
  U64: { size: 8, at: (view, offset) => view.getBigUint64(offset, true) },
  I64: { size: 8, at: (view, offset) => view.getBigInt64(offset, true) },
};

function alignedTo(bytes: Uint8Array, size: number): Uint8Array {
  return bytes.byteOffset % size === 0 ? bytes : bytes.slice();
}

function asUint16(bytes: Uint8Array): Uint16Array {
  const aligned = alignedTo(bytes, 2);
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.length / 2);
}

function fromBrainFloat(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}

let halfValues: Float32Array | undefined;

/**
 * Converts IEEE 754 binary16 numbers, given as their bits. Uses a table of all 65,536 values, which is several times as
 * fast as arithmetic for each number.
 */
export function float16ToFloat32(halves: Uint16Array): Float32Array {
  halfValues ??= Float32Array.from({ length: 65_536 }, (_, bits) => halfValue(bits));
  const table = halfValues;
  const numbers = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) numbers[i] = table[halves[i]!]!;
  return numbers;
}

/** IEEE 754 binary16: 1 sign bit, 5 of exponent, 10 of fraction. */
function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}
