/** Read-only storage of a data set on the Hugging Face hub. */
import {
  checkHubEndpoint,
  checkCount,
  checkOptionNames,
  PassingFailure,
  retryAfter,
  SentvecError,
  type OptionNames,
} from '@sentvec/platform';
import { readHubEnvironment, type Environment } from '@sentvec/platform/node';
import { locationOf } from './errors.ts';
import { discard, encodeKey, followRedirects, readText, totalBytesOf, withRetries, type HttpAnswer } from './http.ts';
import type { FileVersion, ListedFile, Storage, StorageOptions } from './storage.ts';
import { servedStorage } from './web-storage.ts';

/** Options of {@link hubStorage}. */
export interface HubStorageOptions {
  /**
   * A branch, tag or commit; also `refs/convert/parquet`, and `refs/pr/N`.
   * @default 'main'
   */
  readonly revision?: string | undefined;
  /**
   * Prefix of all keys.
   * @default '', the root of the repository
   */
  readonly folder?: string | undefined;
  /**
   * Environment variables: `HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE` and the other variables of the hub.
   * @default the environment of this process
   */
  readonly environment?: Environment | undefined;
  /**
   * Maximum number of consecutive failures of a request. Delays between attempts grow up to 20 seconds.
   * @default 10
   */
  readonly attempts?: number | undefined;
}

const optionNames: OptionNames<HubStorageOptions> = { revision: true, folder: true, environment: true, attempts: true };

/** A file in a data set at a revision. */
export interface DatasetAddress {
  /** `owner/name`. */
  readonly name: string;
  readonly revision: string;
  readonly key: string;
}

const defaultRevision = 'main';

/** Parses `hf://datasets/OWNER/NAME[@REVISION]/PATH`. `undefined` for any other text. */
export function parseDatasetAddress(address: string): DatasetAddress | undefined {
  const pattern = /^hf:\/\/datasets\/(\w[\w.-]*\/\w[\w.-]*)(?:@(refs\/(?:convert|pr)\/[\w.-]+|[^/@]+))?(?:\/(.*))?$/isu;
  const [, name, revision = defaultRevision, key = ''] = pattern.exec(address) ?? [];
  return name === undefined ? undefined : { name, revision: revision.replaceAll(/%2f/giu, '/'), key };
}

/** The URI of a data set or of a file in it. */
export function datasetAddress({ name, revision, key }: DatasetAddress): string {
  const text = revision.startsWith('refs/') ? revision : revision.replaceAll('/', '%2F');
  return locationOf(`hf://datasets/${name}${revision === defaultRevision ? '' : `@${text}`}`, key);
}

/**
 * A storage of the files of a data set on the Hugging Face hub. Versions are the hub's content hashes. To read a
 * consistent state of the data set, use a commit as revision, because a branch may change between two calls.
 *
 * @param name `owner/name`
 */
export function hubStorage(name: string, options: HubStorageOptions = {}): Storage {
  checkOptionNames('hubStorage()', options, optionNames);
  const dataset = new HubDataset(name, options);
  return servedStorage({
    uri: dataset.uri,
    what: 'a data set on the hub',
    attempts: dataset.attempts,
    send: (method, key, headers, signal) => dataset.askForFile(method, key, headers, signal),
    versionOf: (answer, expected) => dataset.versionOf(answer, expected),
    list: (prefix, { signal } = {}) => dataset.list(prefix, signal),
  });
}

/** Resolves a revision of a data set to its current commit. @throws SentvecError `io-failed`; `aborted` */
export async function findCommit(name: string, options: HubStorageOptions & StorageOptions = {}): Promise<string> {
  return new HubDataset(name, options).findCommit(options.signal);
}

/** Whether a revision is a full commit id, whose files never change. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/u.test(revision);
}

/** Maximum number of pages of a list. A page has 1,000 files. */
const mostPages = 10_000;

/** Maximum bytes of a page of a list. */
const longestPage = 1 << 24;

/** Matches content hashes of the hub: git's SHA-1, or the SHA-256 of a large file. */
const contentHash = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/u;

class HubDataset {
  readonly uri: string;
  readonly attempts: number;
  readonly #name: string;
  readonly #revision: string;
  readonly #prefix: string;
  readonly #environment: Environment;

  constructor(
    name: string,
    { revision = defaultRevision, folder = '', environment = process.env, attempts = 10 }: HubStorageOptions,
  ) {
    this.#name = name;
    this.#revision = revision;
    this.#environment = environment;
    checkCount(attempts, 'attempts');
    this.attempts = attempts;
    const key = folder.replace(/\/$/u, '');
    this.#prefix = key === '' ? '' : `${key}/`;
    this.uri = datasetAddress({ name, revision, key });
  }

  async askForFile(
    method: 'GET' | 'HEAD',
    key: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<HttpAnswer> {
    const path = `/datasets/${this.#name}/resolve/${encodeURIComponent(this.#revision)}/${encodeKey(this.#prefix + key)}`;
    return this.#ask({ method, url: path, file: locationOf(this.uri, key), headers, signal });
  }

  /**
   * The version of a response. The hash of a large file is in the headers of the redirect to its storage. At a commit
   * the content of a path cannot change, so other kinds of ETags, which mirrors send, are ignored there.
   */
  versionOf(answer: HttpAnswer, expected?: string): FileVersion {
    const { headers } = answer;
    const tag = (headers.get('x-linked-etag') ?? headers.get('etag') ?? '').replace(/^W\//u, '').replaceAll('"', '');
    const linked = headers.get('x-linked-size');
    const bytes = linked === null ? totalBytesOf(answer) : Number(linked);
    const isForeign = isCommit(this.#revision) && !contentHash.test(tag);
    return { bytes, version: (isForeign ? expected : undefined) ?? tag };
  }

  async findCommit(signal: AbortSignal | undefined): Promise<string> {
    if (isCommit(this.#revision)) return this.#revision;
    const { json } = await this.#askForJson(this.#apiPath(`revision/${encodeURIComponent(this.#revision)}`), signal);
    const { sha } = (json ?? {}) as { readonly sha?: unknown };
    if (typeof sha === 'string' && isCommit(sha)) return sha;
    throw this.#notFromAHubError(`has the commit ${JSON.stringify(sha)}`);
  }

  /** Lists files. The hub guarantees no order, so all files of the folder are collected and sorted. */
  async *list(prefix: string, signal: AbortSignal | undefined): AsyncGenerator<ListedFile> {
    const start = this.#prefix + prefix;
    const folder = start.slice(0, Math.max(0, start.lastIndexOf('/')));
    if (folder !== '' && folder.split('/').some((name) => name === '' || name === '.' || name === '..')) return;
    const commit = await this.findCommit(signal);
    const below = folder === '' ? '' : `/${encodeKey(folder)}`;
    const found: (ListedFile & { readonly order: Buffer })[] = [];
    let url: string | undefined = this.#apiPath(`tree/${commit}${below}?recursive=true`);
    for (let pages = 1; url !== undefined; pages += 1) {
      if (pages > mostPages) throw this.#notFromAHubError(`lists files on more than ${mostPages} pages`);
      const page = await this.#askForJson(url, signal, folder !== '');
      if (page.json === undefined) return;
      if (!Array.isArray(page.json)) throw this.#notFromAHubError('is not a list of files');
      for (const entry of page.json as readonly ListedEntry[]) {
        const file = this.#toListedFile(entry);
        if (file?.key.startsWith(start)) found.push({ ...file, order: Buffer.from(file.key) });
      }
      url = page.next;
    }
    found.sort((one, other) => one.order.compare(other.order));
    for (const { order: _, key, ...version } of found) yield { key: key.slice(this.#prefix.length), ...version };
  }

  #toListedFile({ type, path, size, oid, lfs }: ListedEntry): ListedFile | undefined {
    if (type !== 'file' || typeof path !== 'string') return undefined;
    const bytes = Number(lfs?.size ?? size);
    const version = lfs?.oid ?? oid;
    if (Number.isSafeInteger(bytes) && bytes >= 0 && typeof version === 'string') return { key: path, bytes, version };
    throw this.#notFromAHubError(`has neither size nor hash of ${path}`);
  }

  #apiPath(path: string): string {
    return `/api/datasets/${this.#name}/${path}`;
  }

  /** Requests JSON. @returns no `json` for a missing folder, if that is allowed */
  async #askForJson(
    url: string,
    signal: AbortSignal | undefined,
    mayBeMissing = false,
  ): Promise<{ readonly json: unknown; readonly next?: string | undefined }> {
    const request = { method: 'GET', url, file: this.uri, headers: { accept: 'application/json' }, signal } as const;
    const { status, headers, text } = await this.#ask({ ...request, readsText: true });
    if (status === 404 && mayBeMissing) return { json: undefined };
    if (status !== 200) throw this.#notFromAHubError(`is ${status}`);
    const next = /<([^>]+)>;\s*rel="next"/u.exec(headers.get('link') ?? '')?.[1];
    try {
      return { json: JSON.parse(text) as unknown, next };
    } catch {
      throw this.#notFromAHubError('is not JSON');
    }
  }

  /** Sends a request with retries. @param request its URL may be a path on the hub */
  async #ask(request: {
    readonly method: 'GET' | 'HEAD';
    readonly url: string;
    readonly file: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly signal: AbortSignal | undefined;
    readonly readsText?: boolean | undefined;
  }): Promise<HttpAnswer & { readonly text: string }> {
    const { method, file, headers, signal } = request;
    return withRetries({ file, attempts: this.attempts, signal }, async () => {
      const { endpoint, token, offline } = await readHubEnvironment(this.#environment);
      if (offline) throw offlineError(file);
      const hub = checkHubEndpoint(endpoint);
      const url = new URL(request.url.startsWith('/') ? hub + request.url : request.url).href;
      const isHub = new URL(url).origin === new URL(hub).origin;
      const all = token !== undefined && isHub ? { ...headers, authorization: `Bearer ${token}` } : headers;
      const isLinked = (from: Headers): boolean => method === 'HEAD' && from.has('x-linked-size');
      const answer = await followRedirects({ method, url, headers: all, signal }, isLinked);
      const { status } = answer;
      const isWanted = status < 300 || isLinked(answer.headers) || status === 412 || status === 416;
      if (isWanted || isMissingFile(answer)) {
        const text = request.readsText ? await readText(answer, longestPage) : '';
        return { status, headers: withLinked(answer.headers, answer.redirects), body: answer.body, text };
      }
      await discard(answer);
      const said = `${status}${errorOf(answer.headers)}`;
      // The signed URL of the storage server has expired. The next request to the hub returns a new one.
      const isExpired = status === 403 && new URL(answer.url).origin !== new URL(url).origin;
      if (isExpired || status === 408 || status === 425 || status === 429 || status >= 500)
        throw new PassingFailure(`it returned ${said}`, retryAfter(answer.headers));
      throw this.#refusedError(hub, answer, said, token !== undefined);
    });
  }

  #refusedError(hub: string, { status, headers }: HttpAnswer, said: string, hasToken: boolean): SentvecError {
    const details = { file: this.uri, status };
    if (headers.get('x-error-code') === 'RevisionNotFound')
      return new SentvecError(
        'io-failed',
        `The data set ${this.#name} has no revision ${this.#revision} (${said}). Check the name of the branch, tag or commit.`,
        details,
      );
    if (status === 404 || status === 410)
      return new SentvecError(
        'io-failed',
        `There is no data set ${this.#name} on ${hub} (${said}). Check the name.`,
        details,
      );
    if (status !== 401 && status !== 403)
      return new SentvecError('io-failed', `The hub refuses ${this.uri} (${said}).`, details);
    const page = `${hub}/datasets/${this.#name}`;
    const remedy = hasToken
      ? `Accept its terms on ${page} if it is gated, or set HF_TOKEN to a token with read access.`
      : `Check the name. If it is private or gated, accept its terms on ${page} and set HF_TOKEN to a token from ${hub}/settings/tokens.`;
    return new SentvecError(
      'io-failed',
      `The hub denies access to the data set ${this.#name} (${said}). ${remedy}`,
      details,
    );
  }

  #notFromAHubError(problem: string): SentvecError {
    const message = `The server of HF_ENDPOINT is not a hub: its response for ${this.uri} ${problem}. Check HF_ENDPOINT and the proxy, if there is one.`;
    return new SentvecError('io-failed', message, { file: this.uri });
  }
}

/** An entry in the hub's list of files, before validation. */
interface ListedEntry {
  readonly type?: unknown;
  readonly path?: unknown;
  readonly size?: unknown;
  readonly oid?: unknown;
  readonly lfs?: { readonly oid?: unknown; readonly size?: unknown } | undefined;
}

/** Whether a response means that the file is missing. A missing data set or revision is another error. */
function isMissingFile({ status, headers }: HttpAnswer): boolean {
  const code = headers.get('x-error-code');
  return status === 404 && code !== 'RepoNotFound' && code !== 'RevisionNotFound';
}

/** The headers of a response, with the file headers of the hub's redirect. */
function withLinked(headers: Headers, redirects: readonly Headers[]): Headers {
  const all = new Headers(headers);
  for (const each of redirects) {
    for (const name of ['x-linked-etag', 'x-linked-size']) {
      const value = each.get(name);
      if (value !== null) all.set(name, value);
    }
  }
  return all;
}

function errorOf(headers: Headers): string {
  const message = headers.get('x-error-message')?.slice(0, 300);
  return message ? `: ${message.replace(/[.\s]+$/u, '')}` : '';
}

function offlineError(file: string): SentvecError {
  const message = `HF_HUB_OFFLINE is set, so ${file} cannot be read. Unset it, or download the file and use its path.`;
  return new SentvecError('io-failed', message, { file });
}
