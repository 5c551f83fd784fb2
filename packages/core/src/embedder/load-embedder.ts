/**
 * From a model folder to an embedder. What a model has for some texts only (a route, the adapter of a task) is loaded at
 * its first use.
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
  /** What runs the encoder. Only models of static embeddings, which have none, go without. */
  readonly backend?: Backend | undefined;
  /**
   * Which library tokenizes.
   * @default the one in JavaScript; in Node, by `@sentvec/core/node`, the native one when it is installed
   */
  readonly tokenizer?: TokenizerLoader | undefined;
  /**
   * For a model with adapters for tasks, such as jina-embeddings-v3: the task, such as `retrieval.query`, whose adapter is
   * merged into the weights for the calls that choose none, neither by `task` nor by `as`.
   * @default no adapter: the weights that all tasks share
   */
  readonly task?: string | undefined;
  /**
   * What most texts will be: the route and the task that the model has for them are loaded at first, as if `route` and
   * `task` named them. Prompts are not chosen by it.
   * @default neither
   */
  readonly as?: TextRole | undefined;
  /** The most tokens of a text that are read, instead of what the model says. */
  readonly maxLength?: number | undefined;
  /** Called with the receipt of each `embed` that succeeded: for metrics. */
  readonly onReceipt?: ((receipt: Receipt) => void) | undefined;
  /**
   * Whether the encoder is checked before it is used: it embeds a few short texts, and what differs from the model's own
   * values is refused.
   * @default true
   */
  readonly selfCheck?: boolean | undefined;
}

/** Names of the options of {@link loadEmbedder}, for callers that have to tell them from options of their own. */
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
 * Loads a model folder: reads what its parts are, loads tokenizer and encoder, and puts them together.
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

/** The variants of a model: what each is loaded from, and what they share. */
class LoadingVariants implements ModelVariants {
  defaultVariant: VariantChoice;
  hasRoutes = false;
  readonly #model: ModelFiles;
  readonly #options: LoadEmbedderOptions;
  /** By task: each has weights of its own. */
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

  /** For variants that are loaded at their first use: the signal of the first load does not cancel them. */
  readonly load = async (choice: VariantChoice): Promise<EmbedderParts> => {
    const parts = await this.#assemble(choice, { ...this.#options, signal: undefined });
    const dimension = outputSize(parts.head, parts.encoder.hiddenSize);
    if (dimension === this.#dimension) return parts;
    throw new SentvecError(
      'invalid-model',
      `The vectors of ${this.#model.name} have ${this.#dimension} entries, but ${dimension} by the route "${parts.route}": they cannot be compared.`,
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

  /** Two calls at the same time share what they load. */
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
