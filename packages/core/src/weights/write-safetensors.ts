import { SentvecError } from '../errors.ts';

/** A tensor to write: Float32Array becomes F32, Int32Array I32. `shape` multiplies to the array's length. */
export interface WritableTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

/**
 * Serializes tensors in the safetensors format, like the reference implementation: a JSON header, followed by the
 * numbers in little-endian order, sorted by name. Equal input gives equal bytes.
 * @param metadata strings by name, which are stored in the header. PyTorch readers expect `{ format: 'pt' }`
 * @throws SentvecError `invalid-argument` when a shape does not fit its numbers
 */
export function writeSafetensors(
  tensors: Readonly<Record<string, WritableTensor>>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const names = Object.keys(tensors).sort();
  const entries: [string, unknown][] = metadata === undefined ? [] : [['__metadata__', metadata]];
  let size = 0;
  for (const name of names) {
    const { shape, data } = tensors[name]!;
    if (shape.reduce((product, extent) => product * extent, 1) !== data.length) {
      throw new SentvecError(
        'invalid-argument',
        `Tensor "${name}" has ${data.length} numbers, which do not fit its shape [${shape.join(', ')}].`,
      );
    }
    entries.push([
      name,
      { dtype: data instanceof Float32Array ? 'F32' : 'I32', shape, data_offsets: [size, size + data.byteLength] },
    ]);
    size += data.byteLength;
  }
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  // The header is padded with spaces to a multiple of 8 bytes, so that readers can memory-map the numbers.
  const headerSize = Math.ceil(header.length / 8) * 8;
  const file = new Uint8Array(8 + headerSize + size);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerSize), true);
  file.fill(0x20, 8, 8 + headerSize);
  file.set(header, 8);
  let offset = 8 + headerSize;
  for (const name of names) {
    const { data } = tensors[name]!;
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return file;
}
