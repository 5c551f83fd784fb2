// TensorFlow.js in a worker thread of Node, so that the caller's event loop stays free.
import { SentvecError, type ModelFiles } from '@sentvec/core';
import { copyBatch, sharedProjection } from '@sentvec/core/node';
import { guardIo, resolveInstalled, startThread, transferred, type Thread } from '@sentvec/platform/node';
import { isNative, type TfjsDevice } from './options.ts';
import type { OpenHost, Host, HostedEncoder } from './host.ts';
import type { TensorFlowProtocol } from './messages.ts';

/** Why a device cannot be used here, as far as that is known without loading it. */
export function reasonUnavailable(device: TfjsDevice): string | undefined {
  if (!isNative(device)) return undefined;
  const installed = resolveInstalled(`@tensorflow/${device}/package.json`, import.meta.url);
  return installed === undefined ? `@tensorflow/${device} is not installed` : undefined;
}

/** A thread with TensorFlow.js in it, and the files of the models that it is loading. */
interface TensorFlowThread {
  readonly thread: Thread<TensorFlowProtocol>;
  readonly files: Map<number, ModelFiles>;
}

const tensorFlowWorker = {
  file: './tensor-flow-worker.js',
  entry: '@sentvec/backend-tfjs/tensor-flow-worker',
  from: import.meta.url,
};

/** @throws SentvecError `backend-unavailable` with the reason */
async function startTensorFlow(data: TensorFlowProtocol['data']): Promise<TensorFlowThread> {
  const files = new Map<number, ModelFiles>();
  const filesOf = (model: number): ModelFiles => {
    const found = files.get(model);
    if (found === undefined) throw new SentvecError('aborted', 'The model is no longer being loaded.');
    return found;
  };
  const read = async ({ model, path }: { model: number; path: string }) => {
    // A copy: the bytes may be the caller's, and a view may be a small part of a large buffer.
    const bytes = new Uint8Array(await guardIo('Reading', path, () => filesOf(model).read(path)));
    return transferred(bytes, [bytes.buffer]);
  };
  try {
    const thread = await startThread<TensorFlowProtocol>(tensorFlowWorker, {
      name: 'TensorFlow.js backend',
      data,
      handlers: { list: (model) => filesOf(model).list(), read },
    });
    return { thread, files };
  } catch (cause) {
    const { device } = data;
    const message = `TensorFlow.js cannot use ${device} here: ${messageOf(cause)}`;
    throw new SentvecError('backend-unavailable', message, { device }, { cause });
  }
}

/**
 * Threads with a native library: one for all models, until the process ends. When libtensorflow is loaded again after
 * the thread that loaded it has ended, it aborts the process; and on a GPU each copy would reserve all memory.
 */
const shared = new Map<TfjsDevice, Promise<TensorFlowThread>>();

function sharedThread(device: TfjsDevice): Promise<TensorFlowThread> {
  const thread = shared.get(device) ?? startTensorFlow({ device, wasmPaths: undefined });
  shared.set(device, thread);
  return thread;
}

/** Opens TensorFlow.js in a thread. */
export const openHost: OpenHost = async (device, wasmPaths): Promise<Host> => {
  const started = isNative(device) ? await sharedThread(device) : await startTensorFlow({ device, wasmPaths });
  return {
    ...started.thread.ready,
    load: (files) => load(started, files),
    close: async () => (isNative(device) ? undefined : started.thread.close()),
  };
};

let lastModel = 0;

async function load({ thread, files }: TensorFlowThread, source: ModelFiles): Promise<HostedEncoder> {
  lastModel += 1;
  const model = lastModel;
  files.set(model, source);
  try {
    const sizes = await guarded(thread.call('load', { model, name: source.name }));
    return {
      ...sizes,
      encode: (batch) => guarded(thread.call('encode', { model, batch: copyBatch(batch) })),
      addHead: (number, { projections, ...head }) => {
        const plain = { ...head, projections: projections.map(sharedProjection) };
        return guarded(thread.call('addHead', { model, number, head: plain }));
      },
      encodePooled: (batch, head, mask) =>
        guarded(thread.call('encodePooled', { model, head, mask: mask.slice(), batch: copyBatch(batch) })),
      dispose: () => thread.call('release', model).catch(() => {}),
    };
  } finally {
    files.delete(model);
  }
}

async function guarded<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (cause) {
    if (SentvecError.is(cause)) throw cause;
    throw new SentvecError('backend-failed', `TensorFlow.js failed: ${messageOf(cause)}`, {}, { cause });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
