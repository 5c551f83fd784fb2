// Model folders on a web server: finds out which files are there, and downloads them into memory.
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import { folderNamesOfTasks } from '../embedder/text-role.ts';
import { selfCheckFile } from '../self-check/stored-self-check.ts';
import { SentvecError, throwIfAborted } from '../errors.ts';
import { isObject, largestJson, parseJson } from './json.ts';
import { checkFilePath, noSuchFile } from './model-files.ts';
import type { DownloadProgress } from '../hub/download.ts';
import type { ModelFiles } from '../types.ts';
import { filePath, lastSegment, type ModelModule } from './modules.ts';
import { isRouter } from './router-module.ts';
import { configNames } from './transformer-module.ts';

/** Options of {@link urlModel}. */
export interface UrlModelOptions {
  /**
   * How to name the model.
   * @default its address
   */
  readonly name?: string | undefined;
  /** Its version, where the server keeps several: part of the key under which `cachedModel` keeps it. */
  readonly revision?: string | undefined;
  /**
   * All files of the folder.
   * @default the server is asked for each file that a model of sentence-transformers may have
   */
  readonly files?: readonly string[] | undefined;
  /** Called while a file is on its way. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Ends all requests, also those of later reads. */
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
 * A model folder on a web server, read by plain requests into memory: for browsers, from any server of static files.
 * @param url address of the folder; relative to the page, where there is one
 * @throws SentvecError `invalid-argument` when it is not an address
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
    throw new SentvecError('invalid-argument', `${JSON.stringify(url)} is not an address of a model folder.`);
  const folder = new URL(url, page);
  if (!folder.pathname.endsWith('/')) folder.pathname += '/';
  return folder;
}

/**
 * Asks for what may be there: in the folder, in the folders of its modules and of their routes, for the shards of its
 * weights, and for the adapters that the role of a text chooses. Adapters for other tasks have any names: without
 * `files`, asking for one is an error.
 */
async function findFiles(
  folder: URL,
  read: (path: string) => Promise<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const present = async (paths: readonly string[]): Promise<string[]> => {
    const found = await Promise.all(
      paths.map(async (path) => ((await exists(new URL(path, folder), signal)) ? [path] : [])),
    );
    return found.flat();
  };
  const presentIn = (folders: readonly string[]): Promise<string[]> =>
    present(folders.flatMap((path) => folderFiles.map((file) => `${path}/${file}`)));
  const adapters = folderNamesOfTasks.map((path) => `${path}/adapter_config.json`);
  const files = await present([...folderFiles, ...adapters, 'README.md']);
  const weights = files
    .filter((path) => adapters.includes(path))
    .map((path) => path.replace('_config.json', '_model.safetensors'));
  files.push(...(await present(weights)));
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
  // 429 and 5xx do not mean that the file is absent. Taken so, another model would be loaded silently.
  if (response.status === 429 || response.status >= 500) throw unanswered(url, response);
  return response.ok && !isPage(response);
}

/** Servers of applications answer with their page for whatever they do not have. */
function isPage(response: Response): boolean {
  return response.headers.get('content-type')?.startsWith('text/html') ?? false;
}

/** What cannot be read is left to those who read the file for its contents: they say what is wrong. */
function modulesIn(bytes: Uint8Array): Pick<ModelModule, 'kind' | 'path'>[] {
  const entries = parseOrNothing(bytes, 'modules.json');
  return (Array.isArray(entries) ? entries : []).flatMap((entry: unknown) => {
    const { type, path } = isObject(entry) ? entry : {};
    return typeof type === 'string' && typeof path === 'string' ? [{ kind: lastSegment(type), path }] : [];
  });
}

/** The folders of the modules among which a Router chooses. */
function routeFolders(path: string, config: string, bytes: Uint8Array): string[] {
  const types = (parseOrNothing(bytes, config) as { types?: unknown } | null)?.types;
  return isObject(types)
    ? Object.keys(types)
        .map((name) => filePath(path, name))
        .filter(isFilePath)
    : [];
}

function shardPaths(index: string, bytes: Uint8Array): string[] {
  const map = (parseOrNothing(bytes, index) as { weight_map?: unknown } | null)?.weight_map;
  const folder = index.slice(0, index.lastIndexOf('/') + 1);
  const names = typeof map === 'object' && map !== null ? Object.values(map) : [];
  return names
    .filter((name): name is string => typeof name === 'string')
    .map((name) => folder + name)
    .filter(isFilePath);
}

function parseOrNothing(bytes: Uint8Array, file: string): unknown {
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
  if (!response.ok || response.body === null) throw unanswered(url, response);
  const announced = Number(response.headers.get('content-length') ?? 0);
  const pieces: Uint8Array[] = [];
  let loadedBytes = 0;
  try {
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      pieces.push(value);
      loadedBytes += value.length;
      // Only weights have no limit; an answer may have no end.
      if (path.endsWith('.json') && loadedBytes > largestJson) {
        await reader.cancel();
        throw failed(url, `it has more than ${largestJson} bytes`);
      }
      onProgress?.({ file: path, loadedBytes, totalBytes: Math.max(announced, loadedBytes) });
    }
  } catch (error) {
    throwIfAborted(signal);
    throw SentvecError.is(error) ? error : failed(url, 'the connection ended early', error);
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
    throw failed(url, error instanceof Error ? error.message : String(error), error);
  }
}

function unanswered(url: URL, { status }: Response): SentvecError {
  return failed(url, `the server answered ${status}`);
}

function failed(url: URL, reason: string, cause?: unknown): SentvecError {
  return new SentvecError(
    'download-failed',
    `${url.href} could not be read: ${reason}. Check the address and the network.`,
    { file: url.href },
    { cause },
  );
}
