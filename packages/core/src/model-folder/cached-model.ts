/**
 * Stores the files of a model, and the list of its files, in the browser's Cache storage, so that a page downloads them
 * once.
 */
import { checkOptionNames, warn, type OptionNames } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';
import { withChanges } from './model-files.ts';

/** Options of {@link cachedModel}. */
export interface CachedModelOptions {
  /**
   * Version of the files, part of the cache key. Change it when the files change.
   * @default the model's revision
   */
  readonly version?: string | undefined;
  /**
   * Name of the cache in the Cache storage of the page's origin.
   * @default 'sentvec-models'
   */
  readonly cacheName?: string | undefined;
  /**
   * Called with one sentence when a file cannot be stored, for example for lack of space; the model works anyway.
   * @default `console.warn`
   */
  readonly onWarning?: ((message: string) => void) | undefined;
}

const optionNames: OptionNames<CachedModelOptions> = { version: true, cacheName: true, onWarning: true };

/**
 * The part of the browser's Cache storage that is used. It is declared here because this package is compiled without
 * DOM types. Insecure pages and Node have no Cache storage.
 */
interface CacheStorage {
  open(name: string): Promise<Cache>;
}

interface Cache {
  match(key: string): Promise<Response | undefined>;
  put(key: string, response: Response): Promise<void>;
}

/**
 * Wraps a model so that its list of files, and each file that is read, are stored in the browser's Cache storage under
 * name, version and path. Later visits request nothing from the server and work without a network. A file is stored
 * completely or not at all. A model without a version is refused, since changes on the server would never be noticed.
 * @throws SentvecError `invalid-argument` without a version; `backend-unavailable` where there is no Cache storage,
 * which needs https or localhost
 */
export function cachedModel<Model extends ModelFiles>(model: Model, options: CachedModelOptions = {}): Model {
  checkOptionNames('cachedModel()', options, optionNames);
  const { version = model.revision, cacheName = 'sentvec-models', onWarning = warn } = options;
  if (version === undefined) {
    throw new SentvecError(
      'invalid-argument',
      `${model.name} has no revision: pass a version to cachedModel(), and change it when the files change.`,
    );
  }
  const storage = (globalThis as { caches?: CacheStorage }).caches;
  if (storage === undefined) {
    throw new SentvecError(
      'backend-unavailable',
      'There is no Cache storage here. Serve the page over https or from localhost.',
    );
  }
  // Only a key: this address is never requested. The list of files is stored under the empty path, which no file has.
  const keyOf = (path: string): string =>
    `https://sentvec.invalid/${[model.name, version, path].map(encodeURIComponent).join('/')}`;
  const stored = async (path: string): Promise<Response | undefined> =>
    (await storage.open(cacheName)).match(keyOf(path));
  const store = async (path: string, content: Uint8Array<ArrayBuffer> | string): Promise<void> => {
    try {
      await (await storage.open(cacheName)).put(keyOf(path), new Response(content));
    } catch (error) {
      const what = path === '' ? 'The list of files' : path;
      onWarning(`${what} of ${model.name} could not be stored: ${String(error)}`);
    }
  };
  const list = async (): Promise<readonly string[]> => {
    const known = await stored('');
    if (known !== undefined) return (await known.json()) as readonly string[];
    const paths = await model.list();
    await store('', JSON.stringify(paths));
    return paths;
  };
  const read = async (path: string): Promise<Uint8Array> => {
    const known = await stored(path);
    if (known !== undefined) return new Uint8Array(await known.arrayBuffer());
    const bytes = await model.read(path);
    await store(path, new Uint8Array(bytes));
    return bytes;
  };
  const size = async (path: string): Promise<number> => {
    const known = await stored(path);
    if (known !== undefined) return (await known.blob()).size;
    return model.size?.(path) ?? (await read(path)).byteLength;
  };
  // Without `sha256`, hashes are computed from the stored bytes.
  return { ...model, ...withChanges(model, { list, read, size }), sha256: undefined, openFile: undefined };
}
