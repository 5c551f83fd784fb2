/**
 * Requests over HTTP: raw bytes, no redirects followed, through the proxy of the environment, tried again while a
 * failure may pass.
 */
import type { Readable } from 'node:stream';
import { retryAfter, retryDelay, SentvecError, sleep, throwIfAborted } from '@sentvec/platform';
import type { Dispatcher } from 'undici';

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
    headersTimeout: longestSilence,
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

/** Reads an answer to its end, at most so many bytes of it. */
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

/** Reads an answer to its end and forgets it, so that its connection can be used again. */
export async function discard({ body }: HttpAnswer): Promise<void> {
  body.on('error', () => {});
  for await (const _ of body as AsyncIterable<Buffer>);
}

/** A failure that may be over when the request is made again. */
export class PassingFailure extends Error {
  /** Milliseconds that the server asks to wait. */
  readonly wait: number;

  constructor(message: string, headers?: Headers) {
    super(message);
    this.wait = headers ? retryAfter(headers) : 0;
  }
}

/** How failures that may pass are dealt with. */
export interface RetryOptions {
  /** The file, for messages. */
  readonly file: string;
  /** Failures in a row after which it is given up. */
  readonly attempts: number;
  readonly signal?: AbortSignal | undefined;
}

/** Milliseconds before the first repetition; doubled for each further one, up to the longest. */
const firstWait = 100;
const longestWait = 20_000;

/**
 * Waits before something is tried again; or throws, when its failure will not pass or there have been too many. All
 * failures pass but SentvecErrors: what a broken connection throws has no class of its own.
 * @param failures how many there have been in a row, this one included
 * @throws SentvecError `aborted`, `io-failed`, or the failure itself
 */
export async function waitToRetry(failure: unknown, failures: number, options: RetryOptions): Promise<void> {
  const { file, attempts, signal } = options;
  throwIfAborted(signal);
  if (SentvecError.is(failure)) throw failure;
  if (failures >= attempts) {
    const message = `${file}: the store failed ${failures} times in a row: ${describe(failure)}. Check the network and the store, then try again.`;
    throw new SentvecError('io-failed', message, { file }, { cause: failure });
  }
  const demanded = failure instanceof PassingFailure ? failure.wait : 0;
  await sleep(retryDelay(failures, { first: firstWait, longest: longestWait, demanded }), signal);
}

/** The message with those of its causes, which say what really happened. */
function describe(failure: unknown): string {
  if (!(failure instanceof Error)) return String(failure);
  const cause = failure.cause === undefined ? '' : ` (${describe(failure.cause)})`;
  return `${failure.message || failure.name}${cause}`;
}

/** Calls `work` until it succeeds, waiting between failures. @throws see {@link waitToRetry} */
export async function withRetries<T>(options: RetryOptions, work: (failures: number) => Promise<T>): Promise<T> {
  for (let failures = 0; ;) {
    throwIfAborted(options.signal);
    try {
      return await work(failures);
    } catch (error) {
      failures += 1;
      await waitToRetry(error, failures, options);
    }
  }
}

/** What the bytes from a position on come from, and behind which byte they end. No answer: there are none. */
export interface OpenedRange {
  readonly answer?: HttpAnswer | undefined;
  readonly end: number;
}

/**
 * The bytes of a range, from answers that may break anywhere: the next one goes on at the byte that was reached. Only
 * failures in a row without a further byte count.
 */
export async function* streamRange(
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
      await waitToRetry(error, failures, options);
    } finally {
      answer?.body.on('error', () => {});
      answer?.body.destroy();
    }
  }
}
