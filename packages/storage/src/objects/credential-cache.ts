/** Credentials that expire: found once, kept in memory only, and found again before they end. */
import { readFile } from 'node:fs/promises';
import { SentvecError } from '@sentvec/platform';
import type { Environment } from '@sentvec/platform/node';

/** Credentials, and when they expire, in milliseconds. `undefined`: never. */
export interface Expiring {
  readonly expires?: number | undefined;
}

/** Milliseconds before they expire at which credentials are fetched again. */
const margin = 5 * 60_000;

/** Milliseconds to wait for a metadata service; where there is none, nothing answers. */
export const metadataTimeout = 2000;

/** Milliseconds to wait for a service that gives credentials. */
export const serviceTimeout = 30_000;

/** By environment, and by the function that finds them. */
const caches = new WeakMap<Environment, Map<unknown, CredentialCache<Expiring>>>();

/** Finds credentials at the first request, and again before they expire. */
export class CredentialCache<Credentials extends Expiring> {
  readonly #find: () => Promise<Credentials>;
  #found: Promise<Credentials> | undefined;

  private constructor(find: () => Promise<Credentials>) {
    this.#find = find;
  }

  /** The one of all stores that share an environment and find their credentials in the same way. */
  static of<Credentials extends Expiring>(
    environment: Environment,
    find: (environment: Environment) => Promise<Credentials>,
  ): CredentialCache<Credentials> {
    const ofEnvironment = caches.get(environment) ?? new Map<unknown, CredentialCache<Expiring>>();
    caches.set(environment, ofEnvironment);
    const cache = ofEnvironment.get(find) ?? new CredentialCache(() => find(environment));
    ofEnvironment.set(find, cache);
    return cache as CredentialCache<Credentials>;
  }

  /** @throws SentvecError `io-failed` when there are none */
  async get(): Promise<Credentials> {
    const found = (this.#found ??= this.#find());
    try {
      const credentials = await found;
      if (credentials.expires === undefined || credentials.expires - margin > Date.now()) return credentials;
    } catch (error) {
      this.renew(found);
      throw error;
    }
    this.renew(found);
    this.#found ??= this.#find();
    return this.#found;
  }

  /** Forgets credentials that a server has refused as expired. */
  renew(found: Promise<Credentials> | undefined = this.#found): void {
    if (this.#found === found) this.#found = undefined;
  }
}

/** Asks a service for credentials. @throws errors of the connection */
export async function askForCredentials(url: URL, init: RequestInit, timeout: number): Promise<Response> {
  return fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(timeout) });
}

/** The text of a file with a secret. @throws SentvecError `io-failed`, with the name of the file and nothing of it */
export async function readSecret(store: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    throw credentialError(store, `the file ${file}`, 'it cannot be read');
  }
}

/** The error of a source of credentials that is there and gives none. */
export function credentialError(store: string, source: string, problem: string): SentvecError {
  return new SentvecError('io-failed', `There are no credentials for ${store} from ${source}: ${problem}.`);
}
