/** A cache of credentials in memory, which renews them before they expire. */
import { readFile } from 'node:fs/promises';
import { SentvecError } from '@sentvec/platform';
import type { Environment } from '@sentvec/platform/node';

/** Credentials with their expiry time in milliseconds since 1970. `undefined`: they do not expire. */
export interface Expiring {
  readonly expires?: number | undefined;
}

/** How many milliseconds before their expiry credentials are renewed. */
const margin = 5 * 60_000;

/** Timeout of a metadata service in milliseconds. It is short, because on other machines nothing responds. */
export const metadataTimeout = 2000;

/** Timeout of a credential service in milliseconds. */
export const serviceTimeout = 30_000;

/** Caches by environment and by the function that finds the credentials. */
const caches = new WeakMap<Environment, Map<unknown, CredentialCache<Expiring>>>();

/** Finds credentials at the first request, and renews them before they expire. */
export class CredentialCache<Credentials extends Expiring> {
  readonly #find: () => Promise<Credentials>;
  #found: Promise<Credentials> | undefined;

  private constructor(find: () => Promise<Credentials>) {
    this.#find = find;
  }

  /** The cache that all stores with the same environment and kind of credentials share. */
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

  /** Returns valid credentials. @throws SentvecError `io-failed` when there are none */
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

  /** Drops credentials that a server has rejected as expired. */
  renew(found: Promise<Credentials> | undefined = this.#found): void {
    if (this.#found === found) this.#found = undefined;
  }
}

/** Requests credentials from a service. @throws errors of the connection */
export async function askForCredentials(url: URL, init: RequestInit, timeout: number): Promise<Response> {
  return fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(timeout) });
}

/** Reads a file with a secret. @throws SentvecError `io-failed`, with the file name but not its content */
export async function readSecret(store: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    throw credentialError(store, `the file ${file}`, 'it cannot be read');
  }
}

/** The error for a source of credentials that exists but provides none. */
export function credentialError(store: string, source: string, problem: string): SentvecError {
  return new SentvecError('io-failed', `There are no credentials for ${store} from ${source}: ${problem}.`);
}
