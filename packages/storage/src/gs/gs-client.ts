/** The protocol of Google Cloud Storage (XML API): signing requests and interpreting errors. */
import { createHash, createHmac } from 'node:crypto';
import type { SentvecError } from '@sentvec/platform';
import type { Environment } from '@sentvec/platform/node';
import { missingBucketError } from '../errors.ts';
import { encodeKey, type HttpRequest } from '../http.ts';
import { CredentialCache } from '../objects/credential-cache.ts';
import { findSkew, type ObjectProtocol, type ObjectRequest, type Refusal } from '../objects/object-requests.ts';
import { findGoogleCredentials, type GoogleCredentials, type HmacKey } from './credentials.ts';

/** A signed request with the values that a response may correct. */
interface Signed {
  readonly request: HttpRequest;
  readonly hasKey: boolean;
  readonly clock: number;
}

/** Status codes of temporary failures. 429: an object can be written at most once per second. */
const passing: ReadonlySet<number> = new Set([408, 409, 429, 500, 502, 503, 504]);

/** The protocol of Google Cloud Storage. */
export class GsProtocol implements ObjectProtocol<Signed> {
  readonly name = 'Google Cloud Storage';
  readonly rights = 'storage.objects.get, storage.objects.create, storage.objects.delete, storage.objects.list';
  readonly root: string;
  readonly attempts: number;
  readonly #bucket: string;
  readonly #environment: Environment;
  readonly #credentials: CredentialCache<GoogleCredentials>;
  /** How many milliseconds the store's clock is ahead of the local clock. */
  #clock = 0;

  constructor(bucket: string, environment: Environment, attempts: number) {
    this.root = `gs://${bucket}`;
    this.attempts = attempts;
    this.#bucket = bucket;
    this.#environment = environment;
    this.#credentials = CredentialCache.of(environment, findGoogleCredentials);
  }

  async sign({ method, key, query = {}, headers = {}, body, signal }: ObjectRequest): Promise<Signed> {
    const credentials = await this.#credentials.get();
    const url = new URL(this.#urlOf(key));
    const clock = this.#clock;
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    url.search = url.search.replaceAll('+', '%20');
    // Without this header, objects with `Content-Encoding: gzip` are decompressed and do not support ranges.
    const plain = { 'accept-encoding': 'gzip', ...headers };
    const request = { method, url, headers: plain, body, date: new Date(Date.now() + clock) };
    const token = credentials.token === undefined ? {} : { authorization: `Bearer ${credentials.token}` };
    const all = credentials.key ? signGoog4(request, credentials.key) : { ...plain, ...token };
    const hasKey = credentials.key !== undefined;
    return { request: { method, url: url.href, headers: all, body, signal }, hasKey, clock };
  }

  #urlOf(key: string): string {
    const host = this.#environment['STORAGE_EMULATOR_HOST'] || 'https://storage.googleapis.com';
    const endpoint = (/^https?:\/\//u.test(host) ? host : `http://${host}`).replace(/\/+$/u, '');
    return `${endpoint}/${this.#bucket}${key === '' ? '' : `/${encodeKey(key)}`}`;
  }

  isPassing({ status }: Refusal): boolean {
    return passing.has(status);
  }

  async isCorrected({ method }: ObjectRequest, signed: Signed, refusal: Refusal): Promise<boolean> {
    const { status, code } = refusal;
    if (signed.hasKey) {
      // A response to HEAD has no body, so the reason of the error is unknown.
      const isSilent = method === 'HEAD' && (status === 400 || status === 403);
      const skew = findSkew(refusal, signed.clock);
      if ((code !== 'RequestTimeTooSkewed' && !isSilent) || skew === undefined) return false;
      this.#clock = skew;
      return true;
    }
    if (status !== 401 || signed.request.headers['authorization'] === undefined) return false;
    this.#credentials.renew();
    return true;
  }

  missingBucket({ status, code }: Refusal): SentvecError | undefined {
    if (code !== 'NoSuchBucket') return undefined;
    return missingBucketError(this.root, `There is no bucket ${this.#bucket}. Check its name.`, status);
  }
}

/** A request that is signed by {@link signGoog4}. */
export interface UnsignedRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
  readonly date: Date;
}

/**
 * Adds a `GOOG4-HMAC-SHA256` signature with an HMAC key to the headers of a request. The host and all `x-goog-` headers
 * are signed.
 *
 * @see https://cloud.google.com/storage/docs/authentication/signatures
 */
export function signGoog4(
  { method, url, headers, body, date }: UnsignedRequest,
  { id, secret }: HmacKey,
): Record<string, string> {
  const time = date.toISOString().replaceAll(/[:-]|\.\d{3}/gu, '');
  const day = time.slice(0, 8);
  const hash = headers['x-goog-content-sha256'] ?? sha256(body ?? '');
  const all: Record<string, string> = { ...headers, 'x-goog-date': time, 'x-goog-content-sha256': hash };
  const signed: Record<string, string> = { host: url.host, ...all };
  const names = Object.keys(signed)
    .filter((name) => name === 'host' || name.startsWith('x-goog-'))
    .sort();
  const query = url.search
    .slice(1)
    .split('&')
    .filter((part) => part !== '')
    .map((part) => (part.includes('=') ? part : `${part}=`))
    .sort();
  const lines = names.map((name) => `${name}:${signed[name]}`);
  const canonical = [method, url.pathname, query.join('&'), ...lines, '', names.join(';'), hash].join('\n');
  const place = [day, 'auto', 'storage', 'goog4_request'];
  const text = ['GOOG4-HMAC-SHA256', time, place.join('/'), sha256(canonical)].join('\n');
  let key: Buffer = Buffer.from(`GOOG4${secret}`);
  for (const part of [...place, text]) key = createHmac('sha256', key).update(part).digest();
  const credential = `Credential=${id}/${place.join('/')}`;
  const signature = `SignedHeaders=${names.join(';')}, Signature=${key.toString('hex')}`;
  return { ...all, authorization: `GOOG4-HMAC-SHA256 ${credential}, ${signature}` };
}

function sha256(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('hex');
}
