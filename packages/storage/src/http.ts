/**
 * HTTP requests with raw bytes, through the proxy of the environment, with retries after temporary failures. Redirects
 * are followed only by {@link followRedirects}.
 */
import type { Readable } from 'node:stream';
import { PassingFailure, SentvecError, throwIfAborted, waitToRetry } from '@sentvec/platform';
import type { Dispatcher } from 'undici';
import { changedError, checkRange } from './errors.ts';
import type { FileVersion, ReadOptions } from './storage.ts';

/** An HTTP request. */
export interface HttpRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A response whose body has not been read yet. It must be read or discarded. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readable;
}

/** Timeout in milliseconds without any byte of the response. */
const longestSilence = 60_000;

/**
 * Minimum upload speed in bytes per millisecond. It extends the timeout, because the time until the response begins
 * includes sending the body.
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

/** Encodes a header value as Latin-1 bytes, because `Headers` rejects other characters. */
function toHeaderText(value: string): string {
  return /^[\t\u0020-\u007E\u0080-\u00FF]*$/u.test(value) ? value : '';
}

/** Reads the body of a response, at most `limit` bytes of it. */
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

/** Cancels a response. Its connection is closed, unless the response has ended. */
export function cancel({ body }: HttpAnswer): void {
  body.on('error', () => {}); // Ignore errors, because nobody reads the body.
  body.destroy();
}

/** Reads a response to its end without keeping it, so that the connection can be reused. */
export async function discard({ body }: HttpAnswer): Promise<void> {
  body.on('error', () => {});
  for await (const _ of body as AsyncIterable<Buffer>);
}

/** Maximum number of redirects. More are probably a loop. */
const mostRedirects = 10;

/** Headers that are sent only to the original server, not to redirect targets. */
const secretHeaders: ReadonlySet<string> = new Set(['authorization', 'cookie']);

/** A response after redirects. */
export interface FollowedAnswer extends HttpAnswer {
  /** The final URL. */
  readonly url: string;
  /** The headers of all redirect responses. */
  readonly redirects: readonly Headers[];
}

/**
 * Sends a request and follows redirects. `authorization` and `cookie` are not sent to another server, and a redirect
 * from https to http is an error.
 *
 * @param stop returns whether a redirect should not be followed but returned, by its headers. Default: all are followed
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
      const message = `${request.url} redirects to ${next.origin}, which is not encrypted.`;
      throw new SentvecError('io-failed', message, { file: request.url });
    }
    if (next.origin !== new URL(url).origin) headers = withoutSecrets(headers);
    url = next.href;
  }
  const message = `${request.url} has more than ${mostRedirects} redirects.`;
  throw new SentvecError('io-failed', message, { file: request.url });
}

function withoutSecrets(headers: HttpRequest['headers']): HttpRequest['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !secretHeaders.has(name.toLowerCase())));
}

/** Options of retries after temporary failures. */
export interface RetryOptions {
  /** The file, for error messages. */
  readonly file: string;
  /** Maximum number of consecutive failures. */
  readonly attempts: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits before the next retry.
 * @throws SentvecError `aborted`; `io-failed` after too many failures; a failure that is not temporary
 */
export function waitForStore(failure: unknown, failures: number, options: RetryOptions): Promise<void> {
  const { file, attempts, signal } = options;
  const failed = (reason: string): SentvecError => {
    const message = `${file}: the store failed ${failures} times in a row: ${reason}. Check the network and the store, then try again.`;
    return new SentvecError('io-failed', message, { file }, { cause: failure });
  };
  return waitToRetry(failure, failures, { first: 100, longest: 20_000, attempts, failed, signal });
}

/** Calls `work` until it succeeds, with delays after failures. @throws the errors of {@link waitForStore} */
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
  /** The file, for error messages. */
  readonly file: string;
  readonly attempts: number;
}

/**
 * Streams a byte range of one version. Every response must have the version of the first one and the requested range.
 *
 * @param get sends a GET request with these headers; its response may have the status 412 or 416
 * @throws SentvecError `io-failed` with `details.changed` when the file has another version or is shorter
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
    // Not for weak ETags and times, which never match in `If-Match`.
    const match = expected?.startsWith('"') ? { 'if-match': expected } : {};
    const range = isWhole ? {} : { range: `bytes=${position}-${end === undefined ? '' : end - 1}` };
    const answer = await get({ ...range, ...match });
    if (answer.status === 412 || answer.status === 416) {
      await discard(answer);
      // A range that begins at the end of the file is answered by 416.
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
      throw new PassingFailure('it sent another range than requested');
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
  const message = `The server does not report the size of ${file}, so an incomplete response could not be detected. Download it first.`;
  return new SentvecError('io-failed', message, { file });
}

/** The byte range of a response, according to its headers. */
function sentRange(
  { status, headers }: HttpAnswer,
  isWhole: boolean,
): { readonly start: number; readonly end: number } | undefined {
  if (isWhole && status === 200) return { start: 0, end: Number(headers.get('content-length')) };
  const range = /^bytes (\d+)-(\d+)\//u.exec(headers.get('content-range') ?? '');
  return status === 206 && range ? { start: Number(range[1]), end: Number(range[2]) + 1 } : undefined;
}

/** A response with the bytes from a position up to `end`. Without a response, the range is empty. */
interface OpenedRange {
  readonly answer?: HttpAnswer | undefined;
  readonly end: number;
}

/**
 * Streams a byte range from several responses: after a broken response, the next request continues at the last byte.
 * The failure count is reset whenever bytes arrive.
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
        if (position + block.byteLength > opened.end) throw new PassingFailure('it sent more bytes than requested');
        position += block.byteLength;
        failures = 0;
        yield block;
      }
      if (position === opened.end) return;
      throw new PassingFailure(`the response ended at byte ${position}, before byte ${opened.end}`);
    } catch (error) {
      failures += 1;
      await waitForStore(error, failures, options);
    } finally {
      if (answer) cancel(answer);
    }
  }
}

/** Total size of the file in bytes, according to the headers; `NaN` if they do not have it. */
export function totalBytesOf({ headers }: Pick<HttpAnswer, 'headers'>): number {
  const total = /\/(\d+)$/u.exec(headers.get('content-range') ?? '')?.[1] ?? headers.get('content-length');
  return total === null ? Number.NaN : Number(total);
}

/** Encodes a key for a URL path, as S3 signatures require. Slashes are not encoded. */
export function encodeKey(key: string): string {
  return key.split('/').map(encodeName).join('/');
}

/** Percent-encodes everything except letters, digits and `-._~`. */
function encodeName(name: string): string {
  return encodeURIComponent(name).replaceAll(
    /[!'()*]/gu,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
