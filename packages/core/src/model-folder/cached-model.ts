import { SentvecError, warn } from '@sentvec/platform';
import type { ModelFiles } from '../types.ts';

/** Options of {@link cachedModel}. */
export interface CachedModelOptions {
  /** What distinguishes this content from other content of the same name. Default: the model's revision. */
  readonly version?: string | undefined;
  /** Name of the cache among those of the page's origin. Default `sentvec-models`. */
  readonly cacheName?: string | undefined;
  /**
   * Called with one sentence when a file cannot be kept, for lack of space say; the model works all the same.
   * @default `console.warn`
   */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/**
 * What is used of the browser's Cache storage, whose types a package for Node does not have. Insecure pages and Node
 * have none.
 */
interface CacheStorage {
  open(name: string): Promise<{
    match(key: string): Promise<Response | undefined>;
    put(key: string, response: Response): Promise<void>;
  }>;
}

/**
 * A model whose files are kept in the browser's Cache storage when they are read, under name, version and path: they
 * are downloaded once. What is kept is whole: the browser stores a file or nothing. A model without a version is
 * refused, since a file that changed on the server would never be noticed.
 * @throws SentvecError `invalid-argument` without a version; `backend-unavailable` where there is no Cache storage: it
 * takes https or localhost
 */
export function cachedModel<Model extends ModelFiles>(model: Model, options: CachedModelOptions = {}): Model {
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
  const read = async (path: string): Promise<Uint8Array> => {
    const cache = await storage.open(cacheName);
    // Only a key: nothing is ever asked of this address.
    const key = `https://sentvec.invalid/${[model.name, version, path].map(encodeURIComponent).join('/')}`;
    const kept = await cache.match(key);
    if (kept !== undefined) return new Uint8Array(await kept.arrayBuffer());
    const bytes = await model.read(path);
    try {
      await cache.put(key, new Response(new Uint8Array(bytes)));
    } catch (error) {
      onWarning(
        `${path} of ${model.name} could not be kept: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    return bytes;
  };
  return { ...model, read };
}
