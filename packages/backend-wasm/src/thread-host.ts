// An encoder in a worker thread of Node, so that the caller's event loop stays free.
import { copyBatch } from '@sentvec/core/node';
import { guardIo, startThread, transferred } from '@sentvec/platform/node';
import type { OpenHost } from './host.ts';
import type { WasmProtocol } from './messages.ts';

const wasmWorker = { file: './wasm-worker.js', entry: '@sentvec/backend-wasm/wasm-worker', from: import.meta.url };

/** Opens an encoder in a thread of its own. */
export const openHost: OpenHost = async (files) => {
  const thread = await startThread<WasmProtocol>(wasmWorker, {
    name: 'WebAssembly backend',
    data: { name: files.name },
    handlers: {
      list: () => files.list(),
      read: async (path) => {
        // A copy: the bytes may be the caller's, and a view may be a small part of a large buffer.
        const bytes = new Uint8Array(await guardIo('Reading', path, () => files.read(path)));
        return transferred(bytes, [bytes.buffer]);
      },
    },
  });
  return {
    ...thread.ready,
    encode: (batch, options) => thread.call('encode', copyBatch(batch), options),
    termWeights: (batch, options) => thread.call('termWeights', copyBatch(batch), options),
    close: () => thread.close(),
  };
};
