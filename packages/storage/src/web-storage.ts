/** Files of a web server, by ranges. They can only be read. */
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
  /** Failures of a request in a row after which it is given up. @default 10 */
  readonly attempts?: number | undefined;
}

/**
 * The files of a web server below an address. The server must answer ranges, and say by an ETag or a time when a file
 * has changed. It cannot be listed.
 *
 * @throws SentvecError `invalid-argument` for options that cannot be used
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
        throw new PassingFailure(`it answered ${status}`, retryAfter(answer.headers));
      const remedy = status === 401 || status === 403 ? ' Download it with a program that can log in.' : '';
      throw new SentvecError('io-failed', `The server does not give ${file} (${status}).${remedy}`, { file, status });
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
        `${uri} is a web server, whose files cannot be listed. Name each file.`,
      );
    },
  });
}

/** Files that a server answers requests for, and that cannot be written. */
export interface ServedFiles extends Pick<Storage, 'list'> {
  readonly uri: string;
  /** What the store is, for messages: `a web server`. */
  readonly what: string;
  readonly attempts: number;
  /** Sends a request until it succeeds. Its answer may also be 404, 412 or 416. */
  readonly send: (
    method: 'GET' | 'HEAD',
    key: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ) => Promise<HttpAnswer>;
  /** Version and size of the file of an answer; the size is `NaN` where the answer does not say it. */
  readonly versionOf: (answer: HttpAnswer, expected?: string) => FileVersion;
}

/** A store of files that can only be read. */
export function servedStorage({ uri, what, attempts, send, versionOf, list }: ServedFiles): Storage {
  const checkKey = (key: string): void => {
    if (key !== '' && !key.split('/').some((name) => name === '.' || name === '..')) return;
    throw invalidKeyError(locationOf(uri, key), 'it is empty, or has a name "." or ".."');
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
    throw new SentvecError('invalid-argument', `${uri} is ${what}: sentvec only reads there. Name a folder or s3://….`);
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
      // A server that streams its answer says the size only in its answer to a range.
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
  const message = `The server of ${file} does not answer ranges of bytes. Download the file, then name its path.`;
  return new SentvecError('io-failed', message, { file });
}
