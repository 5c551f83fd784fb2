// The thread in which TensorFlow.js computes. The computation blocks this thread and no other.
import type { ModelFiles } from '@sentvec/core';
import { serveThread, transferred, type Caller } from '@sentvec/platform/node';
import { LocalEncoder } from './local-encoder.ts';
import { openRuntime } from './runtime.ts';
import type { TensorFlowProtocol } from './messages.ts';

serveThread<TensorFlowProtocol>(async ({ device, wasmPaths }, program) => {
  const runtime = await openRuntime(device, wasmPaths);
  const models = new Map<number, LocalEncoder>();
  return {
    ready: { description: runtime.description, gpu: runtime.gpu },
    handlers: {
      load: async ({ model, name }) => {
        const encoder = await LocalEncoder.open(runtime, remoteFiles(program, name, model));
        models.set(model, encoder);
        return encoder.sizes;
      },
      encode: ({ model, batch }) => transferredVectors(models.get(model)!.encode(batch)),
      addHead: ({ model, number, head }) => models.get(model)!.addHead(number, head),
      encodePooled: ({ model, batch, head, mask }) =>
        transferredVectors(models.get(model)!.encodePooled(batch, head, mask)),
      release: (model) => {
        models.get(model)?.dispose();
        models.delete(model);
      },
    },
  };
});

function transferredVectors(vectors: Float32Array) {
  return transferred(vectors, [vectors.buffer as ArrayBuffer]);
}

/** The files of a model, which the main thread reads. */
function remoteFiles(program: Caller<TensorFlowProtocol['programCalls']>, name: string, model: number): ModelFiles {
  return {
    name,
    list: () => program.call('list', model),
    read: (path) => program.call('read', { model, path }),
  };
}
