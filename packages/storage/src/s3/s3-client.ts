/** Signed requests to a bucket of S3, or of a store that speaks its language, tried again as the store asks for. */
import { createHash } from 'node:crypto';
import { PassingFailure, retryAfter, SentvecError } from '@sentvec/platform';
import { AwsV4Signer } from 'aws4fetch';
import { missingError } from '../errors.ts';
import { encodeName, readText, sendRequest, withRetries, type HttpAnswer } from '../http.ts';
import { CredentialChain, readProfile, type Environment } from './credentials.ts';
import { textOfElement } from './xml.ts';

/** Where the requests for a bucket go. */
export interface BucketOptions {
  readonly bucket: string;
  /** Variables in the place of those of this process. */
  readonly environment: Environment;
  /** Failures in a row after which a request is given up. */
  readonly attempts: number;
}

/** A request for an object, or with an empty key for the bucket. */
export interface S3Request {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  readonly key: string;
  readonly query?: Readonly<Record<string, string>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Statuses other than success that the caller handles itself. @default none */
  readonly accept?: readonly number[] | undefined;
}

/** An answer, and whether an earlier attempt may have been carried out although its answer was lost. */
export interface S3Answer extends HttpAnswer {
  readonly uncertain: boolean;
}

/** Answers after which the same request may succeed. 409: another conditional write was going on. */
const passing: ReadonlySet<number> = new Set([408, 409, 429, 500, 502, 503, 504]);
const passingCodes: ReadonlySet<string> = new Set(['RequestTimeout', 'SlowDown', 'InternalError', 'OperationAborted']);
const expiredCodes: ReadonlySet<string> = new Set(['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired']);

/** What is the same for all requests of a bucket, found out at the first one. */
interface Target {
  readonly endpoint: string | undefined;
  region: string;
}

const chains = new WeakMap<Environment, CredentialChain>();

export class S3Client {
  readonly #options: BucketOptions;
  readonly #credentials: CredentialChain;
  /** Keys that signatures are made with, by their date. */
  readonly #keys = new Map<string, ArrayBuffer>();
  #target: Promise<Target> | undefined;
  /** Milliseconds by which the store's clock is ahead of ours. */
  #clock = 0;

  constructor(options: BucketOptions) {
    this.#options = options;
    const { environment } = options;
    this.#credentials = chains.get(environment) ?? new CredentialChain(environment);
    chains.set(environment, this.#credentials);
  }

  /** @throws SentvecError `io-failed` for any answer that is neither of success nor accepted; `aborted` */
  async send(request: S3Request): Promise<S3Answer> {
    const { bucket, attempts } = this.#options;
    const file = `s3://${bucket}/${request.key}`;
    let uncertain = false;
    return withRetries({ file, attempts, signal: request.signal }, async (failures) => {
      let answer: HttpAnswer;
      try {
        answer = await sendRequest(await this.#sign(request));
      } catch (error) {
        uncertain ||= !SentvecError.is(error);
        throw error;
      }
      const { status, headers } = answer;
      if ((status >= 200 && status < 300) || request.accept?.includes(status)) return { ...answer, uncertain };
      const text = await readText(answer);
      const code = textOfElement(text, 'Code') ?? '';
      uncertain ||= status >= 500 && code !== 'SlowDown';
      const says = `${status}${code && ` ${code}`}`;
      if (await this.#canAdapt(status, code, text, headers, failures)) throw new PassingFailure(says);
      if (passing.has(status) || passingCodes.has(code))
        throw new PassingFailure(`it answered ${says}`, retryAfter(headers));
      throw this.#failure(file, status, code, textOfElement(text, 'Message'));
    });
  }

  async #sign({
    method,
    key,
    query = {},
    headers = {},
    body,
    signal,
  }: S3Request): Promise<Parameters<typeof sendRequest>[0]> {
    const [target, credentials] = await Promise.all([this.#findTarget(), this.#credentials.get()]);
    const url = new URL(this.#urlOf(target, key));
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    // Stores differ in what a "+" in a query means.
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
      region: target.region,
      cache: this.#keys,
      datetime: new Date(Date.now() + this.#clock).toISOString().replaceAll(/[:-]|\.\d{3}/gu, ''),
    });
    const signed = await signer.sign();
    const all = Object.fromEntries(signed.headers);
    return { method, url: signed.url.href, headers: all, body, signal };
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
   * Endpoints of one's own have the bucket in the path; those of AWS in the name, where that makes a valid certificate.
   */
  #urlOf({ endpoint, region }: Target, key: string): string {
    const { bucket } = this.#options;
    const path = key.split('/').map(encodeName).join('/');
    if (endpoint !== undefined) return `${endpoint}/${bucket}/${path}`.replace(/\/$/u, key === '' ? '' : '/');
    const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
    const host = `s3.${region}.${domain}`;
    return bucket.includes('.') ? `https://${host}/${bucket}/${path}` : `https://${bucket}.${host}/${path}`;
  }

  /** Whether the answer says how the next attempt must differ: another region, other credentials, another time. */
  async #canAdapt(status: number, code: string, text: string, headers: Headers, failures: number): Promise<boolean> {
    if (failures >= 2) return false;
    const target = await this.#findTarget();
    const region = headers.get('x-amz-bucket-region') ?? textOfElement(text, 'Region');
    if ([301, 307, 400].includes(status) && region && region !== target.region) {
      target.region = region;
      return true;
    }
    if (expiredCodes.has(code)) {
      this.#credentials.renew();
      return true;
    }
    const time = Date.parse(headers.get('date') ?? '');
    // The body of an answer to HEAD, which would say so, does not come.
    const isSkewed = code === 'RequestTimeTooSkewed' || (code === '' && status === 403);
    if (!isSkewed || !(Math.abs(time - Date.now() - this.#clock) > 60_000)) return false;
    this.#clock = time - Date.now();
    return true;
  }

  #failure(file: string, status: number, code: string, message: string | undefined): SentvecError {
    const { bucket } = this.#options;
    const details = { file, status, ...(code && { code }) };
    const says = `${status}${code && ` ${code}`}`;
    if (code === 'NoSuchBucket') {
      const remedy = 'Check the name, and AWS_ENDPOINT_URL if the store is not that of AWS.';
      return new SentvecError('io-failed', `There is no bucket ${bucket}. ${remedy}`, { ...details, missing: true });
    }
    if (status === 404) return missingError(file);
    if (status === 401 || status === 403) {
      const remedy =
        'Check the credentials and their rights: s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket. Without the right to list, a file that is missing looks the same.';
      return new SentvecError('io-failed', `S3 gives no access to ${file} (${says}). ${remedy}`, details);
    }
    const reason = message === undefined ? '' : `: ${message.replace(/\.$/u, '')}`;
    return new SentvecError('io-failed', `S3 refused a request for ${file} (${says}${reason}).`, details);
  }
}
