/**
 * Model folders in object storage (`s3://bucket/model`): their files are copied into sentvec's cache when they are
 * first read.
 */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { makeFolder, withFileLock } from '@sentvec/platform/node';
import { folderStorage, openStorage, type ListedFile, type Storage } from '@sentvec/storage';
import { SentvecError } from '../errors.ts';
import type { DownloadProgress } from '../hub/download.ts';
import { rolesOf } from '../hub/repository.ts';
import { checkFilePath, noSuchFile } from '../model-folder/model-files.ts';
import type { ModelFiles } from '../types.ts';
import { cacheDirectory } from './cache-directory.ts';
import { downloadedModel, type ModelDownload } from './downloaded-model.ts';

/** Options of {@link storedModel}. */
export interface StoredModelOptions {
  /** Called while a file is being downloaded, also during later reads. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Cancels all requests, including those of later reads. */
  readonly signal?: AbortSignal | undefined;
}

/** A folder with more files than this is not a model folder. */
const maxFiles = 10_000;

/** Every model folder contains at least one of these files. */
const entryFiles = ['config.json', 'modules.json', 'adapter_config.json'];

/**
 * A model folder in object storage. The versions of its files are recorded at once: reading a file that changed later
 * is an error. Small files are copied into the cache (`SENTVEC_CACHE`) at once, weights when they are first read. If
 * the versions are the same as in an earlier run, nothing is copied again.
 *
 * @param related finds the base model that a card or an adapter names
 * @throws SentvecError `model-not-found`, `io-failed`, `aborted`
 */
export async function storedModel(
  address: string,
  { signal, onProgress }: StoredModelOptions,
  related: (name: string) => Promise<ModelFiles>,
): Promise<ModelFiles & { readonly directory: string }> {
  const storage = openStorage(address);
  const all = new Map<string, ListedFile>();
  for await (const file of storage.list('', { signal })) {
    if (all.size === maxFiles) throw notModelError(address, `it contains more than ${maxFiles} files`);
    all.set(file.key, file);
  }
  if (!entryFiles.some((path) => all.has(path)))
    throw notModelError(address, all.size === 0 ? 'it contains no files' : 'it has no config.json');
  const roles = rolesOf([...all.keys()]);
  const files = [...roles.keys()].sort().map((path) => all.get(checkFilePath(path))!);
  const revision = hash(JSON.stringify(files.map(({ key, bytes, version }) => [key, bytes, version])));
  const directory = join(cacheDirectory(), 'models', hash(storage.uri).slice(0, 16), revision.slice(0, 16));
  await makeFolder(directory);
  const download = new StoredDownload(address, storage, files, directory, { signal, onProgress });
  const parts = files.filter(({ key }) => roles.get(key) === 'part');
  await Promise.all(parts.map(({ key }) => download.file(key)));
  return downloadedModel(download, directory, { name: address, revision, related });
}

function notModelError(address: string, problem: string): SentvecError {
  const remedy = 'Pass the address of the folder that contains config.json or modules.json.';
  return new SentvecError('model-not-found', `${address} is not a model folder: ${problem}. ${remedy}`, {
    file: address,
  });
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Copies files of one version of a folder, each only once. */
class StoredDownload implements ModelDownload {
  readonly files: ReadonlyMap<string, { readonly size: number; readonly version: string }>;
  readonly #address: string;
  readonly #storage: Storage;
  readonly #cache: Storage;
  readonly #directory: string;
  readonly #options: StoredModelOptions;
  readonly #running = new Map<string, Promise<void>>();

  constructor(
    address: string,
    storage: Storage,
    files: readonly ListedFile[],
    directory: string,
    options: StoredModelOptions,
  ) {
    this.#address = address;
    this.#storage = storage;
    this.#cache = folderStorage(directory);
    this.#directory = directory;
    this.#options = options;
    this.files = new Map(files.map(({ key, bytes, version }) => [key, { size: bytes, version }]));
  }

  find(path: string): { readonly size: number; readonly version: string } {
    const file = this.files.get(checkFilePath(path));
    if (file === undefined) throw noSuchFile(this.#address, path);
    return file;
  }

  async file(path: string): Promise<void> {
    this.find(path);
    const running = this.#running.get(path) ?? this.#copy(path).finally(() => this.#running.delete(path));
    this.#running.set(path, running);
    await running;
  }

  async #copy(path: string): Promise<void> {
    if (await this.#cache.stat(path)) return;
    const { signal } = this.#options;
    const target = join(this.#directory, ...path.split('/'));
    await makeFolder(dirname(target));
    const copy = async (): Promise<void> => {
      if ((await this.#cache.stat(path)) === undefined) await this.#cache.write(path, this.#blocks(path), { signal });
    };
    // If several processes start at the same time, only one of them copies a file.
    await withFileLock(`${target}.lock`, copy, signal);
  }

  async *#blocks(path: string): AsyncGenerator<Uint8Array> {
    const { size: totalBytes, version } = this.find(path);
    const { signal, onProgress } = this.#options;
    let loadedBytes = 0;
    onProgress?.({ file: path, loadedBytes, totalBytes });
    for await (const block of this.#storage.stream(path, { end: totalBytes, version, signal })) {
      loadedBytes += block.byteLength;
      onProgress?.({ file: path, loadedBytes, totalBytes });
      yield block;
    }
  }
}
