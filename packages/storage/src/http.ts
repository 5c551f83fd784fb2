/**
 * Requests over HTTP: raw bytes, no redirects followed, through the proxy of the environment, tried again after
 * temporary failures.
 */
import type { Readable } from 'node:stream';
import { PassingFailure, SentvecError, throwIfAborted, waitToRetry } from '@sentvec/platform';
import type { Dispatcher } from 'undici';
import { changedError, checkRange } from './errors.ts';
import type { FileVersion, ReadOptions } from './storage.ts';

/** A request as it is sent. */
export interface HttpRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An answer whose body has not been read. It must be read or discarded. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readable;
}

/** Milliseconds without a byte of the answer. */
const longestSilence = 60_000;

/**
 * Bytes that are sent in a millisecond, at least: the time until an answer begins includes sending the request's body.
 */
const slowestUpload = 64;

const proxies = new Map<string, Dispatcher>();

/** Sends a request. @throws errors of the connection */
export async function sendRequest({ method, url, headers, body, signal }: HttpRequest): Promise<HttpAnswer> {
  const [{ ProxyAgent, request }, { getProxyForUrl }] = await Promise.all([import('undici'), import('proxy-from-env')]);
  const proxy = getProxyForUrl(url);
  if (proxy !== '' && !proxies.has(proxy)) proxies.set(proxy, new ProxyAgent(proxy));
  const answer = await request(url, {
    method: method as Dispatcher.HttpMethod,
    headers,
    body: body ?? null,
    signal: signal ?? null,
    headersTimeout: longestSilence + Math.ceil((body?.byteLength ?? 0) / slowestUpload),
    bodyTimeout: longestSilence,
    ...(proxy !== '' && { dispatcher: proxies.get(proxy)! }),
  });
  const pairs = Object.entries(answer.headers).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [value].flat().map((each) => [name, toHeaderText(each)]),
  );
  return { status: answer.statusCode, headers: new Headers(pairs), body: answer.body };
}

/** Header values are bytes; what is not Latin-1 is not allowed in `Headers`. */
function toHeaderText(value: string): string {
  return /^[\t\u0020-\u007E\u0080-\u00FF]*$/u.test(value) ? value : '';
}

/** Reads an answer to its end, at most this many bytes of it. */
export async function readText({ body }: HttpAnswer, limit: number = 1 << 16): Promise<string> {
  const blocks: Buffer[] = [];
  let bytes = 0;
  for await (const block of body as AsyncIterable<Buffer>) {
    blocks.push(block);
    bytes += block.byteLength;
    if (bytes >= limit) break;
  }
  return Buffer.concat(blocks).toString('utf8');
}

/** Stops an answer. Its connection is closed, unless it has ended. */
export function cancel({ body }: HttpAnswer): void {
  body.on('error', () => {}); // It is no longer read.
  body.destroy();
}

/** Reads an answer to its end and forgets it, so that its connection can be used again. */
export async function discard({ body }: HttpAnswer): Promise<void> {
  body.on('error', () => {});
  for await (const _ of body as AsyncIterable<Buffer>);
}

/** The most redirects of a request: more are a loop. */
const mostRedirects = 10;

/** What only the server may see that it was meant for. */
const secretHeaders: ReadonlySet<string> = new Set(['authorization', 'cookie']);

/** An answer, from where redirects led. */
export interface FollowedAnswer extends HttpAnswer {
  /** Who gave it. */
  readonly url: string;
  /** The headers of the redirects that led there. */
  readonly redirects: readonly Headers[];
}

/**
 * Sends a request and follows redirects. Another server gets neither `authorization` nor `cookie`, and a request that
 * began encrypted stays so.
 *
 * @param stop whether a redirect is the answer, by its headers. Without it, none is
 * @throws SentvecError `io-failed`, and errors of the connection
 */
export async function followRedirects(
  request: HttpRequest,
  stop: (headers: Headers) => boolean = () => false,
): Promise<FollowedAnswer> {
  const redirects: Headers[] = [];
  let { url, headers } = request;
  while (redirects.length <= mostRedirects) {
    const answer = await sendRequest({ ...request, url, headers });
    const location = answer.headers.get('location');
    const isRedirect = answer.status >= 300 && answer.status <= 399 && location !== null;
    if (!isRedirect || stop(answer.headers)) return { ...answer, url, redirects };
    await discard(answer);
    redirects.push(answer.headers);
    const next = new URL(location, url);
    if (!/^https?:$/u.test(next.protocol) || (url.startsWith('https:') && next.protocol === 'http:')) {
      const message = `${request.url} leads to ${next.origin}, which is not encrypted.`;
      throw new SentvecError('io-failed', message, { file: request.url });
    }
    if (next.origin !== new URL(url).origin) headers = withoutSecrets(headers);
    url = next.href;
  }
  const message = `${request.url} leads from one address to another more than ${mostRedirects} times.`;
  throw new SentvecError('io-failed', message, { file: request.url });
}

function withoutSecrets(headers: HttpRequest['headers']): HttpRequest['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !secretHeaders.has(name.toLowerCase())));
}

/** How temporary failures are retried. */
export interface RetryOptions {
  /** The file, for messages. */
  readonly file: string;
  /** Failures in a row after which it is given up. */
  readonly attempts: number;
  readonly signal?: AbortSignal | undefined;
}

/** Waits before the store is asked again. @throws SentvecError `aborted`, `io-failed`, or the failure itself */
export function waitForStore(failure: unknown, failures: number, options: RetryOptions): Promise<void> {
  const { file, attempts, signal } = options;
  const failed = (reason: string): SentvecError => {
    const message = `${file}: the store failed ${failures} times in a row: ${reason}. Check the network and the store, then try again.`;
    return new SentvecError('io-failed', message, { file }, { cause: failure });
  };
  return waitToRetry(failure, failures, { first: 100, longest: 20_000, attempts, failed, signal });
}

/** Calls `work` until it succeeds, waiting between failures. @throws see {@link waitForStore} */
export async function withRetries<T>(options: RetryOptions, work: (failures: number) => Promise<T>): Promise<T> {
  for (let failures = 0; ;) {
    throwIfAborted(options.signal);
    try {
      return await work(failures);
    } catch (error) {
      failures += 1;
      await waitForStore(error, failures, options);
    }
  }
}

/** Options of {@link readRange}. */
export interface RangeOptions extends ReadOptions {
  /** For messages. */
  readonly file: string;
  readonly attempts: number;
}

/**
 * The bytes of a range, all of one version: every answer must be of the version of the first, and what it sends must be
 * what it was asked for.
 *
 * @param get sends a GET with these headers; it may answer 412 and 416
 * @throws SentvecError `io-failed` with `details.changed` when another version is there, or the file is not so long
 */
export async function* readRange(
  get: (headers: Readonly<Record<string, string>>) => Promise<HttpAnswer>,
  versionOf: (answer: HttpAnswer) => FileVersion,
  { start = 0, end, version, file, attempts, signal }: RangeOptions,
): AsyncGenerator<Uint8Array> {
  checkRange(file, start, end);
  throwIfAborted(signal);
  if (end === start) return;
  let expected = version;
  const open = async (position: number): Promise<OpenedRange> => {
    const isWhole = position === 0 && end === undefined;
    // Servers never take a weak ETag or a time as equal in `If-Match`.
    const match = expected?.startsWith('"') ? { 'if-match': expected } : {};
    const range = isWhole ? {} : { range: `bytes=${position}-${end === undefined ? '' : end - 1}` };
    const answer = await get({ ...range, ...match });
    if (answer.status === 412 || answer.status === 416) {
      await discard(answer);
      // A range cannot begin at the end of a file.
      const size = /^bytes \*\/(\d+)$/u.exec(answer.headers.get('content-range') ?? '')?.[1];
      if (answer.status === 416 && end === undefined && Number(size) === position) return { end: position };
      throw changedError(file);
    }
    if (answer.status === 200 && !answer.headers.has('content-length')) {
      cancel(answer);
      throw unknownSizeError(file);
    }
    const sent = sentRange(answer, isWhole);
    if (sent?.start !== position) {
      await discard(answer);
      throw new PassingFailure('it sent other bytes than were asked for');
    }
    expected ??= versionOf(answer).version;
    if (versionOf(answer).version === expected && (end === undefined || sent.end === end))
      return { answer, end: sent.end };
    cancel(answer);
    throw changedError(file);
  };
  yield* streamAnswers(start, open, { file, attempts, signal });
}

function unknownSizeError(file: string): SentvecError {
  const message = `The server does not say how long ${file} is, so an answer that breaks off would go unnoticed. Download it first.`;
  return new SentvecError('io-failed', message, { file });
}

/** Which bytes an answer says that it sends. */
function sentRange(
  { status, headers }: HttpAnswer,
  isWhole: boolean,
): { readonly start: number; readonly end: number } | undefined {
  if (isWhole && status === 200) return { start: 0, end: Number(headers.get('content-length')) };
  const range = /^bytes (\d+)-(\d+)\//u.exec(headers.get('content-range') ?? '');
  return status === 206 && range ? { start: Number(range[1]), end: Number(range[2]) + 1 } : undefined;
}

/** An answer with the bytes from a position on, and the byte before which they end. No answer: there are no bytes. */
interface OpenedRange {
  readonly answer?: HttpAnswer | undefined;
  readonly end: number;
}

/**
 * The bytes of a range, from answers that may break anywhere: the next one goes on at the byte that was reached. Only
 * failures in a row without a further byte count.
 */
async function* streamAnswers(
  start: number,
  open: (position: number) => Promise<OpenedRange>,
  options: RetryOptions,
): AsyncGenerator<Uint8Array> {
  let failures = 0;
  for (let position = start; ;) {
    let answer: HttpAnswer | undefined;
    try {
      throwIfAborted(options.signal);
      const opened = await open(position);
      ({ answer } = opened);
      for await (const block of (answer?.body ?? []) as AsyncIterable<Buffer>) {
        if (position + block.byteLength > opened.end) throw new PassingFailure('more bytes came than were asked for');
        position += block.byteLength;
        failures = 0;
        yield block;
      }
      if (position === opened.end) return;
      throw new PassingFailure(`the answer ended at byte ${position}, before byte ${opened.end}`);
    } catch (error) {
      failures += 1;
      await waitForStore(error, failures, options);
    } finally {
      if (answer) cancel(answer);
    }
  }
}

/** Size of the file of an answer: `NaN` when it does not say it. */
export function totalBytesOf({ headers }: Pick<HttpAnswer, 'headers'>): number {
  const total = /\/(\d+)$/u.exec(headers.get('content-range') ?? '')?.[1] ?? headers.get('content-length');
  return total === null ? Number.NaN : Number(total);
}

/** A key in the path of a URL: its names are escaped, as S3 signs them, its slashes are not. */
export function encodeKey(key: string): string {
  return key.split('/').map(encodeName).join('/');
}

/** Everything is escaped but letters, digits and `-._~`. */
function encodeName(name: string): string {
  return encodeURIComponent(name).replaceAll(
    /[!'()*]/gu,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
