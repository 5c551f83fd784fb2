// The thread in which an encoder computes. The computation blocks this thread and no other.
import { serveThread, transferred } from '@sentvec/platform/node';
import { ImmediateEncoder } from '@sentvec/architectures';
import type { ModelFiles } from '@sentvec/core';
import { wasmOperations } from './operations.ts';
import type { WasmProtocol } from './messages.ts';

serveThread<WasmProtocol>(
  async ({ name }, program) => {
    const files: ModelFiles = {
      name,
      list: () => program.call('list', undefined),
      read: (path) => program.call('read', path),
    };
    const encoder = await ImmediateEncoder.open(files, wasmOperations());
    return {
      ready: encoder.sizes,
      handlers: {
        encode: (batch) => transferredFloats(encoder.encode(batch)),
        termWeights: (batch) => transferredFloats(encoder.termWeights(batch)),
      },
    };
  },
  { serial: true },
);

function transferredFloats(data: Float32Array) {
  return transferred(data, [data.buffer as ArrayBuffer]);
}
