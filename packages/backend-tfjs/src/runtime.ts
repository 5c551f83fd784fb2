// TensorFlow.js, loaded and started on a device in this thread.
import type { TensorFlow } from './tensor-flow.ts';
import type { TfjsDevice } from './options.ts';
import { registerWasmBackend, wasmBackend, type WasmPaths } from './kernels/wasm-backend.ts';

/** TensorFlow.js, ready on a device. */
export interface Runtime {
  readonly tf: TensorFlow;
  /** The name of the backend in TensorFlow.js. */
  readonly backend: string;
  /** Whether it computes on a GPU. */
  readonly gpu: boolean;
  /** Versions and device, for a person. */
  readonly description: string;
}

/**
 * Loads TensorFlow.js in this thread and starts it on a device.
 * @throws Error with the reason when the device cannot be used
 */
export async function openRuntime(device: TfjsDevice, wasmPaths?: WasmPaths): Promise<Runtime> {
  switch (device) {
    case 'tfjs-node-gpu':
      return native(await import('@tensorflow/tfjs-node-gpu'), device);
    case 'tfjs-node':
      // The name in a variable: the package is not here when this is compiled.
      return native((await import(nodePackage)) as NativeModule, device);
    case 'wasm': {
      const tf = await import('@tensorflow/tfjs-core');
      await registerWasmBackend(tf, wasmPaths);
      return started(tf, wasmBackend, 'WebAssembly with SIMD, one thread');
    }
    case 'cpu': {
      const tf = await import('@tensorflow/tfjs-core');
      await import('@tensorflow/tfjs-backend-cpu');
      return started(tf, 'cpu', 'plain JavaScript');
    }
    default:
      return device satisfies never;
  }
}

const nodePackage: string = '@tensorflow/tfjs-node';

type NativeModule = TensorFlow & { readonly default?: TensorFlow };

async function native(module: unknown, device: TfjsDevice): Promise<Runtime> {
  const { default: inner } = module as NativeModule;
  const tf = inner ?? (module as NativeModule);
  await tf.setBackend('tensorflow');
  const { binding, isUsingGpuDevice } = tf.backend() as unknown as {
    readonly binding?: { readonly TF_Version?: string } | undefined;
    readonly isUsingGpuDevice?: boolean | undefined;
  };
  const where = isUsingGpuDevice ? 'on a GPU' : 'on the CPU';
  return describe(
    tf,
    'tensorflow',
    `${device} with libtensorflow ${binding?.TF_Version ?? 'of unknown version'} ${where}`,
    isUsingGpuDevice,
  );
}

async function started(tf: TensorFlow, backend: string, device: string): Promise<Runtime> {
  if (!(await tf.setBackend(backend))) throw new Error(`TensorFlow.js could not start its backend ${backend}.`);
  return describe(tf, backend, device);
}

function describe(tf: TensorFlow, backend: string, device: string, gpu = false): Runtime {
  return { tf, backend, gpu, description: `TensorFlow.js ${tf.version_core}, ${device}` };
}

/**
 * Does some synchronous work on the runtime's backend, then switches back: a page may use TensorFlow.js on another
 * backend for its own work.
 */
export function onBackend<T>({ tf, backend }: Runtime, work: () => T): T {
  const before = tf.getBackend();
  // For a backend that has been started, this takes effect before the promise resolves.
  if (before !== backend) void tf.setBackend(backend);
  try {
    return work();
  } finally {
    if (before !== backend) void tf.setBackend(before);
  }
}
