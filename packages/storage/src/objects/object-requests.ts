/**
 * Requests to a store of objects: signed, tried again as the store asks for, and signed in another way when an answer says
 * what was wrong. What may have been carried out although its answer was lost is reported as uncertain.
 */
import { PassingFailure, retryAfter, SentvecError } from '@sentvec/platform';
import { missingError } from '../errors.ts';
import { readText, sendRequest, withRetries, type HttpAnswer, type HttpRequest } from '../http.ts';
import { textOfElement } from './xml.ts';

/** A request for an object, or with an empty key for its bucket. */
export interface ObjectRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  readonly key: string;
  readonly query?: Readonly<Record<string, string>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Which answers other than success the caller handles itself. @default none */
  readonly accept?: ((status: number, headers: Headers) => boolean) | undefined;
  /** Whether the answer is text, which is read here: one that breaks off is asked for again. @default false */
  readonly readsText?: boolean | undefined;
}

/** An answer, and whether an earlier attempt may have been carried out although its answer was lost. */
export interface ObjectAnswer extends HttpAnswer {
  readonly uncertain: boolean;
  /** With `readsText`; else empty. */
  readonly text: string;
}

/** An answer that is neither of success nor accepted. */
export interface Refusal extends Pick<HttpAnswer, 'status' | 'headers'> {
  /** What the store calls the problem; empty when it does not say. */
  readonly code: string;
  readonly text: string;
}

/** How a kind of store is talked to. */
export interface ObjectProtocol<Signed extends { readonly request: HttpRequest }> {
  /** What the store is, for messages: `S3`. */
  readonly name: string;
  /** The rights that reading, writing and listing need, for messages. */
  readonly rights: string;
  /** The bucket, for messages: `s3://bucket`. */
  readonly root: string;
  /** Failures in a row after which a request is given up. */
  readonly attempts: number;
  /** The error of a bucket that is not there. @returns `undefined` when that is not what the refusal says */
  missingBucket(refusal: Refusal): SentvecError | undefined;
  /** Whether the same request may succeed later. */
  isPassing(refusal: Refusal): boolean;
  sign(request: ObjectRequest): Promise<Signed>;
  /**
   * Whether the next attempt is signed in another way than this one was, since the answer or that to another request
   * says so: for another region, with other credentials, at another time.
   */
  isCorrected(request: ObjectRequest, signed: Signed, refusal: Refusal): Promise<boolean>;
}

/** How often an answer may change what the next attempt is signed with. */
const mostCorrections = 3;

/** The most bytes of a text; a page of a list has some thousand keys. */
const longestText = 1 << 24;

/** @throws SentvecError `io-failed` for any answer that is neither of success nor accepted; `aborted` */
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
    // Azure says it in a header, too: an answer to HEAD has no body.
    const code = headers.get('x-ms-error-code') ?? textOfElement(text, 'Code') ?? '';
    const refusal = { status, headers, code, text };
    uncertain = before || status >= 500;
    const says = `${status}${code && ` ${code}`}`;
    if (corrections < mostCorrections && (await protocol.isCorrected(request, signed, refusal))) {
      corrections += 1;
      throw new PassingFailure(says);
    }
    if (protocol.isPassing(refusal)) throw new PassingFailure(`it answered ${says}`, retryAfter(headers));
    throw refusalError(protocol, file, refusal);
  });
}

/** The error of an answer that no further attempt will change. */
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
    const remedy = `Check the credentials and their rights: ${protocol.rights}. Without the right to list, a file that is missing looks the same.`;
    const message = `${protocol.name} gives no access to ${file} (${says}). ${remedy}`;
    return new SentvecError('io-failed', message, details);
  }
  const message = textOfElement(text, 'Message');
  const reason = message === undefined ? '' : `: ${message.replace(/\.$/u, '')}`;
  return new SentvecError('io-failed', `${protocol.name} refused a request for ${file} (${says}${reason}).`, details);
}

/**
 * Milliseconds by which the store's clock is ahead of ours, when an answer shows that it is another number than the one
 * that the request was signed with.
 */
export function findSkew({ headers }: Pick<Refusal, 'headers'>, signedWith: number): number | undefined {
  const skew = Date.parse(headers.get('date') ?? '') - Date.now();
  return Math.abs(skew - signedWith) > 60_000 ? skew : undefined;
}
