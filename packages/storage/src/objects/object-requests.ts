/**
 * Requests to an object store, with signing and retries. If a response shows why the signature was wrong, the request
 * is signed again. If a request may have been executed although its response was lost, the result is marked as
 * uncertain.
 */
import { PassingFailure, retryAfter, SentvecError } from '@sentvec/platform';
import { missingError } from '../errors.ts';
import { readText, sendRequest, withRetries, type HttpAnswer, type HttpRequest } from '../http.ts';
import { textOfElement } from './xml.ts';

/** A request for an object; with an empty key, for the bucket. */
export interface ObjectRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  readonly key: string;
  readonly query?: Readonly<Record<string, string>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Returns whether the caller handles a response with this error status. @default none */
  readonly accept?: ((status: number, headers: Headers) => boolean) | undefined;
  /** Whether to read the response as text. An incomplete response is requested again. @default false */
  readonly readsText?: boolean | undefined;
}

/** A response, and whether an earlier attempt may have been executed although its response was lost. */
export interface ObjectAnswer extends HttpAnswer {
  readonly uncertain: boolean;
  /** The body, if `readsText` is set; else empty. */
  readonly text: string;
}

/** An error response that the caller does not accept. */
export interface Refusal extends Pick<HttpAnswer, 'status' | 'headers'> {
  /** The error code of the store; empty if there is none. */
  readonly code: string;
  readonly text: string;
}

/** The protocol of a kind of object store. */
export interface ObjectProtocol<Signed extends { readonly request: HttpRequest }> {
  /** Name of the store for messages, such as `S3`. */
  readonly name: string;
  /** The permissions for reading, writing and listing, for messages. */
  readonly rights: string;
  /** URI of the bucket for messages: `s3://bucket`. */
  readonly root: string;
  /** Maximum number of consecutive failures of a request. */
  readonly attempts: number;
  /** The error for a missing bucket. @returns `undefined` if the response means something else */
  missingBucket(refusal: Refusal): SentvecError | undefined;
  /** Whether the failure is temporary, so the same request may succeed later. */
  isPassing(refusal: Refusal): boolean;
  sign(request: ObjectRequest): Promise<Signed>;
  /**
   * Whether the next attempt will be signed differently, because this response or that of another request has shown
   * another region, expired credentials, or a wrong clock.
   */
  isCorrected(request: ObjectRequest, signed: Signed, refusal: Refusal): Promise<boolean>;
}

/** Maximum number of times that a request is signed again. */
const mostCorrections = 3;

/** Maximum bytes of a text response. A page of a list has a few thousand keys. */
const longestText = 1 << 24;

/**
 * Sends a request with retries.
 * @throws SentvecError `io-failed` for an error response that the caller does not accept; `aborted`
 */
export async function sendObjectRequest<Signed extends { readonly request: HttpRequest }>(
  protocol: ObjectProtocol<Signed>,
  request: ObjectRequest,
): Promise<ObjectAnswer> {
  const { attempts } = protocol;
  const file = `${protocol.root}/${request.key}`;
  let uncertain = false;
  let corrections = 0;
  return withRetries({ file, attempts, signal: request.signal }, async () => {
    let answer: HttpAnswer;
    const before = uncertain;
    const signed = await protocol.sign(request);
    let text = '';
    try {
      answer = await sendRequest(signed.request);
      const isWanted = answer.status < 300 || request.accept?.(answer.status, answer.headers);
      if (isWanted && !request.readsText) return { ...answer, uncertain, text };
      text = await readText(answer, isWanted ? longestText : undefined);
      if (isWanted) return { ...answer, uncertain, text };
    } catch (error) {
      uncertain ||= !SentvecError.is(error);
      throw error;
    }
    const { status, headers } = answer;
    // Azure also sends the code in a header, which is needed for HEAD, because its response has no body.
    const code = headers.get('x-ms-error-code') ?? textOfElement(text, 'Code') ?? '';
    const refusal = { status, headers, code, text };
    uncertain = before || status >= 500;
    const says = `${status}${code && ` ${code}`}`;
    if (corrections < mostCorrections && (await protocol.isCorrected(request, signed, refusal))) {
      corrections += 1;
      throw new PassingFailure(says);
    }
    if (protocol.isPassing(refusal)) throw new PassingFailure(`it returned ${says}`, retryAfter(headers));
    throw refusalError(protocol, file, refusal);
  });
}

/** The error for a permanent failure. */
export function refusalError(
  protocol: Pick<ObjectProtocol<never>, 'name' | 'rights' | 'missingBucket'>,
  file: string,
  refusal: Refusal,
): SentvecError {
  const { status, code, text } = refusal;
  const details = { file, status, ...(code && { code }) };
  const says = `${status}${code && ` ${code}`}`;
  const missingBucket = protocol.missingBucket(refusal);
  if (missingBucket) return missingBucket;
  if (status === 404) return missingError(file);
  if (status === 401 || status === 403) {
    const remedy = `Check the credentials and their permissions: ${protocol.rights}. Without the permission to list, a missing file gives the same error.`;
    const message = `${protocol.name} denies access to ${file} (${says}). ${remedy}`;
    return new SentvecError('io-failed', message, details);
  }
  const message = textOfElement(text, 'Message');
  const reason = message === undefined ? '' : `: ${message.replace(/\.$/u, '')}`;
  return new SentvecError('io-failed', `${protocol.name} refused a request for ${file} (${says}${reason}).`, details);
}

/**
 * How many milliseconds the store's clock is ahead of the local clock, if the response shows another value than the one
 * that the request was signed with; else `undefined`.
 */
export function findSkew({ headers }: Pick<Refusal, 'headers'>, signedWith: number): number | undefined {
  const skew = Date.parse(headers.get('date') ?? '') - Date.now();
  return Math.abs(skew - signedWith) > 60_000 ? skew : undefined;
}
