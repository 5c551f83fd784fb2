// The models of a worker, each loaded at its first use.
import { SentvecError, type Backend, type Embedder, type PoolingPlugin, type Receipt } from '@sentvec/core';
import { loadEmbedder, openModel } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';

/** Options of {@link ModelRegistry}. */
export interface ModelRegistryOptions {
  readonly backend: Backend;
  readonly poolings: readonly PoolingPlugin[];
  /** Whether a model is refused when the backend does not compute what the model says. */
  readonly selfCheck: boolean | undefined;
  /** Called with the receipt of every `embed`. */
  readonly onReceipt?: ((receipt: Receipt) => void) | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** The models of a worker. Each is loaded at its first use, and stays loaded. */
export class ModelRegistry {
  readonly #options: ModelRegistryOptions;
  readonly #models = new Map<string, Promise<Embedder>>();
  readonly #closing = new AbortController();

  constructor(options: ModelRegistryOptions) {
    this.#options = options;
  }

  /** @throws SentvecError what loading throws; the next call loads again */
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
    const { signal } = this.#closing;
    const files = model === 'use-lite' ? await useLite({ signal }) : await openModel(model, { signal });
    return loadEmbedder(files, { ...this.#options, signal });
  }
}
