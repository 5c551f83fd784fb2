import { SentvecError } from '../errors.ts';
import type { Backend } from '../backend.ts';

/** The version of {@link Backend} that this release works with. */
const supportedVersion: Backend['specificationVersion'] = 1;

/**
 * Refuses a backend that implements another version of the interface.
 * @throws SentvecError `backend-unavailable`
 */
export function checkBackendVersion({ name, specificationVersion }: Backend): void {
  const found: unknown = specificationVersion;
  if (found === supportedVersion) return;
  const has = found === undefined ? 'names no version' : `implements version ${JSON.stringify(found)}`;
  throw new SentvecError(
    'backend-unavailable',
    `The backend ${name} ${has} of the interface Backend; @sentvec/core needs version ${supportedVersion}. Install the same release of both packages.`,
    { backend: name, found, supported: supportedVersion },
  );
}
