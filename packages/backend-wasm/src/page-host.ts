import { throwIfAborted } from '@sentvec/platform';
import type { OpenHost } from './host.ts';
import { ImmediateEncoder } from '@sentvec/architectures';
import { wasmOperations } from './operations.ts';

/** Opens an encoder in the page itself. */
export const openHost: OpenHost = async (files) => {
  const encoder = await ImmediateEncoder.open(files, wasmOperations());
  const inTurn = async (compute: () => Float32Array, signal: AbortSignal | undefined): Promise<Float32Array> => {
    // Lets the page draw and answer between two batches.
    await new Promise((resolve) => setTimeout(resolve, 0));
    throwIfAborted(signal);
    return compute();
  };
  return {
    ...encoder.sizes,
    encode: (batch, { signal }) => inTurn(() => encoder.encode(batch), signal),
    termWeights: (batch, { signal }) => inTurn(() => encoder.termWeights(batch), signal),
    close: async () => {},
  };
};
