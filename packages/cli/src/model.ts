// The flags for the model and the backend, and loading them for a command.
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

/** The default model. It needs no network and no account. */
export const defaultModel = 'use-lite';

/** The flags for the backend. */
export const backendArguments = {
  backend: {
    type: 'enum',
    // oxlint-disable-next-line typescript/no-unnecessary-type-assertion -- isolatedDeclarations wants the type written down
    options: backendChoices as string[],
    default: 'auto',
    description: 'The backend.',
  },
  threads: { type: 'string', valueHint: 'N', description: 'Number of CPU threads. Default: one for each core.' },
  variant: {
    type: 'string',
    valueHint: 'NAME',
    description:
      'The name of an ONNX file of the model, such as model_int8 of sentvec quantize. Default: the default weights.',
  },
  'self-check': {
    type: 'boolean',
    default: true,
    description: 'Check the results of the backend when a model is loaded.',
    negativeDescription: 'Use the backend even if its results do not match the self-check of the model.',
  },
} as const;

/** The flags for the model. */
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
    description: 'For a model with task adapters, such as jina-embeddings-v3: the task whose adapter is used.',
  },
  route: {
    type: 'string',
    valueHint: 'ROUTE',
    description: 'For a model with a Router: the route of the texts, such as query or document.',
  },
} as const;

/** The model as a positional argument. */
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

/** The flag for the role of texts. */
export const roleArgument = { type: 'enum', options: ['query', 'document'] as TextRole[] } as const;

/** The values of {@link modelArguments} and {@link backendArguments}. */
export interface ModelChoice {
  readonly model: string;
  readonly revision?: string | undefined;
  readonly task?: string | undefined;
  readonly route?: string | undefined;
  /** The role of most texts. The parts of the model for it are loaded first. */
  readonly as?: TextRole | undefined;
  readonly backend: string;
  readonly threads?: string | undefined;
  readonly variant?: string | undefined;
  readonly selfCheck?: boolean | undefined;
}

/** The part of a command's context that loading a model needs. */
export interface LoadContext {
  readonly signal: AbortSignal;
  readonly note: (text: string) => void;
}

/**
 * Finds the files of a model by its name on the command line. Files of the hub are downloaded when they are first read,
 * and `onProgress` is called during each download.
 */
export async function findModel(
  { model, revision }: Pick<ModelChoice, 'model' | 'revision'>,
  { signal }: Pick<LoadContext, 'signal'>,
  onProgress: (state: DownloadState) => void,
): Promise<ModelFiles> {
  if (model === defaultModel) return (await import('@sentvec/model-use-lite')).useLite({ signal });
  return (await import('@sentvec/core/node')).openModel(model, { revision, signal, onProgress });
}

/** The type of the loaded model, for each kind. */
interface ModelsByKind {
  readonly embedder: Embedder;
  readonly sparse: SparseEmbedder;
  readonly 'multi-vector': MultiVectorEmbedder;
  readonly reranker: Reranker;
}

/**
 * Loads the model of a command, which may be of one of several kinds. For a model of another kind, the loader of the
 * first kind reports the error.
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

/** Loads the reranker of a command. */
export function loadRerankerOf(choice: ModelChoice, context: LoadContext): Promise<Reranker> {
  return loadModel(choice, context, ['reranker']);
}

/** Loads the model of `--rerank`. If it is not found, the error mentions this flag. */
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

/** Loads an embedder, calls `work` with it, and always disposes it. */
export async function withModel<T>(
  choice: ModelChoice,
  context: LoadContext,
  work: (embedder: Embedder) => Promise<T>,
): Promise<T> {
  return withDisposal(await loadModel(choice, context, ['embedder']), work);
}

/** Like {@link withModel}, for a teacher: an embedder or a reranker. */
export async function withTeacher<T>(
  choice: ModelChoice,
  context: LoadContext,
  work: (teacher: Embedder | Reranker) => Promise<T>,
): Promise<T> {
  return withDisposal(await loadModel(choice, context, ['embedder', 'reranker']), work);
}

/** Like {@link withModel}, for dense or sparse embedders. */
export async function withAnyEmbedder<T>(
  choice: ModelChoice,
  context: LoadContext,
  work: (embedder: Embedder | SparseEmbedder) => Promise<T>,
): Promise<T> {
  return withDisposal(await loadModel(choice, context, ['embedder', 'sparse']), work);
}

/** Like {@link withModel}, for all kinds of models that can search: dense, sparse and late-interaction. */
export async function withSearchModel<T>(
  choice: ModelChoice,
  context: LoadContext,
  work: (model: Embedder | SparseEmbedder | MultiVectorEmbedder) => Promise<T>,
): Promise<T> {
  return withDisposal(await loadModel(choice, context, ['embedder', 'sparse', 'multi-vector']), work);
}

/** Calls `work` with a model, and always disposes it. */
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
