/** The protocol of S3 and compatible stores: signing requests and interpreting errors. */
import { createHash } from 'node:crypto';
import type { SentvecError } from '@sentvec/platform';
import type { Environment } from '@sentvec/platform/node';
import { AwsV4Signer } from 'aws4fetch';
import { missingBucketError } from '../errors.ts';
import { encodeKey, type HttpRequest } from '../http.ts';
import { CredentialCache } from '../objects/credential-cache.ts';
import { findSkew, type ObjectProtocol, type ObjectRequest, type Refusal } from '../objects/object-requests.ts';
import { textOfElement } from '../objects/xml.ts';
import { findCredentials, readProfile, type Credentials } from './credentials.ts';

/** Options of {@link S3Protocol}. */
export interface BucketOptions {
  readonly bucket: string;
  /** Environment variables. */
  readonly environment: Environment;
  /** Maximum number of consecutive failures of a request. */
  readonly attempts: number;
}

/** A signed request with the values that a response may correct. */
interface Signed {
  readonly request: HttpRequest;
  readonly region: string;
  readonly clock: number;
}

/** Status codes of temporary failures. 409: a concurrent conditional write. */
const passing: ReadonlySet<number> = new Set([408, 409, 429, 500, 502, 503, 504]);
const passingCodes: ReadonlySet<string> = new Set(['RequestTimeout', 'SlowDown', 'InternalError', 'OperationAborted']);
const expiredCodes: ReadonlySet<string> = new Set(['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired']);

/** Endpoint, region and credentials of a bucket, which are determined at the first request. */
interface Target {
  readonly endpoint: string | undefined;
  region: string;
}

/** The protocol of S3. */
export class S3Protocol implements ObjectProtocol<Signed> {
  readonly name = 'S3';
  readonly rights = 's3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket';
  readonly root: string;
  readonly attempts: number;
  readonly #options: BucketOptions;
  readonly #credentials: CredentialCache<Credentials>;
  /** Cache of signing keys by date. */
  readonly #keys = new Map<string, ArrayBuffer>();
  #target: Promise<Target> | undefined;
  /** How many milliseconds the store's clock is ahead of the local clock. */
  #clock = 0;

  constructor(options: BucketOptions) {
    const { bucket, environment, attempts } = options;
    this.root = `s3://${bucket}`;
    this.attempts = attempts;
    this.#options = options;
    this.#credentials = CredentialCache.of(environment, findCredentials);
  }

  async sign({ method, key, query = {}, headers = {}, body, signal }: ObjectRequest): Promise<Signed> {
    const [target, credentials] = await Promise.all([this.#findTarget(), this.#credentials.get()]);
    const url = new URL(this.#urlOf(target, key));
    const { region } = target;
    const clock = this.#clock;
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    // Encoded, because stores interpret "+" in a query differently.
    url.search = url.search.replaceAll('+', '%20');
    const hash = createHash('sha256')
      .update(body ?? '')
      .digest('hex');
    const signer = new AwsV4Signer({
      method,
      url: url.href,
      headers: { ...headers, 'x-amz-content-sha256': hash },
      accessKeyId: credentials.accessKeyId,
      secretAccessKey: credentials.secretAccessKey,
      ...(credentials.sessionToken && { sessionToken: credentials.sessionToken }),
      service: 's3',
      region,
      cache: this.#keys,
      datetime: new Date(Date.now() + clock).toISOString().replaceAll(/[:-]|\.\d{3}/gu, ''),
    });
    const signed = await signer.sign();
    const all = Object.fromEntries(signed.headers);
    return { request: { method, url: signed.url.href, headers: all, body, signal }, region, clock };
  }

  async #findTarget(): Promise<Target> {
    return (this.#target ??= this.#readTarget());
  }

  async #readTarget(): Promise<Target> {
    const { environment } = this.#options;
    const profile = await readProfile(environment);
    const ignored = environment['AWS_IGNORE_CONFIGURED_ENDPOINT_URLS']?.toLowerCase() === 'true';
    const endpoint = environment['AWS_ENDPOINT_URL_S3'] || environment['AWS_ENDPOINT_URL'] || profile['endpoint_url'];
    const region = environment['AWS_REGION'] || environment['AWS_DEFAULT_REGION'] || profile['region'] || 'us-east-1';
    return { endpoint: ignored ? undefined : endpoint?.replace(/\/+$/u, ''), region };
  }

  /**
   * The URL of a key. Custom endpoints have the bucket in the path. AWS has it in the host name, unless the bucket name
   * contains dots, which the TLS certificate would not match.
   */
  #urlOf({ endpoint, region }: Target, key: string): string {
    const { bucket } = this.#options;
    const path = encodeKey(key);
    if (endpoint !== undefined) return `${endpoint}/${bucket}/${path}`.replace(/\/$/u, key === '' ? '' : '/');
    const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
    const host = `s3.${region}.${domain}`;
    return bucket.includes('.') ? `https://${host}/${bucket}/${path}` : `https://${bucket}.${host}/${path}`;
  }

  isPassing({ status, code }: Refusal): boolean {
    return passing.has(status) || passingCodes.has(code);
  }

  async isCorrected({ method }: ObjectRequest, signed: Signed, refusal: Refusal): Promise<boolean> {
    const { status, headers, code, text } = refusal;
    const target = await this.#findTarget();
    const region = headers.get('x-amz-bucket-region') ?? textOfElement(text, 'Region');
    if ([301, 307, 400].includes(status) && region && region !== signed.region) {
      target.region = region;
      return true;
    }
    // A response to HEAD has no body, so the reason of the error is unknown.
    const isSilent = method === 'HEAD' && code === '' && (status === 400 || status === 403);
    const skew = findSkew(refusal, signed.clock);
    if ((code === 'RequestTimeTooSkewed' || isSilent) && skew !== undefined) {
      this.#clock = skew;
      return true;
    }
    if (!expiredCodes.has(code) && !isSilent) return false;
    this.#credentials.renew();
    return true;
  }

  missingBucket({ status, code }: Refusal): SentvecError | undefined {
    if (code !== 'NoSuchBucket') return undefined;
    const { bucket } = this.#options;
    const remedy = 'Check its name and, for a store other than AWS, AWS_ENDPOINT_URL.';
    return missingBucketError(this.root, `There is no bucket ${bucket}. ${remedy}`, status);
  }
}
