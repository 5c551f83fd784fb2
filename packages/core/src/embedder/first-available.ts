// The choice of a backend at run time: the first in a list that works on this machine.
import { SentvecError } from '../errors.ts';
import { checkBackendVersion } from './backend-version.ts';
import type { Availability, Backend } from '../backend.ts';

/**
 * A backend that delegates to the first of several backends that is available on this machine. The choice is made once,
 * at the first use. If the chosen backend then fails to load a model, that error is thrown; the next backend is not
 * tried.
 * @param backends in order of preference
 * @throws SentvecError `invalid-argument` when there are none; `backend-unavailable` when one is of another version of
 * the interface
 */
export function firstAvailable(backends: readonly Backend[]): Backend {
  if (backends.length === 0)
    throw new SentvecError('invalid-argument', 'firstAvailable() got no backends. Pass at least one.');
  for (const backend of backends) checkBackendVersion(backend);
  let choice: Promise<Choice> | undefined;
  const choose = (): Promise<Choice> => {
    choice ??= findAvailable(backends).then((found) => {
      // Do not cache a failure: a backend may become available later.
      if (found.backend === undefined) choice = undefined;
      return found;
    });
    return choice;
  };
  return {
    specificationVersion: 1,
    name: `first of ${backends.map(({ name }) => name).join(', ')}`,
    isAvailable: async () => (await choose()).availability,
    load: async (model, options) => {
      const { backend, availability } = await choose();
      if (backend !== undefined) return backend.load(model, options);
      throw new SentvecError('backend-unavailable', availability.reason);
    },
    reference: async (model, batch) => {
      const { backend } = await choose();
      return (
        backend?.reference?.(model, batch) ?? {
          reason: `The backend ${backend?.name ?? ''} has no reference for the self-check.`,
        }
      );
    },
  };
}

/** The chosen backend and its availability; or none, with the reasons. */
type Choice =
  | { readonly backend: Backend; readonly availability: Availability }
  | { readonly backend: undefined; readonly availability: Extract<Availability, { available: false }> };

async function findAvailable(backends: readonly Backend[]): Promise<Choice> {
  const reasons: string[] = [];
  for (const backend of backends) {
    const availability = await backend.isAvailable();
    if (availability.available)
      return { backend, availability: { available: true, device: `${backend.name}: ${availability.device}` } };
    reasons.push(`${backend.name}: ${availability.reason}`);
  }
  return {
    backend: undefined,
    availability: {
      available: false,
      reason: `None of the backends is available on this machine. ${reasons.join(' ')}`,
    },
  };
}
