/** Files of a web server, by ranges. They can only be read. */
import { PassingFailure, retryAfter, SentvecError, throwIfAborted } from '@sentvec/platform';
import { checkRange, invalidKeyError, locationOf, missingError } from './errors.ts';
import { cancel, discard, encodeName, readRange, sendRequest, withRetries, type HttpAnswer } from './http.ts';
import type { FileVersion, ReadOptions, Storage } from './storage.ts';

/** Options of {@link webStorage}. */
export interface WebStorageOptions {
  /** Failures of a request in a row after which it is given up. @default 10 */
  readonly attempts?: number | undefined;
}

/** The most redirects of a request: more are a loop. */
const mostRedirects = 10;

/**
 * The files of a web server below an address. The server must answer ranges, and say by an ETag or a time when a file
 * has changed. It cannot be listed.
 */
export function webStorage(address: string, { attempts = 10 }: WebStorageOptions = {}): Storage {
  const uri = address.replace(/\/$/u, '');
  const urlOf = (key: string): string => {
    if (key === '' || key.split('/').some((name) => name === '.' || name === '..'))
      throw invalidKeyError(locationOf(uri, key), 'it is empty, or has a name "." or ".."');
    return `${uri}/${key.split('/').map(encodeName).join('/')}`;
  };
  const send = (
    method: 'GET' | 'HEAD',
    key: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<HttpAnswer> => {
    const url = urlOf(key);
    const file = locationOf(uri, key);
    return withRetries({ file, attempts, signal }, async () => {
      const answer = await followRedirects(method, url, headers, signal);
      const { status } = answer;
      if ((status >= 200 && status < 300) || status === 404 || status === 412 || status === 416) return answer;
      await discard(answer);
      if (status === 408 || status === 429 || status >= 500)
        throw new PassingFailure(`it answered ${status}`, retryAfter(answer.headers));
      const remedy = status === 401 || status === 403 ? ' Download it with a program that can log in.' : '';
      throw new SentvecError('io-failed', `The server does not give ${file} (${status}).${remedy}`, { file, status });
    });
  };
  async function* stream(key: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    const file = locationOf(uri, key);
    checkRange(file, options.start ?? 0, options.end);
    throwIfAborted(options.signal);
    const get = async (headers: Readonly<Record<string, string>>): Promise<HttpAnswer> => {
      const answer = await send('GET', key, headers, options.signal);
      if (answer.status === 404) {
        await discard(answer);
        throw missingError(file);
      }
      if (answer.status === 200 && headers['range'] !== undefined) {
        cancel(answer);
        throw noRangesError(file);
      }
      return answer;
    };
    yield* readRange(get, webVersionOf, { ...options, file, attempts });
  }
  const readOnly = async (): Promise<never> => {
    throw new SentvecError(
      'invalid-argument',
      `${uri} is a web server: sentvec only reads there. Name a folder or s3://….`,
    );
  };
  return {
    specificationVersion: 1,
    uri,
    stat: async (key, { signal } = {}) => {
      throwIfAborted(signal);
      const answer = await send('HEAD', key, {}, signal);
      await discard(answer);
      if (answer.status >= 300) return undefined;
      if (answer.headers.has('content-length')) return webVersionOf(answer);
      // A server that streams its answer says the size only in its answer to a range.
      const first = await send('GET', key, { range: 'bytes=0-0' }, signal);
      cancel(first);
      if (!/\/\d+$/u.test(first.headers.get('content-range') ?? '')) throw noRangesError(locationOf(uri, key));
      return webVersionOf(first);
    },
    read: async (key, options) => {
      const blocks: Uint8Array[] = [];
      for await (const block of stream(key, options)) blocks.push(block);
      return blocks.length === 1 ? blocks[0]! : Buffer.concat(blocks);
    },
    stream,
    write: readOnly,
    remove: readOnly,
    removeUnfinished: readOnly,
    // oxlint-disable-next-line require-yield -- there is nothing to list
    async *list() {
      throw new SentvecError(
        'invalid-argument',
        `${uri} is a web server, whose files cannot be listed. Name each file.`,
      );
    },
  };
}

function webVersionOf({ headers }: Pick<HttpAnswer, 'headers'>): FileVersion {
  const total = /\/(\d+)$/u.exec(headers.get('content-range') ?? '')?.[1] ?? headers.get('content-length');
  return { bytes: Number(total), version: headers.get('etag') ?? headers.get('last-modified') ?? `${total}` };
}

async function followRedirects(
  method: 'GET' | 'HEAD',
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal | undefined,
): Promise<HttpAnswer> {
  let at = url;
  for (let redirects = 0; redirects <= mostRedirects; redirects += 1) {
    const answer = await sendRequest({ method, url: at, headers, signal });
    const location = answer.headers.get('location');
    if (answer.status < 300 || answer.status > 399 || location === null) return answer;
    await discard(answer);
    const next = new URL(location, at);
    if (!/^https?:$/u.test(next.protocol) || (at.startsWith('https:') && next.protocol === 'http:'))
      throw new SentvecError('io-failed', `${url} leads to ${next.origin}, which is not encrypted.`, { file: url });
    at = next.href;
  }
  throw new SentvecError('io-failed', `${url} leads from one address to another more than ${mostRedirects} times.`, {
    file: url,
  });
}

function noRangesError(file: string): SentvecError {
  const message = `The server of ${file} does not answer ranges of bytes. Download the file, then name its path.`;
  return new SentvecError('io-failed', message, { file });
}
