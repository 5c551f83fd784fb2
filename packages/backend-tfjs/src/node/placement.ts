import { type ModelFiles, type TokenBatch } from '@sentvec/core';
import { sharedProjection } from '@sentvec/core/node';
import { isNative, type TfjsDevice } from '../options.ts';
import type { EncoderSizes, OpenPlace, Place, PlacedEncoder } from '../placement.ts';
import { TensorFlowThread } from './tensor-flow-thread.ts';

/** Why a device is out of the question here, as far as that shows without loading it. */
export function absence(device: TfjsDevice): string | undefined {
  if (!isNative(device)) return undefined;
  try {
    import.meta.resolve(`@tensorflow/${device}`);
    return undefined;
  } catch {
    return `@tensorflow/${device} is not installed`;
  }
}

/**
 * Threads with a native library. There is one for all models, and it stays until the process ends: libtensorflow cannot
 * be loaded a second time after the thread that loaded it has ended (it aborts the process), and on a GPU each copy
 * would want the memory for itself.
 */
const shared = new Map<TfjsDevice, Promise<TensorFlowThread>>();

function sharedThread(device: TfjsDevice): Promise<TensorFlowThread> {
  const thread = shared.get(device) ?? TensorFlowThread.start({ device, wasmPaths: undefined });
  shared.set(device, thread);
  return thread;
}

/** In a worker thread, so that the caller's event loop stays free. */
export const openPlace: OpenPlace = async (device, wasmPaths): Promise<Place> => {
  const thread = isNative(device) ? await sharedThread(device) : await TensorFlowThread.start({ device, wasmPaths });
  return {
    description: thread.description,
    gpu: thread.gpu,
    load: (files) => load(thread, files),
    close: async () => (isNative(device) ? undefined : thread.close()),
  };
};

async function load(thread: TensorFlowThread, files: ModelFiles): Promise<PlacedEncoder> {
  const model = thread.addModel(files);
  try {
    const sizes = (await thread.perform({ kind: 'load', model, name: files.name })) as EncoderSizes;
    return {
      ...sizes,
      encode: async (batch) => (await thread.perform({ kind: 'encode', model, ...copied(batch) })) as Float32Array,
      addHead: async (number, head) => {
        await thread.perform({
          kind: 'head',
          model,
          number,
          head: { ...head, projections: head.projections.map(sharedProjection) },
        });
      },
      encodePooled: async (batch, head, mask) =>
        (await thread.perform({ kind: 'pooled', model, head, mask: mask.slice(), ...copied(batch) })) as Float32Array,
      dispose: async () => {
        await thread.perform({ kind: 'release', model }).catch(() => undefined);
      },
    };
  } finally {
    thread.forgetFiles(model);
  }
}

/** The arrays stay the caller's, and a view of a large buffer must not take all of it along. */
function copied({ ids, mask, rows, cols }: TokenBatch): { readonly batch: TokenBatch } {
  return { batch: { ids: ids.slice(), mask: mask.slice(), rows, cols } };
}
