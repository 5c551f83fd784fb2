import { recordQuantizedEncoder, readEncoder } from '@sentvec/architectures';
import type { ModelFiles } from '@sentvec/core';
import { int8Inputs } from './int8-ranges.ts';

/** The int8 form of the encoder, made from its weights: some tenths of a second. Right on every CPU, with 7 bits. */
export async function int8File(model: ModelFiles): Promise<Uint8Array> {
  const inputs = int8Inputs.map(({ name, minimum, maximum, mean }) => {
    const bytes = Buffer.from(mean, 'base64');
    const numbers = Float32Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(index * 4));
    return [name, { minimum, maximum, mean: numbers }] as const;
  });
  return recordQuantizedEncoder(await readEncoder(model), { weightBits: 7, inputs: new Map(inputs) });
}
