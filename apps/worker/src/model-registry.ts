// The models of a worker, each loaded at its first use.
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
  /** Whether a model is refused when the results of the backend do not match its self-check. */
  readonly selfCheck: boolean | undefined;
  /** Called with the receipt of every `embed`. */
  readonly onReceipt?: ((receipt: Receipt) => void) | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** A model that embeds a corpus. */
export type WorkerModel = Embedder | SparseEmbedder;

/** The models of a worker. Each is loaded at its first use, and stays loaded. */
export class ModelRegistry {
  readonly #options: ModelRegistryOptions;
  readonly #models = new Map<string, Promise<WorkerModel>>();
  readonly #closing = new AbortController();

  constructor(options: ModelRegistryOptions) {
    this.#options = options;
  }

  /** @throws SentvecError what loading throws; the next call loads again */
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

  /** @throws SentvecError as {@link get}; `unsupported-model` for a sparse model */
  readonly getDense = async (model: string): Promise<Embedder> => {
    const loaded = await this.get(model);
    if (loaded.kind !== 'sparse') return loaded;
    const message = `${model} is a sparse model; this needs one that gives a dense vector for each text.`;
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

/** Models whose vectors are cached. */
export class CachedModels {
  readonly #cache: VectorCache;
  readonly #models = new Map<string, Embedder>();

  constructor(cache: VectorCache) {
    this.#cache = cache;
  }

  /** The model with the cache, which keeps dense vectors only. */
  of(name: string, model: WorkerModel): WorkerModel {
    if (model.kind === 'sparse') return model;
    const cached = this.#models.get(name) ?? cachedEmbedder(model, this.#cache);
    this.#models.set(name, cached);
    return cached;
  }

  /** Writes the cache, and disposes of the models. */
  async close(): Promise<void> {
    for (const model of this.#models.values()) await model.dispose();
  }
}
