import type { ModelFiles, TokenBatch, TokenEmbeddings } from '@sentvec/core';
import { type EncoderDefinition, readEncoder } from '../encoders/definition.ts';
import type { EncoderNetwork } from '../encoders/network.ts';
import { plainInputs } from '../immediate-encoder.ts';
import { plainOperations } from '../plain/operations.ts';
import type { PlainTensor } from '../plain/tensor.ts';

/** Runs an encoder in plain TypeScript. It reads only the rows of the embedding matrix that the batch needs. */
export async function computeReference(files: ModelFiles, batch: TokenBatch): Promise<TokenEmbeddings> {
  const { ids, rows, cols } = batch;
  const definition = await readEncoder(files);
  const { hiddenSize, network } = definition;
  // The weights are not converted to float64, because the conversion would take longer than the multiplications.
  const weight = (name: string): PlainTensor => ({
    data: definition.weight(name),
    shape: definition.weights.get(name)!,
  });
  const inputs = { ...plainInputs(network, batch), tokenRows: tokenRows(definition, ids) };
  const { data } = network.encode(plainOperations, weight, inputs);
  return { data: new Float32Array(data), rows: rows * cols, cols: hiddenSize };
}

/** The approximate number of multiplications of an encoder for a batch. */
export function countMultiplications(network: EncoderNetwork, { rows, cols }: TokenBatch): number {
  const others = [...network.weights].filter(([name]) => name !== network.tokenTable);
  return (
    rows * cols * others.reduce((sum, [, { shape }]) => sum + shape.reduce((product, size) => product * size, 1), 0)
  );
}

function tokenRows(definition: EncoderDefinition, ids: Int32Array): PlainTensor {
  const [, width = 0] = definition.weights.get(definition.tokenTable)!;
  return { data: definition.tokenRows(ids), shape: [ids.length, width] };
}
