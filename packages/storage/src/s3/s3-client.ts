/** Signed requests to a bucket of S3, or of a store with the same protocol, tried again as the store asks for. */
import { createHash } from 'node:crypto';
import { PassingFailure, retryAfter, SentvecError } from '@sentvec/platform';
import type { Environment } from '@sentvec/platform/node';
import { AwsV4Signer } from 'aws4fetch';
import { missingError } from '../errors.ts';
import { encodeKey, readText, sendRequest, withRetries, type HttpAnswer } from '../http.ts';
import { CredentialChain, readProfile } from './credentials.ts';
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
  /** Whether the answer is text, which is read here: one that breaks off is asked for again. @default false */
  readonly readsText?: boolean | undefined;
}

/** An answer, and whether an earlier attempt may have been carried out although its answer was lost. */
export interface S3Answer extends HttpAnswer {
  readonly uncertain: boolean;
  /** With `readsText`; else empty. */
  readonly text: string;
}

/** What a request was signed with, as far as an answer may correct it. */
interface Signed {
  readonly request: Parameters<typeof sendRequest>[0];
  readonly region: string;
  readonly clock: number;
}

/** How often an answer may change what the next attempt is signed with. */
const mostCorrections = 3;

/** The most bytes of a text; a page of a list has a thousand keys. */
const longestText = 1 << 24;

/** Answers after which the same request may succeed. 409: another conditional write was going on. */
const passing: ReadonlySet<number> = new Set([408, 409, 429, 500, 502, 503, 504]);
const passingCodes: ReadonlySet<string> = new Set(['RequestTimeout', 'SlowDown', 'InternalError', 'OperationAborted']);
const expiredCodes: ReadonlySet<string> = new Set(['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired']);

/** What all requests of a bucket have in common: region and credentials, found out at the first one. */
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
    let corrections = 0;
    return withRetries({ file, attempts, signal: request.signal }, async () => {
      let answer: HttpAnswer;
      const before = uncertain;
      const signed = await this.#sign(request);
      let text = '';
      try {
        answer = await sendRequest(signed.request);
        const isWanted = answer.status < 300 || request.accept?.includes(answer.status);
        if (isWanted && !request.readsText) return { ...answer, uncertain, text };
        text = await readText(answer, isWanted ? longestText : undefined);
        if (isWanted) return { ...answer, uncertain, text };
      } catch (error) {
        uncertain ||= !SentvecError.is(error);
        throw error;
      }
      const { status, headers } = answer;
      const code = textOfElement(text, 'Code') ?? '';
      uncertain = before || (status >= 500 && code !== 'SlowDown');
      const says = `${status}${code && ` ${code}`}`;
      if (corrections < mostCorrections && (await this.#isCorrected(request, signed, answer, text))) {
        corrections += 1;
        throw new PassingFailure(says);
      }
      if (passing.has(status) || passingCodes.has(code))
        throw new PassingFailure(`it answered ${says}`, retryAfter(headers));
      throw this.#failure(file, status, code, textOfElement(text, 'Message'));
    });
  }

  async #sign({ method, key, query = {}, headers = {}, body, signal }: S3Request): Promise<Signed> {
    const [target, credentials] = await Promise.all([this.#findTarget(), this.#credentials.get()]);
    const url = new URL(this.#urlOf(target, key));
    const { region } = target;
    const clock = this.#clock;
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
   * Endpoints of one's own have the bucket in the path; those of AWS in the name, where that makes a valid certificate.
   */
  #urlOf({ endpoint, region }: Target, key: string): string {
    const { bucket } = this.#options;
    const path = encodeKey(key);
    if (endpoint !== undefined) return `${endpoint}/${bucket}/${path}`.replace(/\/$/u, key === '' ? '' : '/');
    const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
    const host = `s3.${region}.${domain}`;
    return bucket.includes('.') ? `https://${host}/${bucket}/${path}` : `https://${bucket}.${host}/${path}`;
  }

  /**
   * Whether the next attempt is signed in another way than this one was, since the answer or that to another request
   * says so: for another region, with other credentials, at another time.
   */
  async #isCorrected(
    { method }: S3Request,
    signed: Signed,
    { status, headers }: HttpAnswer,
    text: string,
  ): Promise<boolean> {
    const code = textOfElement(text, 'Code') ?? '';
    const target = await this.#findTarget();
    const region = headers.get('x-amz-bucket-region') ?? textOfElement(text, 'Region');
    if ([301, 307, 400].includes(status) && region && region !== signed.region) {
      target.region = region;
      return true;
    }
    // An answer to HEAD has no body, which would say what is wrong.
    const isSilent = method === 'HEAD' && code === '' && (status === 400 || status === 403);
    const time = Date.parse(headers.get('date') ?? '');
    const isSkewed = Math.abs(time - Date.now() - signed.clock) > 60_000;
    if ((code === 'RequestTimeTooSkewed' || isSilent) && isSkewed) {
      this.#clock = time - Date.now();
      return true;
    }
    if (!expiredCodes.has(code) && !isSilent) return false;
    this.#credentials.renew();
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
