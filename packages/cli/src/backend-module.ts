import type { Backend } from '@sentvec/core';
import { chooseBackend, type BackendOptions } from './backends.ts';

/** Creates the backend of `sentvec worker`, in its main process or in an embedding process. */
export default function createChosenBackend({ name, ...options }: BackendOptions & { name: string }): Promise<Backend> {
  return chooseBackend(name, options);
}
