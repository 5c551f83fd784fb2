// The flags that choose a model and a backend, and how a command loads them.
import type {
  Embedder,
  ModelFiles,
  ModelKind,
  MultiVectorEmbedder,
  Reranker,
  SparseEmbedder,
  TextRole,
} from '@sentvec/core';
import { SentvecError } from '@sentvec/platform';
import { backendChoices, chooseBackend } from './backends.ts';
import { wholeNumber } from './parse-arguments.ts';
import { downloadProgress, type DownloadState } from './progress.ts';
import { UsageError } from './usage-error.ts';

/** Name of the default model: no network and no account needed. */
export const defaultModel = 'use-lite';

/** Flags that say how a model is computed. */
export const backendArguments = {
  backend: {
    type: 'enum',
    // oxlint-disable-next-line typescript/no-unnecessary-type-assertion -- isolatedDeclarations wants the type written down
    options: backendChoices as string[],
    default: 'auto',
    description: 'The library that computes.',
  },
  threads: { type: 'string', valueHint: 'N', description: 'CPU threads. Default: one for each core.' },
  variant: {
    type: 'string',
    valueHint: 'NAME',
    description:
      'An ONNX file of the model, such as model_int8, which sentvec quantize makes. Default: the default weights.',
  },
  'self-check': {
    type: 'boolean',
    default: true,
    description: 'Check the results of the backend when the model is loaded.',
    negativeDescription: 'Use the backend even when its results do not match the self-check of the model.',
  },
} as const;

/** Flags that say which model. */
export const modelArguments = {
  model: {
    type: 'string',
    alias: 'm',
    default: 'use-lite',
    valueHint: 'MODEL',
    description:
      'A folder, s3://bucket/folder (gs://, az://), a name on the Hugging Face hub such as sentence-transformers/all-MiniLM-L6-v2, or use-lite.',
  },
  revision: { type: 'string', valueHint: 'COMMIT', description: 'Branch, tag or commit of a model on the hub.' },
  task: {
    type: 'string',
    valueHint: 'TASK',
    description: 'For a model with adapters for tasks, such as jina-embeddings-v3: whose adapter to use.',
  },
  route: {
    type: 'string',
    valueHint: 'ROUTE',
    description: 'For a model with several routes (a Router): which way texts go, such as query or document.',
  },
} as const;

/** The model of a command that is about one. */
export const modelPositional: {
  readonly type: 'positional';
  readonly required: false;
  readonly default: string;
  readonly description: string;
} = {
  type: 'positional',
  required: false,
  default: defaultModel,
  description: modelArguments.model.description,
};

/** The flag that says what texts are. */
export const roleArgument = { type: 'enum', options: ['query', 'document'] as TextRole[] } as const;

/** The values of {@link modelArguments} and {@link backendArguments}. */
export interface ModelChoice {
  readonly model: string;
  readonly revision?: string | undefined;
  readonly task?: string | undefined;
  readonly route?: string | undefined;
  /** The role of most texts: the parts of the model for it are loaded first. */
  readonly as?: TextRole | undefined;
  readonly backend: string;
  readonly threads?: string | undefined;
  readonly variant?: string | undefined;
  readonly selfCheck?: boolean | undefined;
}

/** What loading a model needs of a command's context. */
export interface LoadContext {
  readonly signal: AbortSignal;
  readonly note: (text: string) => void;
}

/**
 * The files of a model by its name on the command line. Those of the hub are downloaded when they are first read, which
 * may be later: `onProgress` is called then.
 */
export async function findModel(
  { model, revision }: Pick<ModelChoice, 'model' | 'revision'>,
  { signal }: Pick<LoadContext, 'signal'>,
  onProgress: (state: DownloadState) => void,
): Promise<ModelFiles> {
  if (model === defaultModel) return (await import('@sentvec/model-use-lite')).useLite({ signal });
  return (await import('@sentvec/core/node')).openModel(model, { revision, signal, onProgress });
}

/** The models of the four kinds. */
interface ModelsByKind {
  readonly embedder: Embedder;
  readonly sparse: SparseEmbedder;
  readonly 'multi-vector': MultiVectorEmbedder;
  readonly reranker: Reranker;
}

/**
 * The model of a command, of one of the kinds that it takes. A model of another kind is refused by the loader of the
 * first.
 */
async function loadModel<Kind extends ModelKind>(
  choice: ModelChoice,
  context: LoadContext,
  kinds: readonly [Kind, ...Kind[]],
): Promise<ModelsByKind[Kind]> {
  const threads = wholeNumber(choice.threads, '--threads');
  const backend = await chooseBackend(choice.backend, { threads, variant: choice.variant });
  const { loadEmbedder, loadMultiVectorEmbedder, loadReranker, loadSparseEmbedder } =
    await import('@sentvec/core/node');
  const { readModelKind } = await import('@sentvec/core');
  const download = await downloadProgress(choice.model);
  try {
    const files = await findModel(choice, context, download.update);
    const onWarning = (message: string): void => context.note(`Note: ${message}`);
    const { task, route, as, selfCheck } = choice;
    const common = { backend, selfCheck, signal: context.signal, onWarning };
    const loaders: { readonly [Each in ModelKind]: () => Promise<ModelsByKind[Each]> } = {
      embedder: () => loadEmbedder(files, { ...common, task, route, as }),
      sparse: () => loadSparseEmbedder(files, common),
      'multi-vector': () => loadMultiVectorEmbedder(files, common),
      reranker: () => loadReranker(files, common),
    };
    const found = kinds.length === 1 ? kinds[0] : await readModelKind(files);
    return await loaders[kinds.find((kind) => kind === found) ?? kinds[0]]();
  } finally {
    download.stop();
  }
}

/** The reranker of a command, ready to rank. */
export function loadRerankerOf(choice: ModelChoice, context: LoadContext): Promise<Reranker> {
  return loadModel(choice, context, ['reranker']);
}

/** The model of `--rerank`, ready to rank. Where it is not found, the flag to look at is that one. */
export async function loadRanker(
  choice: Omit<ModelChoice, 'revision' | 'variant'>,
  context: LoadContext,
): Promise<Reranker | MultiVectorEmbedder> {
  try {
    const asked = { ...choice, revision: undefined, variant: undefined };
    return await loadModel(asked, context, ['reranker', 'multi-vector']);
  } catch (error) {
    if (!SentvecError.is(error, 'model-not-found')) throw error;
    throw new UsageError(`--rerank: ${error.message}`);
  }
}

/** Loads the model, works with it, and disposes it whatever happens. */
export async function withModel<T>(
  choice: ModelChoice,
  context: LoadContext,
  work: (embedder: Embedder) => Promise<T>,
): Promise<T> {
  return withDisposal(await loadModel(choice, context, ['embedder']), work);
}

/** The same for a command whose model is a teacher: what it gives are labels for another. */
export async function withTeacher<T>(
  choice: ModelChoice,
  context: LoadContext,
  work: (teacher: Embedder | Reranker) => Promise<T>,
): Promise<T> {
  return withDisposal(await loadModel(choice, context, ['embedder', 'reranker']), work);
}

/** The same for a command that embeds with sparse models as well. */
export async function withAnyEmbedder<T>(
  choice: ModelChoice,
  context: LoadContext,
  work: (embedder: Embedder | SparseEmbedder) => Promise<T>,
): Promise<T> {
  return withDisposal(await loadModel(choice, context, ['embedder', 'sparse']), work);
}

/** The same for a command that searches with models of all kinds that find documents. */
export async function withSearchModel<T>(
  choice: ModelChoice,
  context: LoadContext,
  work: (model: Embedder | SparseEmbedder | MultiVectorEmbedder) => Promise<T>,
): Promise<T> {
  return withDisposal(await loadModel(choice, context, ['embedder', 'sparse', 'multi-vector']), work);
}

/** Works with a model, and disposes it whatever happens. */
export async function withDisposal<Model extends { dispose(): Promise<void> }, T>(
  model: Model,
  work: (model: Model) => Promise<T>,
): Promise<T> {
  try {
    return await work(model);
  } finally {
    await model.dispose();
  }
}
