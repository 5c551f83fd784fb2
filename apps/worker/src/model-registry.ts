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
import type { ServedModel } from '@sentvec/queue';
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
  /** Called when {@link ModelRegistry.served} changes. */
  readonly onServed?: (() => void) | undefined;
}

/** A model that can embed a corpus. */
export type WorkerModel = Embedder | SparseEmbedder;

/** Maximum length of a reason in the heartbeats. */
const maxReason = 300;

/** Milliseconds until loading a model is retried. */
const retryInterval = 30_000;

/** Loads the models of a worker, and keeps them loaded. */
export class ModelRegistry {
  readonly #options: ModelRegistryOptions;
  readonly #served = new Map<string, ServedModel>();
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

  /** The models of this worker, with the fingerprints of those that have been loaded. */
  get served(): readonly ServedModel[] {
    return [...this.#served.values()];
  }

  /**
   * Loads models one after another, so that their fingerprints are known. If loading a model fails, it is retried every 30
   * seconds.
   */
  async serve(models: readonly string[]): Promise<void> {
    for (const name of models) if (!this.#served.has(name)) this.#served.set(name, { name });
    const failed: string[] = [];
    for (const name of models) {
      try {
        await this.get(name);
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        failed.push(name);
        const reason = error instanceof Error ? error.message : String(error);
        this.#options.onWarning?.(`The model ${name} cannot be served: ${reason}`);
        this.#serve({ name, error: reason.slice(0, maxReason) });
      }
    }
    if (failed.length > 0) setTimeout(() => void this.serve(failed), retryInterval).unref();
  }

  #serve(model: ServedModel): void {
    this.#served.set(model.name, model);
    this.#options.onServed?.();
  }

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
    const { onServed: _, poolings, ...options } = this.#options;
    const loaded =
      (await readModelKind(files)) === 'sparse'
        ? await loadSparseEmbedder(files, { ...options, signal })
        : await loadEmbedder(files, { ...options, poolings, signal });
    // Also if a step has loaded it after an earlier attempt failed.
    if (this.#served.has(model)) {
      const { hash } = await loaded.fingerprint();
      this.#serve({ name: model, fingerprint: hash, backend: loaded.backend });
    }
    return loaded;
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
