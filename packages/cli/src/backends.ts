import type { Backend } from '@sentvec/core';
import { UsageError } from './usage-error.ts';

/** What the command line says about backends. */
export interface BackendOptions {
  /** CPU threads. `undefined`: one for each core. */
  readonly threads: number | undefined;
  /** An ONNX file of the model, without its ending. `undefined`: the default weights. */
  readonly variant?: string | undefined;
}

/** Every backend that `--backend` can name, in the order in which `auto` tries them. A further one is one line. */
const backends: Readonly<Record<string, (options: BackendOptions) => Promise<Backend>>> = {
  onnx: async ({ threads, variant }) =>
    (await import('@sentvec/backend-onnx')).onnx({
      ...(threads !== undefined && { sessions: threads, threadsPerSession: 1 }),
      variant,
    }),
  tfjs: async () => (await import('@sentvec/backend-tfjs')).tfjs(),
  webgpu: async () => (await import('./webgpu-in-node.ts')).webgpuInNode(),
};

export const backendNames: readonly string[] = Object.keys(backends);

/** What `--backend` accepts. */
export const backendChoices: string[] = ['auto', ...backendNames];

/** A backend by its name, whether or not it can work here. */
export async function createBackend(name: string, options: BackendOptions): Promise<Backend> {
  const create = Object.hasOwn(backends, name) ? backends[name] : undefined;
  if (create === undefined)
    throw new UsageError(`There is no backend ${name}. There are: ${backendChoices.join(', ')}.`);
  if (options.threads !== undefined && name !== 'onnx')
    throw new UsageError(`The backend ${name} has no threads to choose: leave out --threads.`);
  if (options.variant !== undefined && name !== 'onnx')
    throw new UsageError(
      `The backend ${name} computes from the default weights: leave out --variant, or take --backend onnx.`,
    );
  return create(options);
}

/**
 * The backend for `--backend`: the one that is named, or with `auto` the first that can work here.
 * @throws UsageError for an unknown name; `backend-unavailable` is left to the backend, which reports the reason
 */
export async function chooseBackend(name: string, options: BackendOptions): Promise<Backend> {
  if (name !== 'auto') return createBackend(name, options);
  const first = await createBackend(backendNames[0]!, options);
  if ((await first.isAvailable()).available) return first;
  for (const candidate of backendNames.slice(1)) {
    if (options.variant !== undefined) break; // The first backend reports why it cannot work.
    const backend = await createBackend(candidate, { threads: undefined });
    if ((await backend.isAvailable()).available) return backend;
  }
  return first;
}
