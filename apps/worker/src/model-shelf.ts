import {
  SentvecError,
  type Backend,
  type Embedded,
  type Embedder,
  type ModelFiles,
  type PoolingPlugin,
} from '@sentvec/core';

/** How the shelf gets a model. */
export interface ModelShelfOptions {
  readonly open: (model: string, signal: AbortSignal) => Promise<ModelFiles>;
  readonly backend: Backend;
  readonly poolings: readonly PoolingPlugin[];
  /** Hears of every batch of texts that a model was given. */
  readonly embedded?: (model: string, embedded: Embedded) => void;
  readonly onWarning?: (message: string) => void;
  readonly load: (files: ModelFiles, options: LoadOptions) => Promise<Embedder>;
}

interface LoadOptions {
  readonly backend: Backend;
  readonly poolings: readonly PoolingPlugin[];
  readonly signal: AbortSignal;
  readonly onWarning?: (message: string) => void;
}

/** The models of a worker, each loaded when it is first asked for, and kept. */
export class ModelShelf {
  readonly #options: ModelShelfOptions;
  readonly #models = new Map<string, Promise<Embedder>>();
  readonly #closing = new AbortController();

  constructor(options: ModelShelfOptions) {
    this.#options = options;
  }

  /** @throws SentvecError what loading throws; then the next one who asks makes it load again */
  readonly get = async (model: string): Promise<Embedder> => {
    if (this.#closing.signal.aborted) throw new SentvecError('disposed', 'The worker is stopping.');
    const loading = this.#models.get(model) ?? this.#load(model);
    this.#models.set(model, loading);
    try {
      return await loading;
    } catch (error) {
      if (this.#models.get(model) === loading) this.#models.delete(model);
      throw error;
    }
  };

  async close(): Promise<void> {
    this.#closing.abort();
    const loaded = await Promise.allSettled(this.#models.values());
    await Promise.all(loaded.map(async (model) => model.status === 'fulfilled' && model.value.dispose()));
  }

  async #load(model: string): Promise<Embedder> {
    const { open, backend, poolings, embedded, onWarning, load } = this.#options;
    const { signal } = this.#closing;
    const embedder = await load(await open(model, signal), {
      backend,
      poolings,
      signal,
      ...(onWarning && { onWarning }),
    });
    return embedded ? watched(embedder, (result) => embedded(model, result)) : embedder;
  }
}

/** The embedder, with an ear for what it computes. */
function watched(embedder: Embedder, embedded: (result: Embedded) => void): Embedder {
  return new Proxy(embedder, {
    get: (target, name) => {
      if (name === 'embed') {
        return async (...parameters: Parameters<Embedder['embed']>) => {
          const result = await target.embed(...parameters);
          embedded(result);
          return result;
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
