import { SentvecError, type Backend } from '@sentvec/core';

/** Where a backend comes from: any process can make it. */
export interface BackendModule {
  /** URL of a module whose default export gives a backend, or a promise of one, for the options. */
  readonly module: string;
  /** What the default export is called with. JSON. */
  readonly options?: unknown;
}

export function isBackendModule(backend: Backend | BackendModule): backend is BackendModule {
  return 'module' in backend;
}

/** @throws whatever the module throws; SentvecError `invalid-argument` when it exports no function as its default */
export async function importBackend({ module, options }: BackendModule): Promise<Backend> {
  const { default: create } = (await import(module)) as { default?: (options: unknown) => Backend | Promise<Backend> };
  if (typeof create !== 'function')
    throw new SentvecError('invalid-argument', `${module} must export a function as its default: it makes a backend.`);
  return create(options);
}
