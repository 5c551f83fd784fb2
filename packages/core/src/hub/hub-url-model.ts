// Models from the Hugging Face hub in a browser: lists the files of a commit, reads them into memory, checks their
// hashes.
import {
  checkCount,
  checkHubEndpoint,
  checkOptionNames,
  huggingFaceEndpoint,
  sha256,
  type OptionNames,
} from '@sentvec/platform';
import { checkFilePath, noSuchFile } from '../model-folder/model-files.ts';
import type { ModelFiles } from '../types.ts';
import { HubClient } from './client.ts';
import { downloadFile, wrongHash, type DownloadProgress, type DownloadTarget } from './download.ts';
import { listingByFetch } from './listing.ts';
import { checkRepositoryName, checkRevision, defaultRevision, isCommit, type HubFile } from './repository.ts';

/** Options of {@link hubUrlModel}. */
export interface HubUrlModelOptions {
  /**
   * A branch, tag or commit.
   * @default 'main'
   */
  readonly revision?: string | undefined;
  /**
   * Address of a hub.
   * @default 'https://huggingface.co'
   */
  readonly endpoint?: string | undefined;
  /** An access token, for private or gated models. It is sent only to the hub, not to servers that it redirects to. */
  readonly token?: string | undefined;
  /**
   * How often a failed request is retried, with exponential backoff.
   * @default 4
   */
  readonly retries?: number | undefined;
  /** Called while a file is being downloaded. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Cancels all requests, including those of later reads. */
  readonly signal?: AbortSignal | undefined;
}

const optionNames: OptionNames<HubUrlModelOptions> = {
  revision: true,
  endpoint: true,
  token: true,
  retries: true,
  onProgress: true,
  signal: true,
};

/**
 * A model from the Hugging Face hub, read with `fetch` into memory: for browsers. In Node, use `hubModel` of
 * `@sentvec/core/node`, which stores what it downloads. A branch or tag is resolved to a commit at once. With a full
 * commit id, nothing is requested until the first file is read, so that {@link cachedModel} needs no network on the
 * second visit. Files are downloaded when they are read, and checked against the hub's hashes.
 * @param name `organization/name`
 * @throws SentvecError `invalid-argument`, `model-not-found`, `model-access-denied`, `download-failed`, `aborted`
 */
export async function hubUrlModel(
  name: string,
  options: HubUrlModelOptions = {},
): Promise<ModelFiles & { readonly revision: string }> {
  checkOptionNames('hubUrlModel()', options, optionNames);
  const { revision = defaultRevision, token, retries = 4, signal, onProgress } = options;
  checkRepositoryName(name);
  checkRevision(revision);
  checkCount(retries, 'retries', 0);
  const client = new HubClient(name, {
    endpoint: checkHubEndpoint(options.endpoint ?? huggingFaceEndpoint),
    token,
    retries,
    signal,
  });
  const commit = isCommit(revision) ? revision : await listingByFetch.commitOf(client, revision);
  let listing: Promise<ReadonlyMap<string, HubFile>> | undefined;
  const files = (): Promise<ReadonlyMap<string, HubFile>> => {
    listing ??= readListing(client, commit).catch((error: unknown) => {
      listing = undefined;
      throw error;
    });
    return listing;
  };
  const find = async (path: string): Promise<HubFile> => {
    const file = (await files()).get(checkFilePath(path));
    if (file === undefined) throw noSuchFile(name, path);
    return file;
  };
  return {
    name,
    revision: commit,
    list: async () => [...(await files()).keys()],
    size: async (path) => (await find(path)).size,
    read: async (path) => readChecked(client, commit, await find(path), onProgress),
    related: (other) => hubUrlModel(other, { ...options, revision: undefined }),
  };
}

async function readListing(client: HubClient, commit: string): Promise<ReadonlyMap<string, HubFile>> {
  return new Map((await listingByFetch.files(client, commit)).map((file) => [file.path, file]));
}

async function readChecked(
  client: HubClient,
  commit: string,
  file: HubFile,
  onProgress: ((progress: DownloadProgress) => void) | undefined,
): Promise<Uint8Array> {
  const target = new MemoryTarget(file.size);
  const expected = await downloadFile(client, commit, file, target, onProgress);
  const check = (wanted: string | undefined, actual: string): void => {
    if (wanted !== undefined && wanted !== actual) throw wrongHash(client.model, file.path, wanted, actual);
  };
  if (expected.gitId !== undefined) check(expected.gitId, await gitIdOf(target.bytes));
  if (expected.sha256.length > 0) {
    const actual = await sha256(target.bytes);
    for (const wanted of expected.sha256) check(wanted, actual);
  }
  return target.bytes;
}

/** Git's blob id of a file with this content. */
async function gitIdOf(content: Uint8Array): Promise<string> {
  const header = new TextEncoder().encode(`blob ${content.length}\0`);
  const blob = new Uint8Array(header.length + content.length);
  blob.set(header);
  blob.set(content, header.length);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-1', blob));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A buffer that grows with the received bytes. It does not allocate the announced size at once, which may be wrong. */
class MemoryTarget implements DownloadTarget {
  #buffer: Uint8Array;
  received = 0;

  constructor(size: number) {
    this.#buffer = new Uint8Array(Math.min(size, 2 ** 20));
  }

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.received);
  }

  async append(bytes: Uint8Array): Promise<void> {
    if (this.received + bytes.length > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(2 * this.#buffer.length, this.received + bytes.length));
      larger.set(this.bytes);
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.received);
    this.received += bytes.length;
  }

  async clear(): Promise<void> {
    this.received = 0;
  }
}
