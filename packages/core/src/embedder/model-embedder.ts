/*
 * The embedder of a model with variants. A model may treat queries and documents differently: by prompts, by routes
 * with their own encoders, or by task adapters. Each combination is a variant: an embedder of its own, which is loaded
 * at its first use. The embedder in this file passes each call to its variant.
 */
import { abortable } from '@sentvec/platform';
import type { Encoder } from '../backend.ts';
import type { HeadSource } from '../model-folder/model-folder.ts';
import type { Head, ModelFiles, SelfCheckResult, SimilarityFunction, Tokenizer } from '../types.ts';
import { createEmbedder } from './embedder.ts';
import type {
  Embedded,
  EmbeddedPieces,
  EmbeddedText,
  Embedder,
  EmbedderParts,
  EmbedOptions,
  EmbedPiecesOptions,
  EmbedStreamOptions,
  Fingerprint,
  RoleEmbedOptions,
  SpaceOptions,
  StreamedVector,
  TextRole,
  TextStream,
} from './embedder-types.ts';
import { checkRole, hasRolePrompts } from './text-role.ts';

/** Route and task of a variant. */
export interface VariantChoice {
  readonly route: string | undefined;
  readonly task: string | undefined;
}

/** The parts of a model's variants. */
export interface ModelVariants {
  /** The variant for calls that choose neither a route nor a task. */
  readonly defaultVariant: VariantChoice;
  /** Whether the model has routes. */
  readonly hasRoutes: boolean;
  /** The task that the model has for texts of a role; `undefined` when it has no task adapters. */
  readonly taskFor: (role: TextRole) => Promise<string | undefined>;
  /**
   * @throws SentvecError as `loadEmbedder`, and `invalid-argument` for a route or task that the model does not have
   */
  readonly load: (choice: VariantChoice) => Promise<EmbedderParts>;
  /** Disposes the parts of all variants, including those that are still loading. */
  readonly dispose: () => Promise<void>;
}

/** A loaded variant. */
interface Variant {
  readonly parts: EmbedderParts;
  readonly embedder: Embedder;
  /**
   * The embedder with the prompts from the list of known models, for a model without prompts of its own. Created when
   * it is first needed.
   */
  withKnownPrompts?: Promise<Embedder> | undefined;
}

/** Passes each call to the embedder of its variant; see the beginning of this file. */
export class ModelEmbedder implements Embedder {
  readonly kind = 'embedder';
  readonly model: ModelFiles;
  readonly dimension: number;
  readonly maxLength: number;
  readonly tokenizer: Tokenizer;
  readonly encoder: Encoder;
  readonly backend: string | undefined;
  readonly head: Head;
  readonly prompts: Readonly<Record<string, string>>;
  readonly defaultPrompt: string | undefined;
  readonly similarityFunction: SimilarityFunction;
  readonly route: string | undefined;
  readonly task: string | undefined;
  readonly headSource: HeadSource | undefined;
  readonly selfCheck: SelfCheckResult | undefined;
  readonly #default: Variant;
  readonly #variants: ModelVariants;
  readonly #loaded = new Map<string, Promise<Variant>>();
  readonly #embedders = new Set<Embedder>();
  #disposal: Promise<void> | undefined;

  /** @param parts the parts of the default variant */
  constructor(parts: EmbedderParts, variants: ModelVariants) {
    this.#default = { parts, embedder: this.#own(createEmbedder(parts)) };
    this.#variants = variants;
    const { embedder } = this.#default;
    this.model = embedder.model;
    this.dimension = embedder.dimension;
    this.maxLength = embedder.maxLength;
    this.tokenizer = embedder.tokenizer;
    this.encoder = embedder.encoder;
    this.backend = embedder.backend;
    this.head = embedder.head;
    this.prompts = embedder.prompts;
    this.defaultPrompt = embedder.defaultPrompt;
    this.similarityFunction = embedder.similarityFunction;
    this.route = embedder.route;
    this.task = embedder.task;
    this.headSource = embedder.headSource;
    this.selfCheck = embedder.selfCheck;
  }

  embed(text: string, options?: EmbedOptions): Promise<EmbeddedText>;
  embed(texts: string | readonly string[], options?: EmbedOptions): Promise<Embedded>;
  async embed(texts: string | readonly string[], options: EmbedOptions = {}): Promise<Embedded> {
    if (usesDefaultVariant(options)) return this.#default.embedder.embed(texts, options);
    // Copied before the first await: the caller may change the array while a variant is loaded.
    const copy = Array.isArray(texts) ? (texts.slice() as readonly string[]) : texts;
    const { embedder, rest } = await this.#choose(options, options.signal);
    return embedder.embed(copy, rest);
  }

  embedQuery(text: string, options?: RoleEmbedOptions): Promise<EmbeddedText>;
  embedQuery(texts: string | readonly string[], options?: RoleEmbedOptions): Promise<Embedded>;
  embedQuery(texts: string | readonly string[], options?: RoleEmbedOptions): Promise<Embedded> {
    return this.embed(texts, { ...options, as: 'query' });
  }

  embedDocuments(text: string, options?: RoleEmbedOptions): Promise<EmbeddedText>;
  embedDocuments(texts: string | readonly string[], options?: RoleEmbedOptions): Promise<Embedded>;
  embedDocuments(texts: string | readonly string[], options?: RoleEmbedOptions): Promise<Embedded> {
    return this.embed(texts, { ...options, as: 'document' });
  }

  async embedPieces(texts: readonly string[], options: EmbedPiecesOptions = {}): Promise<EmbeddedPieces> {
    const copy = Array.isArray(texts) ? (texts.slice() as readonly string[]) : texts;
    const { embedder, rest } = await this.#choose(options, options.signal);
    return embedder.embedPieces(copy, rest);
  }

  async *embedStream(
    texts: TextStream,
    options: EmbedStreamOptions = {},
  ): AsyncGenerator<StreamedVector, void, undefined> {
    const { embedder, rest } = await this.#choose(options, options.signal);
    yield* embedder.embedStream(texts, rest);
  }

  async fingerprint(options: SpaceOptions = {}): Promise<Fingerprint> {
    const { embedder, rest } = await this.#choose(options, undefined);
    return embedder.fingerprint(rest);
  }

  dispose(): Promise<void> {
    this.#disposal ??= this.#disposeVariants();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #disposeVariants(): Promise<void> {
    // Started together, so that no further encoder is loaded while the embedders are disposed.
    await Promise.all([...this.#embedders, this.#variants].map((each) => each.dispose()));
  }

  #own(embedder: Embedder): Embedder {
    this.#embedders.add(embedder);
    return embedder;
  }

  /** The embedder for a call, and the options to pass to it. */
  async #choose<Options extends SpaceOptions>(
    options: Options,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly embedder: Embedder; readonly rest: Options }> {
    // After disposal the default embedder is disposed too, and fails with `disposed`.
    if (usesDefaultVariant(options) || this.#disposal) return { embedder: this.#default.embedder, rest: options };
    const { as, route, task, ...rest } = options;
    if (as !== undefined) checkRole(as);
    const choosing = this.#find(as, route, task);
    const variant = await (signal === undefined ? choosing : abortable(choosing, signal));
    const hasPromptOption = rest.prompt !== undefined || rest.promptText !== undefined;
    if (as === undefined || hasPromptOption) return { embedder: variant.embedder, rest: rest as Options };
    return { embedder: await this.#withRolePrompts(variant), rest: { ...rest, as } as unknown as Options };
  }

  async #find(as: TextRole | undefined, route: string | undefined, task: string | undefined): Promise<Variant> {
    const { defaultVariant, hasRoutes, taskFor } = this.#variants;
    const roleTask = as === undefined || task !== undefined ? undefined : await taskFor(as);
    return this.#load({
      route: route ?? (hasRoutes ? as : undefined) ?? defaultVariant.route,
      task: task ?? roleTask ?? defaultVariant.task,
    });
  }

  async #load(choice: VariantChoice): Promise<Variant> {
    const { defaultVariant, load } = this.#variants;
    const isDefault =
      choice.task === defaultVariant.task && (choice.route === defaultVariant.route || choice.route === this.route);
    // After disposal the default embedder is disposed too, and fails with `disposed`.
    if (isDefault || this.#disposal) return this.#default;
    const key = JSON.stringify([choice.route, choice.task]);
    const loading = this.#loaded.get(key) ?? load(choice).then(async (parts) => this.#variantOf(parts));
    this.#loaded.set(key, loading);
    // Do not cache a failure: the next call tries again.
    loading.catch(() => this.#loaded.delete(key));
    return loading;
  }

  async #variantOf(parts: EmbedderParts): Promise<Variant> {
    return { parts, embedder: await this.#ownUnlessDisposed(createEmbedder(parts)) };
  }

  /** Disposes an embedder that became ready after `dispose`, so that its calls fail with `disposed`. */
  async #ownUnlessDisposed(embedder: Embedder): Promise<Embedder> {
    this.#own(embedder);
    if (this.#disposal) await embedder.dispose();
    return embedder;
  }

  /**
   * The embedder of a variant with prompts for queries and documents: the model's own, or those from the list of known
   * models.
   */
  async #withRolePrompts(variant: Variant): Promise<Embedder> {
    const { parts, embedder } = variant;
    if (hasRolePrompts(parts.prompts ?? {}, parts.task)) return embedder;
    variant.withKnownPrompts ??= this.#findPrompts(variant);
    try {
      return await variant.withKnownPrompts;
    } catch (error) {
      variant.withKnownPrompts = undefined;
      throw error;
    }
  }

  async #findPrompts({ parts, embedder }: Variant): Promise<Embedder> {
    const { findKnownPrompts } = await import('./known-prompts.ts');
    const { prompts, note } = await findKnownPrompts(parts.model);
    if (note === undefined) return embedder;
    const filled = { ...parts, prompts: { ...parts.prompts, ...prompts }, notes: [...(parts.notes ?? []), note] };
    return this.#ownUnlessDisposed(createEmbedder(filled));
  }
}

function usesDefaultVariant({ as, route, task }: SpaceOptions): boolean {
  return as === undefined && route === undefined && task === undefined;
}
