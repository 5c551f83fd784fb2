// The models of a worker, each loaded on first use.
import {
  readModelKind,
  SentvecError,
  type Backend,
  type Embedder,
  type PoolingPlugin,
  type Receipt,
  type SparseEmbedder,
} from '@sentvec/core';
import { cachedEmbedder, loadEmbedder, loadSparseEmbedder, openModel, type VectorCache } from '@sentvec/core/node';
import { useLite } from '@sentvec/model-use-lite';

/** Options of {@link ModelRegistry}. */
export interface ModelRegistryOptions {
  readonly backend: Backend;
  readonly poolings: readonly PoolingPlugin[];
  /** Whether loading fails if the results of the backend do not match the self-check of the model. */
  readonly selfCheck: boolean | undefined;
  /** Called with the receipt of every `embed` call. */
  readonly onReceipt?: ((receipt: Receipt) => void) | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** A model that can embed a corpus. */
export type WorkerModel = Embedder | SparseEmbedder;

/** Loads the models of a worker on first use, and keeps them loaded. */
export class ModelRegistry {
  readonly #options: ModelRegistryOptions;
  readonly #models = new Map<string, Promise<WorkerModel>>();
  readonly #closing = new AbortController();

  constructor(options: ModelRegistryOptions) {
    this.#options = options;
  }

  /**
   * Returns the loaded model.
   *
   * @throws SentvecError any error of loading; the next call tries again */
  readonly get = async (model: string): Promise<WorkerModel> => {
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

  /**
   * Returns the loaded model, which must be dense.
   *
   * @throws SentvecError as {@link get}; `unsupported-model` for a sparse model */
  readonly getDense = async (model: string): Promise<Embedder> => {
    const loaded = await this.get(model);
    if (loaded.kind !== 'sparse') return loaded;
    const message = `${model} is a sparse model, but this operation needs a model that computes one dense vector per text.`;
    throw new SentvecError('unsupported-model', message, { kind: 'sparse' });
  };

  async close(): Promise<void> {
    this.#closing.abort();
    const loaded = await Promise.allSettled(this.#models.values());
    await Promise.all(loaded.map(async (model) => model.status === 'fulfilled' && model.value.dispose()));
  }

  async #load(model: string): Promise<WorkerModel> {
    const { signal } = this.#closing;
    const files = model === 'use-lite' ? await useLite({ signal }) : await openModel(model, { signal });
    if ((await readModelKind(files)) !== 'sparse') return loadEmbedder(files, { ...this.#options, signal });
    const { poolings: _, ...options } = this.#options;
    return loadSparseEmbedder(files, { ...options, signal });
  }
}

/** Wraps models so that their vectors are cached, and keeps the wrapped models. */
export class CachedModels {
  readonly #cache: VectorCache;
  readonly #models = new Map<string, Embedder>();

  constructor(cache: VectorCache) {
    this.#cache = cache;
  }

  /**
   * Returns the model with the cache. Sparse models are returned unchanged, because the cache stores dense vectors
   * only.
   */
  of(name: string, model: WorkerModel): WorkerModel {
    if (model.kind === 'sparse') return model;
    const cached = this.#models.get(name) ?? cachedEmbedder(model, this.#cache);
    this.#models.set(name, cached);
    return cached;
  }

  /** Writes the cache, and disposes the models. */
  async close(): Promise<void> {
    for (const model of this.#models.values()) await model.dispose();
  }
}
