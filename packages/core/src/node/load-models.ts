// The loaders for Node: they also accept the name of a model, and use the native tokenizer if it is installed.
import { checkOptionNames, type OptionNames } from '@sentvec/platform';
import {
  loadEmbedder as loadEmbedderFiles,
  loadOptionNames,
  type LoadEmbedderOptions,
} from '../embedder/load-embedder.ts';
import type { Embedder } from '../embedder/embedder-types.ts';
import {
  loadModel as loadModelFiles,
  loadModelOptionNames,
  type LoadedModel,
  type LoadModelOptions,
} from '../load-model.ts';
import type { LoadMultiVectorEmbedderOptions } from '../multi-vector/load-multi-vector-embedder.ts';
import type { MultiVectorEmbedder } from '../multi-vector/multi-vector-types.ts';
import type { LoadRerankerOptions } from '../reranker/load-reranker.ts';
import type { Reranker } from '../reranker/reranker-types.ts';
import type { LoadSparseEmbedderOptions } from '../sparse/load-sparse-embedder.ts';
import type { SparseEmbedder } from '../sparse/sparse-types.ts';
import type { TokenizerLoader } from '../tokenizer/javascript-tokenizer.ts';
import type { ModelFiles } from '../types.ts';
import { hubOptionNames } from './hub/hub-model.ts';
import { nodeTokenizer } from './node-tokenizer.ts';
import { openModel, type OpenModelOptions } from './open-model.ts';

/**
 * Loads an embedder by its name (`use-lite`, a folder, or `org/name` on the Hugging Face hub) or from its files. Like
 * `loadEmbedder` of `@sentvec/core`, but with {@link nodeTokenizer} as the default tokenizer: it runs in a worker
 * thread, and uses the native library if the package `tokenizers` is installed.
 * @throws SentvecError as the function of `@sentvec/core`, and `model-not-found`, `model-access-denied`,
 * `download-failed`
 */
export function loadEmbedder(
  model: string | ModelFiles,
  options: LoadEmbedderOptions & OpenModelOptions = {},
): Promise<Embedder> {
  return load({ call: 'loadEmbedder()', loadFiles: loadEmbedderFiles, names: loadOptionNames }, model, options);
}

/**
 * Loads a reranker by its name or from its files. Like `loadReranker` of `@sentvec/core`, with the additions of
 * {@link loadEmbedder}.
 * @throws SentvecError as the function of `@sentvec/core`, and `model-not-found`, `model-access-denied`,
 * `download-failed`
 */
export async function loadReranker(
  model: string | ModelFiles,
  options: LoadRerankerOptions & OpenModelOptions = {},
): Promise<Reranker> {
  const { loadReranker: loadFiles, loadRerankerOptionNames: names } = await import('../reranker/load-reranker.ts');
  return load({ call: 'loadReranker()', loadFiles, names }, model, options);
}

/**
 * Loads a model of any kind by its name or from its files; `kind` of the result says of which kind it is. Like
 * `loadModel` of `@sentvec/core`, with the additions of {@link loadEmbedder}.
 * @throws SentvecError as the function of `@sentvec/core`, and `model-not-found`, `model-access-denied`,
 * `download-failed`
 */
export function loadModel(
  model: string | ModelFiles,
  options: LoadModelOptions & OpenModelOptions = {},
): Promise<LoadedModel> {
  return load({ call: 'loadModel()', loadFiles: loadModelFiles, names: loadModelOptionNames }, model, options);
}

/**
 * Loads a late-interaction model by its name or from its files. Like `loadMultiVectorEmbedder` of `@sentvec/core`, with
 * the additions of {@link loadEmbedder}.
 * @throws SentvecError as the function of `@sentvec/core`, and `model-not-found`, `model-access-denied`,
 * `download-failed`
 */
export async function loadMultiVectorEmbedder(
  model: string | ModelFiles,
  options: LoadMultiVectorEmbedderOptions & OpenModelOptions = {},
): Promise<MultiVectorEmbedder> {
  const { loadMultiVectorEmbedder: loadFiles, loadMultiVectorOptionNames: names } =
    await import('../multi-vector/load-multi-vector-embedder.ts');
  return load({ call: 'loadMultiVectorEmbedder()', loadFiles, names }, model, options);
}

/**
 * Loads a sparse model by its name or from its files. Like `loadSparseEmbedder` of `@sentvec/core`, with the additions
 * of {@link loadEmbedder}.
 * @throws SentvecError as the function of `@sentvec/core`, and `model-not-found`, `model-access-denied`,
 * `download-failed`
 */
export async function loadSparseEmbedder(
  model: string | ModelFiles,
  options: LoadSparseEmbedderOptions & OpenModelOptions = {},
): Promise<SparseEmbedder> {
  const { loadSparseEmbedder: loadFiles, loadSparseOptionNames: names } =
    await import('../sparse/load-sparse-embedder.ts');
  return load({ call: 'loadSparseEmbedder()', loadFiles, names }, model, options);
}

/** A loader of `@sentvec/core` and the names of its options. */
interface FilesLoader<Options extends object, Model> {
  /** Name of the function, for messages. */
  readonly call: string;
  readonly loadFiles: (files: ModelFiles, options: Options) => Promise<Model>;
  readonly names: OptionNames<Options>;
}

async function load<Options extends { readonly tokenizer?: TokenizerLoader | undefined }, Model>(
  { call, loadFiles, names }: FilesLoader<Options, Model>,
  model: string | ModelFiles,
  options: Options & OpenModelOptions,
): Promise<Model> {
  checkOptionNames<object>(call, options, { ...names, ...hubOptionNames });
  const files = typeof model === 'string' ? await openModel(model, only(options, hubOptionNames)) : model;
  return loadFiles(files, { ...(only(options, names) as Options), tokenizer: options.tokenizer ?? nodeTokenizer() });
}

/** Only the options with one of the names. */
function only<Options extends object>(options: Options, names: Readonly<Record<string, true>>): Partial<Options> {
  return Object.fromEntries(Object.entries(options).filter(([name]) => Object.hasOwn(names, name))) as Partial<Options>;
}
