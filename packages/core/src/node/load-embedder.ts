import { checkOptionNames } from '@sentvec/platform';
import { loadEmbedder as loadModel, loadOptionNames, type LoadEmbedderOptions } from '../embedder/load-embedder.ts';
import type { Embedder } from '../embedder/embedder-types.ts';
import type { ModelFiles } from '../types.ts';
import { hubOptionNames } from './hub/hub-model.ts';
import { nodeTokenizer } from './node-tokenizer.ts';
import { openModel, type OpenModelOptions } from './open-model.ts';

/**
 * Loads a model by its name (`use-lite`, a folder, or `org/name` on the Hugging Face hub) or from its files. As
 * `loadEmbedder` of `@sentvec/core`, with the native tokenizer when the package `tokenizers` is installed, in a thread
 * of its own.
 * @throws SentvecError as there, and `model-not-found`, `model-access-denied`, `download-failed`
 */
export async function loadEmbedder(
  model: string | ModelFiles,
  options: LoadEmbedderOptions & OpenModelOptions = {},
): Promise<Embedder> {
  checkOptionNames('loadEmbedder()', options, { ...loadOptionNames, ...hubOptionNames });
  const files = typeof model === 'string' ? await openModel(model, only(options, hubOptionNames)) : model;
  return loadModel(files, { ...only(options, loadOptionNames), tokenizer: options.tokenizer ?? nodeTokenizer() });
}

/** Those options that have one of the names. */
function only<Options extends object>(options: Options, names: Readonly<Record<string, true>>): Partial<Options> {
  return Object.fromEntries(Object.entries(options).filter(([name]) => Object.hasOwn(names, name))) as Partial<Options>;
}
