import {
  SentvecError,
  type Backend,
  type Embedder,
  type ModelFiles,
  type PoolingPlugin,
  type Receipt,
} from '@sentvec/core';

/** Options of {@link ModelRegistry}. */
export interface ModelRegistryOptions {
  readonly open: (model: string, signal: AbortSignal) => Promise<ModelFiles>;
  readonly load: (files: ModelFiles, options: LoadOptions) => Promise<Embedder>;
  readonly backend: Backend;
  readonly poolings: readonly PoolingPlugin[];
  /** Called with the receipt of every `embed`. */
  readonly onReceipt?: ((receipt: Receipt) => void) | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

interface LoadOptions {
  readonly backend: Backend;
  readonly poolings: readonly PoolingPlugin[];
  readonly signal: AbortSignal;
  readonly onReceipt: ((receipt: Receipt) => void) | undefined;
  readonly onWarning: ((message: string) => void) | undefined;
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
    const { open, load, backend, poolings, onReceipt, onWarning } = this.#options;
    const { signal } = this.#closing;
    return load(await open(model, signal), { backend, poolings, signal, onReceipt, onWarning });
  }
}
