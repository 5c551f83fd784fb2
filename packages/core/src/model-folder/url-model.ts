// Model folders on a web server: finds out which files exist, and downloads them into memory.
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { folderNamesOfTasks } from '../embedder/text-role.ts';
import { selfCheckFile } from '../self-check/stored-self-check.ts';
import { SentvecError, throwIfAborted } from '../errors.ts';
import { isObject, maxJsonBytes, parseJson } from './json.ts';
import { checkFilePath, noSuchFile } from './model-files.ts';
import type { DownloadProgress } from '../hub/download.ts';
import type { ModelFiles } from '../types.ts';
import { filePath, lastSegment, type ModelModule } from './modules.ts';
import { isRouter } from './router-module.ts';
import { configNames } from './transformer-module.ts';

/** Options of {@link urlModel}. */
export interface UrlModelOptions {
  /**
   * Name of the model.
   * @default the URL of the folder
   */
  readonly name?: string | undefined;
  /** Version of the model. `cachedModel` uses it as a part of its cache key. */
  readonly revision?: string | undefined;
  /**
   * All files of the folder.
   * @default determined with a HEAD request for each file that a sentence-transformers model may have
   */
  readonly files?: readonly string[] | undefined;
  /** Called while a file is being downloaded. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Cancels all requests, including those of later reads. */
  readonly signal?: AbortSignal | undefined;
}

/** Files that the folder of an encoder, a tokenizer or another module may have. */
const folderFiles: readonly string[] = [
  selfCheckFile,
  ...configNames,
  'adapter_config.json',
  'adapter_model.safetensors',
  'added_tokens.json',
  'artifact.metadata',
  'chat_template.jinja',
  'config.json',
  'config_sentence_transformers.json',
  'idf.json',
  'model.onnx',
  'model.onnx.data',
  'model.onnx_data',
  'model.safetensors',
  'model.safetensors.index.json',
  'modules.json',
  'onnx/model.onnx',
  'onnx/model.onnx.data',
  'onnx/model.onnx_data',
  'onnx/model_int8.onnx',
  'onnx/model_int8.self-check.json',
  'router_config.json',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.txt',
];

const optionNames: OptionNames<UrlModelOptions> = {
  name: true,
  revision: true,
  files: true,
  onProgress: true,
  signal: true,
};

/**
 * A model folder on any static web server, read with `fetch` into memory: for browsers.
 * @param url URL of the folder; in a browser it may be relative to the page
 * @throws SentvecError `invalid-argument` when it is not a valid URL
 */
export function urlModel(url: string, options: UrlModelOptions = {}): ModelFiles {
  checkOptionNames('urlModel()', options, optionNames);
  const folder = folderAddress(url);
  const { name = url, revision, signal, onProgress } = options;
  let listing: Promise<readonly string[]> | undefined = options.files && Promise.resolve([...options.files].sort());
  const read = (path: string): Promise<Uint8Array> =>
    download(name, path, new URL(checkFilePath(path), folder), signal, onProgress);
  return {
    name,
    revision,
    list: () => {
      listing ??= findFiles(folder, read, signal).catch((error: unknown) => {
        listing = undefined;
        throw error;
      });
      return listing;
    },
    read,
  };
}

function folderAddress(url: string): URL {
  const { document, location } = globalThis as { document?: { baseURI: string }; location?: { href: string } };
  const page = document?.baseURI ?? location?.href;
  if (!URL.canParse(url, page))
    throw new SentvecError(
      'invalid-argument',
      `${JSON.stringify(url)} is not a valid URL. Pass the URL of a model folder.`,
    );
  const folder = new URL(url, page);
  if (!folder.pathname.endsWith('/')) folder.pathname += '/';
  return folder;
}

/**
 * Finds the files of a folder with HEAD requests for all names that are possible: in the folder itself, in the folders
 * of its modules and routes, shards of weights, and adapters for the tasks of query and document texts. Adapters for
 * other tasks can have any name, so they are found only if `files` lists them.
 */
async function findFiles(
  folder: URL,
  read: (path: string) => Promise<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const existing = async (paths: readonly string[]): Promise<string[]> => {
    const found = await Promise.all(
      paths.map(async (path) => ((await exists(new URL(path, folder), signal)) ? [path] : [])),
    );
    return found.flat();
  };
  const presentIn = (folders: readonly string[]): Promise<string[]> =>
    existing(folders.flatMap((path) => folderFiles.map((file) => `${path}/${file}`)));
  const adapters = folderNamesOfTasks.map((path) => `${path}/adapter_config.json`);
  const files = await existing([...folderFiles, ...adapters, 'README.md']);
  const weights = files
    .filter((path) => adapters.includes(path))
    .map((path) => path.replace('_config.json', '_model.safetensors'));
  files.push(...(await existing(weights)));
  const modules = files.includes('modules.json') ? modulesIn(await read('modules.json')) : [];
  files.push(...(await presentIn(modules.map(({ path }) => path).filter(isFilePath))));
  for (const { path } of modules.filter(isRouter)) {
    const config = ['router_config.json', 'config.json']
      .map((name) => filePath(path, name))
      .find((each) => files.includes(each));
    if (config !== undefined) files.push(...(await presentIn(routeFolders(path, config, await read(config)))));
  }
  const indices = files.filter((path) => path.endsWith('.safetensors.index.json'));
  const shards = await Promise.all(indices.map(async (path) => shardPaths(path, await read(path))));
  return [...new Set([...files, ...shards.flat()])].sort();
}

async function exists(url: URL, signal: AbortSignal | undefined): Promise<boolean> {
  const response = await request(url, { method: 'HEAD' }, signal);
  // 429 and 5xx do not mean that the file is absent. Treating it as absent could silently load a different model.
  if (response.status === 429 || response.status >= 500) throw statusError(url, response);
  return response.ok && !isPage(response);
}

/** Whether the response is an HTML page. Servers of single-page applications send one for every unknown path. */
function isPage(response: Response): boolean {
  return response.headers.get('content-type')?.startsWith('text/html') ?? false;
}

/** The modules in `modules.json`. Broken content is ignored here: reading the model reports it later. */
function modulesIn(bytes: Uint8Array): Pick<ModelModule, 'kind' | 'path'>[] {
  const entries = parseOrNull(bytes, 'modules.json');
  return (Array.isArray(entries) ? entries : []).flatMap((entry: unknown) => {
    const { type, path } = isObject(entry) ? entry : {};
    return typeof type === 'string' && typeof path === 'string' ? [{ kind: lastSegment(type), path }] : [];
  });
}

/** The folders of the modules of a Router's routes. */
function routeFolders(path: string, config: string, bytes: Uint8Array): string[] {
  const types = (parseOrNull(bytes, config) as { types?: unknown } | null)?.types;
  return isObject(types)
    ? Object.keys(types)
        .map((name) => filePath(path, name))
        .filter(isFilePath)
    : [];
}

function shardPaths(index: string, bytes: Uint8Array): string[] {
  const map = (parseOrNull(bytes, index) as { weight_map?: unknown } | null)?.weight_map;
  const folder = index.slice(0, index.lastIndexOf('/') + 1);
  const names = typeof map === 'object' && map !== null ? Object.values(map) : [];
  return names
    .filter((name): name is string => typeof name === 'string')
    .map((name) => folder + name)
    .filter(isFilePath);
}

function parseOrNull(bytes: Uint8Array, file: string): unknown {
  try {
    return parseJson(bytes, file);
  } catch {
    return null;
  }
}

function isFilePath(path: string): boolean {
  try {
    return checkFilePath(path) !== '';
  } catch {
    return false;
  }
}

async function download(
  model: string,
  path: string,
  url: URL,
  signal: AbortSignal | undefined,
  onProgress: ((progress: DownloadProgress) => void) | undefined,
): Promise<Uint8Array> {
  const response = await request(url, {}, signal);
  if (response.status === 404 || (response.ok && isPage(response))) throw noSuchFile(model, path);
  if (!response.ok || response.body === null) throw statusError(url, response);
  const announced = Number(response.headers.get('content-length') ?? 0);
  const pieces: Uint8Array[] = [];
  let loadedBytes = 0;
  try {
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      pieces.push(value);
      loadedBytes += value.length;
      // JSON files have a size limit, since a wrong server could send an endless response; weights have none.
      if (path.endsWith('.json') && loadedBytes > maxJsonBytes) {
        await reader.cancel();
        throw downloadError(url, `it has more than ${maxJsonBytes} bytes`);
      }
      onProgress?.({ file: path, loadedBytes, totalBytes: Math.max(announced, loadedBytes) });
    }
  } catch (error) {
    throwIfAborted(signal);
    throw SentvecError.is(error) ? error : downloadError(url, 'the connection ended early', error);
  }
  return join(pieces, loadedBytes);
}

function join(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const result = new Uint8Array(length);
  let offset = 0;
  for (const piece of pieces) {
    result.set(piece, offset);
    offset += piece.length;
  }
  return result;
}

async function request(url: URL, init: RequestInit, signal: AbortSignal | undefined): Promise<Response> {
  throwIfAborted(signal);
  try {
    return await fetch(url, signal === undefined ? init : { ...init, signal });
  } catch (error) {
    throwIfAborted(signal);
    throw downloadError(url, error instanceof Error ? error.message : String(error), error);
  }
}

function statusError(url: URL, { status }: Response): SentvecError {
  return downloadError(url, `the server responded with status ${status}`);
}

function downloadError(url: URL, reason: string, cause?: unknown): SentvecError {
  return new SentvecError(
    'download-failed',
    `${url.href} could not be read: ${reason}. Check the address and the network.`,
    { file: url.href },
    { cause },
  );
}
