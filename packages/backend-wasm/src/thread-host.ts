// An encoder in a worker thread of Node, so that the caller's event loop stays free.
import type { TokenBatch } from '@sentvec/core';
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
    encode: (batch, options) => thread.call('encode', copyOf(batch), options),
    termWeights: (batch, options) => thread.call('termWeights', copyOf(batch), options),
    close: () => thread.close(),
  };
};

/** A copy: the arrays stay the caller's, and a view would be sent with the whole of its buffer. */
function copyOf({ ids, mask, typeIds, rows, cols }: TokenBatch): TokenBatch {
  return { ids: ids.slice(), mask: mask.slice(), typeIds: typeIds?.slice(), rows, cols };
}
