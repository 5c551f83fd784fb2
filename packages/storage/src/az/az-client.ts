/** The protocol of Azure Blob Storage: signing requests and interpreting errors. */
import { createHmac } from 'node:crypto';
import type { SentvecError } from '@sentvec/platform';
import type { Environment } from '@sentvec/platform/node';
import { missingBucketError } from '../errors.ts';
import { encodeKey, type HttpRequest } from '../http.ts';
import { CredentialCache } from '../objects/credential-cache.ts';
import { findSkew, type ObjectProtocol, type ObjectRequest, type Refusal } from '../objects/object-requests.ts';
import { findAzureCredentials, type AccountKey, type AzureCredentials } from './credentials.ts';

/** A signed request with the values that a response may correct. */
interface Signed {
  readonly request: HttpRequest;
  readonly way: 'key' | 'sas' | 'token';
  readonly clock: number;
}

/** Version of the REST API. */
const version = '2021-12-02';

/** Status codes of temporary failures. */
const passing: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** The protocol of Azure Blob Storage. */
export class AzProtocol implements ObjectProtocol<Signed> {
  readonly name = 'Azure Blob Storage';
  readonly rights = 'Storage Blob Data Contributor, or for inputs Storage Blob Data Reader';
  readonly root: string;
  readonly attempts: number;
  readonly #container: string;
  readonly #credentials: CredentialCache<AzureCredentials>;
  /** How many milliseconds the store's clock is ahead of the local clock. */
  #clock = 0;

  constructor(container: string, environment: Environment, attempts: number) {
    this.root = `az://${container}`;
    this.attempts = attempts;
    this.#container = container;
    this.#credentials = CredentialCache.of(environment, findAzureCredentials);
  }

  async sign({ method, key, query = {}, headers = {}, body, signal }: ObjectRequest): Promise<Signed> {
    const credentials = await this.#credentials.get();
    const clock = this.#clock;
    const path = key === '' ? this.#container : `${this.#container}/${encodeKey(key)}`;
    const url = new URL(`${credentials.endpoint}/${path}`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    url.search = url.search.replaceAll('+', '%20');
    const date = new Date(Date.now() + clock).toUTCString();
    const all: Record<string, string> = { ...headers, 'x-ms-date': date, 'x-ms-version': version };
    const way = credentials.key ? 'key' : credentials.sas === undefined ? 'token' : 'sas';
    if (credentials.key) all['authorization'] = signSharedKey({ method, url, headers: all, body }, credentials.key);
    if (way === 'token') all['authorization'] = `Bearer ${credentials.token}`;
    if (way === 'sas') url.search += `${url.search === '' ? '?' : '&'}${credentials.sas}`;
    return { request: { method, url: url.href, headers: all, body, signal }, way, clock };
  }

  isPassing({ status }: Refusal): boolean {
    return passing.has(status);
  }

  async isCorrected(_: ObjectRequest, { way, clock }: Signed, refusal: Refusal): Promise<boolean> {
    const { status } = refusal;
    if (status !== 401 && status !== 403) return false;
    const skew = findSkew(refusal, clock);
    if (way === 'key' && skew !== undefined) {
      this.#clock = skew;
      return true;
    }
    if (way !== 'token' || status !== 401) return false;
    this.#credentials.renew();
    return true;
  }

  missingBucket({ status, code }: Refusal): SentvecError | undefined {
    if (code !== 'ContainerNotFound') return undefined;
    const message = `There is no container ${this.#container}. Check its name and the account.`;
    return missingBucketError(this.root, message, status);
  }
}

/** A request that is signed by {@link signSharedKey}. */
export interface UnsignedRequest {
  readonly method: string;
  readonly url: URL;
  /** Header names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
}

/** The `Authorization` header of a request, signed with the key of an account. */
export function signSharedKey(request: UnsignedRequest, { account, secret }: AccountKey): string {
  const text = textToSign(request, account);
  const signature = createHmac('sha256', Buffer.from(secret, 'base64')).update(text).digest('base64');
  return `SharedKey ${account}:${signature}`;
}

/** Standard headers in the order of the string to sign. The date is in `x-ms-date` instead. */
const signedHeaders = [
  'content-encoding',
  'content-language',
  'content-length',
  'content-md5',
  'content-type',
  'date',
  'if-modified-since',
  'if-match',
  'if-none-match',
  'if-unmodified-since',
  'range',
];

/** @see https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key */
export function textToSign({ method, url, headers, body }: UnsignedRequest, account: string): string {
  const length = body?.byteLength ? String(body.byteLength) : '';
  const all: Readonly<Record<string, string>> = { ...headers, 'content-length': length };
  const own = Object.keys(headers)
    .filter((name) => name.startsWith('x-ms-'))
    .sort();
  const parameters = [...url.searchParams].map(([name, value]) => `\n${name.toLowerCase()}:${value}`).sort();
  return [
    method,
    ...signedHeaders.map((name) => all[name] ?? ''),
    ...own.map((name) => `${name}:${headers[name]}`),
    `/${account}${url.pathname}${parameters.join('')}`,
  ].join('\n');
}
