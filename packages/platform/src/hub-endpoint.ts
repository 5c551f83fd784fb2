import { SentvecError } from './errors.ts';

/** Address of the Hugging Face hub. */
export const huggingFaceEndpoint = 'https://huggingface.co';

/**
 * The address of a hub, without a slash at its end.
 * @throws SentvecError `invalid-argument` when it is not an address of a server
 */
export function checkHubEndpoint(endpoint: string): string {
  if (URL.canParse(endpoint) && /^https?:$/u.test(new URL(endpoint).protocol)) return endpoint.replace(/\/+$/u, '');
  throw new SentvecError(
    'invalid-argument',
    `${JSON.stringify(endpoint)} is not an address of a hub, as ${huggingFaceEndpoint} is one.`,
  );
}
