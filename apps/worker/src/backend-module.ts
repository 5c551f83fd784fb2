import { SentvecError, type Backend } from '@sentvec/core';

/** A module that creates a backend. Other processes can import it, unlike a `Backend` object. */
export interface BackendModule {
  /**
   * URL of a module whose default export is a function. It receives `options` and returns a backend or a promise of
   * one.
   */
  readonly module: string;
  /** Argument of the function. Must be representable as JSON. */
  readonly options?: unknown;
}

export function isBackendModule(backend: Backend | BackendModule): backend is BackendModule {
  return 'module' in backend;
}

/**
 * Imports the module and creates the backend.
 *
 * @throws any error of the module; SentvecError `invalid-argument` if its default export is not a function */
export async function importBackend({ module, options }: BackendModule): Promise<Backend> {
  const { default: create } = (await import(module)) as { default?: (options: unknown) => Backend | Promise<Backend> };
  if (typeof create !== 'function')
    throw new SentvecError(
      'invalid-argument',
      `The default export of ${module} must be a function that returns a backend.`,
    );
  return create(options);
}
