// Creates model folders of the sizes of real models with random weights. Speed and memory do not depend on the values
// of the weights.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { encoderNetwork } from '@sentvec/architectures';
import { writeFolderAtomically } from '@sentvec/platform/node';
import { randomNumbers, uniform } from '../random-numbers.ts';

/** A model to create: its `config.json`, and the data type of its weights. */
export interface ModelSize {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly stored: 'F32' | 'BF16';
}

/** All weights repeat one random block of this many numbers. */
const blockNumbers = 2 ** 20;

/**
 * Creates the folder with `config.json` and `model.safetensors` below `directory`, unless it exists.
 * @returns its path
 */
export async function randomFolder(directory: string, { name, config, stored }: ModelSize): Promise<string> {
  const folder = join(directory, `${name.replaceAll(/\W+/gu, '-').toLowerCase()}-random`);
  if (await stat(folder).catch(() => undefined)) return folder;
  const width = stored === 'F32' ? 4 : 2;
  const header: Record<string, unknown> = {};
  let size = 0;
  for (const [weight, { shape }] of (await encoderNetwork(config)).weights) {
    const end = size + width * shape.reduce((a, b) => a * b, 1);
    header[weight] = { dtype: stored, shape, data_offsets: [size, end] };
    size = end;
  }
  const start = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(start.length));
  await writeFolderAtomically(folder, [
    ['config.json', JSON.stringify(config, undefined, 2)],
    ['model.safetensors', [length, start, ...repeated(randomBlock(stored), size)]],
  ]);
  return folder;
}

function randomBlock(stored: ModelSize['stored']): Uint8Array {
  const numbers = randomNumbers(blockNumbers, 0.03, uniform(20_261));
  if (stored === 'F32') return new Uint8Array(numbers.buffer);
  const halves = new Uint16Array(numbers.buffer).filter((_, index) => index % 2 === 1);
  return new Uint8Array(halves.buffer);
}

/** Repeats a block until there are `size` bytes. */
function repeated(block: Uint8Array, size: number): Uint8Array[] {
  const count = Math.ceil(size / block.length);
  return Array.from({ length: count }, (_, index) =>
    block.subarray(0, Math.min(size - index * block.length, block.length)),
  );
}
