/** Read-only storage of a web server, by range requests. */
import {
  checkCount,
  checkOptionNames,
  PassingFailure,
  retryAfter,
  SentvecError,
  throwIfAborted,
} from '@sentvec/platform';
import { checkRange, invalidKeyError, locationOf, missingError } from './errors.ts';
import {
  cancel,
  discard,
  encodeKey,
  followRedirects,
  readRange,
  totalBytesOf,
  withRetries,
  type HttpAnswer,
} from './http.ts';
import type { FileVersion, ReadOptions, Storage } from './storage.ts';

/** Options of {@link webStorage}. */
export interface WebStorageOptions {
  /** Maximum number of consecutive failures of a request. @default 10 */
  readonly attempts?: number | undefined;
}

/**
 * A storage of the files of a web server below a URL. The server must support range requests, and send an ETag or a
 * modification time. It cannot be listed.
 *
 * @throws SentvecError `invalid-argument` for invalid options
 */
export function webStorage(address: string, options: WebStorageOptions = {}): Storage {
  checkOptionNames('webStorage()', options, { attempts: true });
  const { attempts = 10 } = options;
  checkCount(attempts, 'attempts');
  const uri = address.replace(/\/$/u, '');
  const send: ServedFiles['send'] = (method, key, headers, signal) => {
    const url = `${uri}/${encodeKey(key)}`;
    const file = locationOf(uri, key);
    return withRetries({ file, attempts, signal }, async () => {
      const answer = await followRedirects({ method, url, headers, signal });
      const { status } = answer;
      if ((status >= 200 && status < 300) || status === 404 || status === 412 || status === 416) return answer;
      await discard(answer);
      if (status === 408 || status === 429 || status >= 500)
        throw new PassingFailure(`it returned ${status}`, retryAfter(answer.headers));
      const remedy = status === 401 || status === 403 ? ' Download it with a program that supports the login.' : '';
      throw new SentvecError('io-failed', `The server refuses ${file} (${status}).${remedy}`, { file, status });
    });
  };
  return servedStorage({
    uri,
    what: 'a web server',
    attempts,
    send,
    versionOf: webVersionOf,
    // oxlint-disable-next-line require-yield -- there is nothing to list
    async *list() {
      throw new SentvecError(
        'invalid-argument',
        `${uri} is a web server, whose files cannot be listed. Name each file instead of using a glob.`,
      );
    },
  });
}

/** The parts of a read-only storage that differ between servers. */
export interface ServedFiles extends Pick<Storage, 'list'> {
  readonly uri: string;
  /** Description of the store for messages, such as `a web server`. */
  readonly what: string;
  readonly attempts: number;
  /** Sends a request with retries. The response may also have the status 404, 412 or 416. */
  readonly send: (
    method: 'GET' | 'HEAD',
    key: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ) => Promise<HttpAnswer>;
  /** Version and size of the file in a response. The size is `NaN` if the response does not have it. */
  readonly versionOf: (answer: HttpAnswer, expected?: string) => FileVersion;
}

/** Creates a read-only storage. */
export function servedStorage({ uri, what, attempts, send, versionOf, list }: ServedFiles): Storage {
  const checkKey = (key: string): void => {
    if (key !== '' && !key.split('/').some((name) => name === '.' || name === '..')) return;
    throw invalidKeyError(locationOf(uri, key), 'it is empty or contains "." or ".."');
  };
  async function* stream(key: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    checkKey(key);
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
    yield* readRange(get, (answer) => versionOf(answer, options.version), { ...options, file, attempts });
  }
  const readOnly = async (): Promise<never> => {
    throw new SentvecError('invalid-argument', `${uri} is ${what}, which is read-only. Use a folder or s3://….`);
  };
  return {
    specificationVersion: 1,
    uri,
    stat: async (key, { signal } = {}) => {
      checkKey(key);
      throwIfAborted(signal);
      const answer = await send('HEAD', key, {}, signal);
      await discard(answer);
      if (answer.status === 404) return undefined;
      const version = versionOf(answer);
      if (Number.isSafeInteger(version.bytes)) return version;
      // A server that streams its responses reports the size only for a range request.
      const first = await send('GET', key, { range: 'bytes=0-0' }, signal);
      cancel(first);
      if (!/\/\d+$/u.test(first.headers.get('content-range') ?? '')) throw noRangesError(locationOf(uri, key));
      return versionOf(first);
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
    list,
  };
}

function webVersionOf(answer: Pick<HttpAnswer, 'headers'>): FileVersion {
  const { headers } = answer;
  const bytes = totalBytesOf(answer);
  return { bytes, version: headers.get('etag') ?? headers.get('last-modified') ?? `${bytes}` };
}

function noRangesError(file: string): SentvecError {
  const message = `The server of ${file} does not support range requests. Download the file, and use its path.`;
  return new SentvecError('io-failed', message, { file });
}
