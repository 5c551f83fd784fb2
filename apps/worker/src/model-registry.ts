import {
  SentvecError,
  type Backend,
  type Embedded,
  type Embedder,
  type ModelFiles,
  type PoolingPlugin,
} from '@sentvec/core';

/** Options of {@link ModelRegistry}. */
export interface ModelRegistryOptions {
  readonly open: (model: string, signal: AbortSignal) => Promise<ModelFiles>;
  readonly load: (files: ModelFiles, options: LoadOptions) => Promise<Embedder>;
  readonly backend: Backend;
  readonly poolings: readonly PoolingPlugin[];
  /** Called with the result of every `embed`. */
  readonly onEmbedded?: ((embedded: Embedded) => void) | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

interface LoadOptions {
  readonly backend: Backend;
  readonly poolings: readonly PoolingPlugin[];
  readonly signal: AbortSignal;
  readonly onWarning?: (message: string) => void;
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
    const { open, load, backend, poolings, onEmbedded, onWarning } = this.#options;
    const { signal } = this.#closing;
    const files = await open(model, signal);
    const embedder = await load(files, { backend, poolings, signal, ...(onWarning && { onWarning }) });
    return onEmbedded ? observed(embedder, onEmbedded) : embedder;
  }
}

/** The same embedder, but `onEmbedded` is called with what each `embed` gives. */
function observed(embedder: Embedder, onEmbedded: (embedded: Embedded) => void): Embedder {
  return {
    model: embedder.model,
    dimension: embedder.dimension,
    maxLength: embedder.maxLength,
    tokenizer: embedder.tokenizer,
    encoder: embedder.encoder,
    head: embedder.head,
    prompts: embedder.prompts,
    defaultPrompt: embedder.defaultPrompt,
    similarityFunction: embedder.similarityFunction,
    selfCheck: embedder.selfCheck,
    embed: async (...parameters) => {
      const embedded = await embedder.embed(...parameters);
      onEmbedded(embedded);
      return embedded;
    },
    embedStream: (...parameters) => embedder.embedStream(...parameters),
    fingerprint: (...parameters) => embedder.fingerprint(...parameters),
    dispose: () => embedder.dispose(),
  };
}
