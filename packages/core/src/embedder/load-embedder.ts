/**
 * Loads an embedder from a model folder. Parts that only some calls need (a route, the adapter of a task) are loaded at
 * their first use.
 */
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import type { Backend, LoadOptions } from '../backend.ts';
import { SentvecError } from '../errors.ts';
import { listedOnce } from '../model-folder/model-files.ts';
import { readFolder, type ModelFolderOptions } from '../model-folder/read-model-folder.ts';
import { outputSize } from '../projection/head.ts';
import type { TokenizerLoader } from '../tokenizer/javascript-tokenizer.ts';
import type { ModelFiles } from '../types.ts';
import { assembleParts, checkLoading, LoadingParts, loadOnce, tasksWithAdapters } from './assemble-parts.ts';
import type { Embedder, EmbedderParts, Receipt, TextRole } from './embedder-types.ts';
import { checkRole, taskFor } from './text-role.ts';
import { hasRouter } from '../model-folder/router-module.ts';
import { ModelEmbedder, type ModelVariants, type VariantChoice } from './model-embedder.ts';

/** Options of {@link loadEmbedder}. */
export interface LoadEmbedderOptions extends ModelFolderOptions, Omit<LoadOptions, 'pairs'> {
  /**
   * The backend that runs the encoder. Required, except for models with static embeddings, which have no encoder to
   * run.
   */
  readonly backend?: Backend | undefined;
  /**
   * The tokenizer implementation.
   * @default the one in JavaScript; in Node, with `@sentvec/core/node`, the native one if it is installed
   */
  readonly tokenizer?: TokenizerLoader | undefined;
  /**
   * For a model with adapters for tasks, such as jina-embeddings-v3: the task, such as `retrieval.query`, whose adapter
   * is used for calls that set neither `task` nor `as`.
   * @default no adapter: the weights that all tasks share
   */
  readonly task?: string | undefined;
  /**
   * The role of most texts: the route and the task that the model has for this role become the defaults, as if `route`
   * and `task` named them. It does not affect prompts.
   * @default no role
   */
  readonly as?: TextRole | undefined;
  /**
   * The most tokens of a text, special tokens included; longer texts are truncated.
   * @default the model's own limit, at most the positions of the encoder
   */
  readonly maxLength?: number | undefined;
  /** Called with the receipt of each `embed` that succeeded: for metrics. */
  readonly onReceipt?: ((receipt: Receipt) => void) | undefined;
  /**
   * Whether to check the encoder when the model is loaded: it embeds a few short texts, and loading fails with
   * `backend-wrong` if the vectors differ from the expected ones.
   * @default true
   */
  readonly selfCheck?: boolean | undefined;
}

/** Names of the options of {@link loadEmbedder}, for callers that separate them from their own options. */
export const loadOptionNames: OptionNames<LoadEmbedderOptions> = {
  backend: true,
  tokenizer: true,
  as: true,
  maxLength: true,
  task: true,
  pooling: true,
  poolings: true,
  route: true,
  selfCheck: true,
  signal: true,
  onReceipt: true,
  onWarning: true,
};

/**
 * Loads an embedder from a model folder: reads the configuration, loads tokenizer and encoder, and runs the self-check.
 * @throws SentvecError `invalid-model`, `unsupported-model`, `invalid-argument`, `backend-unavailable`,
 * `backend-failed`, `backend-wrong`, `missing-dependency`, `aborted`
 */
export async function loadEmbedder(model: ModelFiles, options: LoadEmbedderOptions = {}): Promise<Embedder> {
  checkOptionNames('loadEmbedder()', options, loadOptionNames);
  checkLoading(options);
  const variants = new LoadingVariants(model, options);
  try {
    return new ModelEmbedder(await variants.loadDefault(), variants);
  } catch (error) {
    await variants.dispose();
    throw error;
  }
}

/** Loads the variants (route and task) of a model, which share tokenizers and encoders where they can. */
class LoadingVariants implements ModelVariants {
  defaultVariant: VariantChoice;
  hasRoutes = false;
  readonly #model: ModelFiles;
  readonly #options: LoadEmbedderOptions;
  /** Keyed by task: each task has weights of its own. */
  readonly #parts = new Map<string | undefined, Promise<LoadingParts>>();
  #dimension: number | undefined;

  constructor(model: ModelFiles, options: LoadEmbedderOptions) {
    this.#model = listedOnce(model);
    this.#options = options;
    this.defaultVariant = { route: options.route, task: options.task };
  }

  async loadDefault(): Promise<EmbedderParts> {
    const { as, route, task } = this.#options;
    if (as !== undefined) {
      checkRole(as);
      this.defaultVariant = {
        route: route ?? ((await hasRouter(this.#model)) ? as : undefined),
        task: task ?? (await this.taskFor(as)),
      };
    }
    const parts = await this.#assemble(this.defaultVariant, this.#options);
    this.hasRoutes = parts.route !== undefined;
    this.#dimension = outputSize(parts.head, parts.encoder.hiddenSize);
    return parts;
  }

  /** Loads a further variant. The signal of `loadEmbedder` must not cancel it, since it runs later. */
  readonly load = async (choice: VariantChoice): Promise<EmbedderParts> => {
    const parts = await this.#assemble(choice, { ...this.#options, signal: undefined });
    const dimension = outputSize(parts.head, parts.encoder.hiddenSize);
    if (dimension === this.#dimension) return parts;
    throw new SentvecError(
      'invalid-model',
      `The vectors of ${this.#model.name} have ${this.#dimension} entries, but those of the route "${parts.route}" have ${dimension}, so they cannot be compared.`,
      { file: this.#model.name },
    );
  };

  readonly taskFor = async (role: TextRole): Promise<string | undefined> => {
    return taskFor(role, await tasksWithAdapters(this.#model));
  };

  readonly dispose = async (): Promise<void> => {
    await Promise.allSettled([...this.#parts.values()].map(async (parts) => (await parts).dispose()));
  };

  async #assemble({ route, task }: VariantChoice, options: LoadEmbedderOptions): Promise<EmbedderParts> {
    const parts = await this.#partsOf(task);
    const folder = await readFolder(
      parts.model,
      { ...options, route },
      async ({ encoderFiles }) => (await parts.loadEncoder(encoderFiles, options.signal)).pooledOutput,
    );
    return (await assembleParts(folder, parts, { ...options, task })).parts;
  }

  /** Concurrent calls for one task share the parts. */
  #partsOf(task: string | undefined): Promise<LoadingParts> {
    return loadOnce(
      this.#parts,
      task,
      async () => new LoadingParts(await chooseTask(this.#model, task), this.#options),
    );
  }
}

async function chooseTask(model: ModelFiles, task: string | undefined): Promise<ModelFiles> {
  if (task === undefined) return model;
  const { withTask } = await import('../weights/task-adapters.ts');
  return withTask(model, task);
}
