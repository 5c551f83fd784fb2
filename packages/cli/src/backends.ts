import type { Backend } from '@sentvec/core';
import { UsageError } from './usage-error.ts';

/** The backend options of the command line. */
export interface BackendOptions {
  /** Number of CPU threads. `undefined`: one for each core. */
  readonly threads: number | undefined;
  /** The name of an ONNX file of the model, without extension. `undefined`: the default weights. */
  readonly variant?: string | undefined;
}

/** All backends, in the order in which `auto` tries them. To add a backend, add a line. */
const backends: Readonly<Record<string, (options: BackendOptions) => Promise<Backend>>> = {
  onnx: async ({ threads, variant }) =>
    (await import('@sentvec/backend-onnx')).onnx({
      ...(threads !== undefined && { sessions: threads, threadsPerSession: 1 }),
      variant,
    }),
  tfjs: async () => (await import('@sentvec/backend-tfjs')).tfjs(),
  wasm: async () => (await import('@sentvec/backend-wasm')).wasm(),
  webgpu: async () => (await import('./webgpu-in-node.ts')).webgpuInNode(),
};

export const backendNames: readonly string[] = Object.keys(backends);

/** What `--backend` accepts. */
export const backendChoices: string[] = ['auto', ...backendNames];

/** Creates a backend by name. It may not work on this machine; loading a model reports that. */
export async function createBackend(name: string, options: BackendOptions): Promise<Backend> {
  const create = Object.hasOwn(backends, name) ? backends[name] : undefined;
  if (create === undefined)
    throw new UsageError(`There is no backend ${name}. Choose one of ${backendChoices.join(', ')}.`);
  if (options.threads !== undefined && name !== 'onnx')
    throw new UsageError(`The backend ${name} has no option for threads. Remove --threads.`);
  if (options.variant !== undefined && name !== 'onnx')
    throw new UsageError(
      `The backend ${name} supports only the default weights. Remove --variant, or use --backend onnx.`,
    );
  return create(options);
}

/**
 * Creates the backend for `--backend`: the named one or, for `auto`, the first one that works on this machine.
 * @throws UsageError for an unknown name. A named backend that does not work throws `backend-unavailable` when it loads
 * a model
 */
export async function chooseBackend(name: string, options: BackendOptions): Promise<Backend> {
  if (name !== 'auto') return createBackend(name, options);
  const first = await createBackend(backendNames[0]!, options);
  if ((await first.isAvailable()).available) return first;
  for (const candidate of backendNames.slice(1)) {
    if (options.variant !== undefined) break; // Only the first backend supports variants. If it does not work, it reports why.
    const backend = await createBackend(candidate, { threads: undefined });
    if ((await backend.isAvailable()).available) return backend;
  }
  return first;
}
