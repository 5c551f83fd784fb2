// Downloads the files of one commit into the hub's cache, several at once and each only once.
import { SentvecError } from '../../errors.ts';
import type { HubClient } from '../../hub/client.ts';
import type { DownloadProgress } from '../../hub/download.ts';
import type { HubFile } from '../../hub/repository.ts';
import { checkFilePath, noSuchFile } from '../../model-folder/model-files.ts';
import type { ModelDownload } from '../downloaded-model.ts';
import { downloadBlob } from './blob.ts';
import { guardCache, type HubCache } from './cache.ts';

/** Number of files that are downloaded at once. */
const concurrency = 4;

/** Downloads the files of one commit. */
export class VersionDownload implements ModelDownload {
  readonly cache: HubCache;
  readonly commit: string;
  readonly files: ReadonlyMap<string, HubFile>;
  readonly #client: HubClient;
  readonly #offline: boolean;
  readonly #onProgress: ((progress: DownloadProgress) => void) | undefined;
  readonly #running = new Map<string, Promise<void>>();

  constructor(
    client: HubClient,
    cache: HubCache,
    commit: string,
    files: readonly HubFile[],
    offline: boolean,
    onProgress: ((progress: DownloadProgress) => void) | undefined,
  ) {
    this.#client = client;
    this.cache = cache;
    this.commit = commit;
    this.files = new Map(files.map((file) => [file.path, file]));
    this.#offline = offline;
    this.#onProgress = onProgress;
  }

  /** Downloads all of the given files; after a failure no further download starts. */
  async all(files: readonly HubFile[]): Promise<void> {
    const waiting = [...files];
    let failed = false;
    const work = async (): Promise<void> => {
      for (let file = waiting.shift(); file !== undefined && !failed; file = waiting.shift()) {
        try {
          await this.file(file.path);
        } catch (error) {
          failed = true;
          throw error;
        }
      }
    };
    const results = await Promise.allSettled(Array.from({ length: concurrency }, work));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** Downloads one file, unless it is in the cache. */
  async file(path: string): Promise<void> {
    const file = this.find(path);
    if (await this.cache.has(this.commit, path)) return;
    let running = this.#running.get(path);
    if (running === undefined) {
      running = this.#download(file).finally(() => this.#running.delete(path));
      this.#running.set(path, running);
    }
    await running;
  }

  find(path: string): HubFile {
    const file = this.files.get(checkFilePath(path));
    if (file === undefined) throw noSuchFile(this.#client.model, path);
    return file;
  }

  async #download(file: HubFile): Promise<void> {
    const { path } = file;
    const { model } = this.#client;
    if (this.#offline) {
      const message = `${path} of the model ${model} is not in the cache ${this.cache.directory}, and downloads are turned off (by the option offline or HF_HUB_OFFLINE). Load the model once with a network.`;
      throw new SentvecError('download-failed', message, { file: path });
    }
    await guardCache(this.cache.directory, async () => {
      const blob = this.cache.blob(file, this.commit);
      await this.cache.makeFolders(this.commit, path);
      await downloadBlob(this.#client, this.commit, file, blob, this.#onProgress);
      await this.cache.link(this.commit, path, blob);
    });
  }
}
