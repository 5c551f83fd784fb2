import type { Backend } from '@sentvec/core';
import { chooseBackend, type BackendOptions } from './backends.ts';

/** Makes the backend of `sentvec worker`, in its process or in one that embeds for it. */
export default function createChosenBackend({ name, ...options }: BackendOptions & { name: string }): Promise<Backend> {
  return chooseBackend(name, options);
}
