/** Models that a page downloads once: their list and their files in the browser's Cache storage. */
import { checkOptionNames, warn, type OptionNames } from '@sentvec/platform';
import { SentvecError } from '../errors.ts';
import type { ModelFiles } from '../types.ts';
import { withChanges } from './model-files.ts';

/** Options of {@link cachedModel}. */
export interface CachedModelOptions {
  /**
   * What distinguishes this content from other content of the same name.
   * @default the model's revision
   */
  readonly version?: string | undefined;
  /**
   * Name of the cache among those of the page's origin.
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
 * What is used of the browser's Cache storage, whose types a package for Node does not have. Insecure pages and Node
 * have none.
 */
interface CacheStorage {
  open(name: string): Promise<Cache>;
}

interface Cache {
  match(key: string): Promise<Response | undefined>;
  put(key: string, response: Response): Promise<void>;
}

/**
 * A model whose list of files, and whose files when they are read, are stored in the browser's Cache storage under
 * name, version and path: they are downloaded once. Later visits ask the server nothing, and work without a network.
 * What is stored is whole: the browser stores a file or nothing. A model without a version is refused, since a file
 * that changed on the server would never be noticed.
 * @throws SentvecError `invalid-argument` without a version; `backend-unavailable` where there is no Cache storage: it
 * takes https or localhost
 */
export function cachedModel<Model extends ModelFiles>(model: Model, options: CachedModelOptions = {}): Model {
  checkOptionNames('cachedModel()', options, optionNames);
  const { version = model.revision, cacheName = 'sentvec-models', onWarning = warn } = options;
  if (version === undefined) {
    throw new SentvecError(
      'invalid-argument',
      `${model.name} has no revision: pass a version to cachedModel(), and another when the files change.`,
    );
  }
  const storage = (globalThis as { caches?: CacheStorage }).caches;
  if (storage === undefined) {
    throw new SentvecError(
      'backend-unavailable',
      'There is no Cache storage here: it takes a page that was served by https or from localhost.',
    );
  }
  // Only a key: nothing is ever asked of this address. The list has the path that no file can have.
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
  // Hashes are computed from the stored bytes.
  return { ...model, ...withChanges(model, { list, read, size }), sha256: undefined, openFile: undefined };
}
