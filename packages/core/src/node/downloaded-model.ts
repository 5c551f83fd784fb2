/** A model whose files are downloaded into a local folder when they are first read. */
import type { ModelFiles } from '../types.ts';
import { directoryModel, type DirectoryModelOptions } from './directory-model.ts';

/** Downloads the files of a model into its folder. */
export interface ModelDownload {
  /** The files that the model has, keyed by path. */
  readonly files: ReadonlyMap<string, unknown>;
  /** @throws SentvecError `invalid-model` when there is no such file */
  find(path: string): { readonly size: number; readonly sha256?: string | undefined };
  /** Downloads a file, unless the folder already has it. */
  file(path: string): Promise<void>;
}

/** Options of {@link downloadedModel}. */
export interface DownloadedModelOptions extends DirectoryModelOptions {
  readonly revision: string;
  readonly related: (name: string) => Promise<ModelFiles>;
}

/** A model in an existing folder, each of whose files is downloaded before it is read. */
export async function downloadedModel(
  download: ModelDownload,
  directory: string,
  { related, ...options }: DownloadedModelOptions,
): Promise<ModelFiles & { readonly revision: string; readonly directory: string }> {
  const local = await directoryModel(directory, options);
  return {
    ...local,
    revision: options.revision,
    list: async () => [...download.files.keys()],
    read: async (path) => {
      await download.file(path);
      return local.read(path);
    },
    related,
    openFile: async (path) => {
      await download.file(path);
      return local.openFile!(path);
    },
    size: async (path) => download.find(path).size,
    sha256: async (path) => {
      const known = download.find(path).sha256;
      if (known !== undefined) return known;
      await download.file(path);
      return local.sha256!(path);
    },
  };
}
